import type { Express, RequestHandler } from 'express';
import type { Chat } from '../services/chat.ts';
import type { Relay } from '../services/relay.ts';
import type { Clock } from '../shared/clock.ts';
import type { Secret } from '../shared/secret.ts';
import { modelOf, type Target } from '../shared/target.ts';
import { readBytes, readJsonBody } from './body.ts';
import { isGoogleClient, requireClientToken } from './caller.ts';
import { answerChat } from './chat-route.ts';
import {
  GEMINI_ERRORS,
  METHOD_PATH,
  MODELS_PATH,
  readMethodCall,
  readModelsCall,
  relayRoute,
} from './dialects/gemini.ts';
import { OPENAI_ERRORS, openai } from './dialects/openai.ts';
import { HttpError } from './errors.ts';
import { sendJson } from './reply.ts';
import { serve } from './serve.ts';

export interface ProgramRoutesOptions {
  readonly clientTokens: readonly Secret[];
  /** Without our own system prompt, which is for the web chat. */
  readonly completions: Chat;
  readonly relay: Relay;
  /** The targets that chats may name. */
  readonly chatTargets: readonly Target[];
  readonly maxProgramBodyBytes: number;
  readonly clock: Clock;
}

/** The routes for programs, in OpenAI's and Gemini's own protocols. */
export function serveProgramRoutes(app: Express, options: ProgramRoutesOptions): void {
  const { clientTokens, completions, relay, chatTargets, clock, maxProgramBodyBytes } = options;
  const listModels = openaiModelsRoute(chatTargets, clock.now());
  const relayModels = relayRoute(relay, readModelsCall, clock);
  app.use(readProgramAddress);
  app.use(['/v1', '/v1alpha', '/v1beta'], requireClientToken(clientTokens));
  serve(
    app,
    'post',
    [COMPLETIONS_PATH],
    ...readJsonBody(maxProgramBodyBytes),
    answerChat(completions, () => openai, clock),
  );
  // Compressed bodies go on to Google as they are.
  const readCall = readBytes(maxProgramBodyBytes, { inflate: false, isJson: true });
  serve(app, 'post', [METHOD_PATH], readCall, relayRoute(relay, readMethodCall, clock));
  serve(app, 'get', [MODELS_PATH], (request, response, next) =>
    (response.locals.protocol === 'gemini' ? relayModels : listModels)(request, response, next),
  );
}

const COMPLETIONS_PATH = '/v1/chat/completions';

/**
 * Rewrites the address of a program's request to the form that the routes have, and sets
 * `response.locals.protocol` to `'openai'` or `'gemini'`. An address that does not lead to `/v1`,
 * `/v1alpha` or `/v1beta` stays as it is, so that no other route gets a second spelling.
 */
const readProgramAddress: RequestHandler = (request, response, next) => {
  const path = tidied(request.path);
  if (PROGRAM.test(path)) {
    const isOpenai = OPENAI.test(path) || !(GEMINI.test(path) || isGoogleClient(request));
    response.locals.protocol = isOpenai ? 'openai' : 'gemini';
    response.locals.errorForm = isOpenai ? OPENAI_ERRORS : GEMINI_ERRORS;
    // In place: a proxy may send `http://host` before the path, and the router counts its characters.
    request.url = request.url.replace(request.path, () => path.replace(GOOGLES_OPENAI, '/v1/$1'));
  }
  next();
};

const PROGRAM = /^\/v1(?:alpha|beta)?(?:\/|$)/i;
const OPENAI = new RegExp(`^${COMPLETIONS_PATH}$|^/v1(?:alpha|beta)?/openai(?:/|$)`, 'i');
/** `/v1` belongs to both; where the path does not decide, the place of the token does. */
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

/** `GET /v1/models` and `/v1/models/{model}`, in OpenAI's form: the models that are served. */
function openaiModelsRoute(targets: readonly Target[], startedAt: number): RequestHandler {
  const described = targets.map((target) => ({
    id: modelOf(target),
    object: 'model',
    created: Math.floor(startedAt / 1000),
    owned_by: target.provider,
  }));
  return function getModels({ path }, response) {
    const model = MODELS_PATH.exec(path)?.groups?.model;
    if (model === undefined) {
      sendJson(response, 200, { object: 'list', data: described });
      return;
    }
    const found = described.find(({ id }) => id === model);
    if (found === undefined) throw notServed();
    sendJson(response, 200, found);
  };
}

const notServed = () => new HttpError('model_unavailable', 'This model is not served.');
