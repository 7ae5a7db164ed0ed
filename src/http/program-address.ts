import type { RequestHandler } from 'express';
import { isGoogleClient } from './client-token.ts';
import { OPENAI_ERRORS } from './dialects/openai/errors.ts';
import { answerErrorsIn } from './error-form.ts';
import { GEMINI_ERRORS } from './gemini/errors.ts';
import { METHOD_PATH } from './gemini/read-call.ts';

export const COMPLETIONS_PATH = '/v1/chat/completions';

/**
 * Rewrites the address of a program's request to the form that the routes have, and sets
 * `response.locals.protocol` to `'openai'` or `'gemini'`. An address that does not lead to `/v1`,
 * `/v1alpha` or `/v1beta` stays as it is, so that no other route gets a second spelling.
 */
export const readProgramAddress: RequestHandler = (request, response, next) => {
  const path = tidied(request.path);
  if (PROGRAM.test(path)) {
    const isOpenai = OPENAI.test(path) || !(GEMINI.test(path) || isGoogleClient(request));
    response.locals.protocol = isOpenai ? 'openai' : 'gemini';
    answerErrorsIn(response, isOpenai ? OPENAI_ERRORS : GEMINI_ERRORS);
    // In place: a proxy may send `http://host` before the path, and the router counts its characters.
    request.url = request.url.replace(request.path, () => path.replace(GOOGLES_OPENAI, '/v1/$1'));
  }
  next();
};

const PROGRAM = /^\/v1(?:alpha|beta)?(?:\/|$)/i;
const OPENAI = new RegExp(`^${COMPLETIONS_PATH}$|^/v1(?:alpha|beta)?/openai(?:/|$)`, 'i');
/** `/v1` belongs to both; where the path does not tell, the place of the token does. */
const GEMINI = new RegExp(`^/v1(?:alpha|beta)|${METHOD_PATH.source}`, 'i');
/** Where Google has OpenAI's protocol. */
const GOOGLES_OPENAI = /^\/v1(?:alpha|beta)?\/openai\/(chat\/completions|models(?:\/[^:]*)?)$/i;

/**
 * Decodes `%3A`, removes doubled and trailing slashes, and removes `models/` and `google/` (or their
 * encoded forms) before a model's name.
 */
const tidied = (path: string): string =>
  path
    .replace(/%3a/gi, ':')
    .replace(/(?<=(?:\/|%2f)(?:models|google))%2f/gi, '/')
    .replace(/\/{2,}/g, '/')
    .replace(/(?<=.)\/$/, '')
    .replace(/^(\/\w+(?:\/openai)?\/models\/)(?:(?:models|google)\/)+/i, '$1');
