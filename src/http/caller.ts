import type { ErrorRequestHandler, NextFunction, Request, RequestHandler, Response } from 'express';
import type { Client, ClientRoute, Clients } from '../services/clients.ts';
import type { Logger } from '../shared/logger.ts';
import type { SharedStore } from '../shared/shared-store.ts';
import { bearerIn, refuseTokenInQuery } from './access.ts';
import { START_PATH, TOKEN_PATH } from './avatar-routes.ts';
import { ANTHROPIC_ERRORS } from './dialects/anthropic.ts';
import { GEMINI_ERRORS, METHOD_PATH } from './dialects/gemini.ts';
import { OPENAI_ERRORS } from './dialects/openai.ts';
import { type ErrorForm, HttpError } from './errors.ts';
import { limitGuesses } from './rate-limits.ts';

export interface ClientAccessOptions {
  /** Null where there can be none. */
  readonly clients: Pick<Clients, 'find'> | null;
  readonly log: Logger;
  /** Null for a process that is alone; otherwise wrong tokens are counted by all instances. */
  readonly sharedStore: SharedStore | null;
}

/** The checks of a client's token. */
export interface ClientAccess {
  /**
   * Runs before the routes: rewrites the address of a program's request to the form that the routes have, sets
   * `response.locals.protocol`, and requires a client's token: as a bearer token, or where Anthropic's and Google's clients
   * put their key. An address outside `/v1`, `/v1alpha` and `/v1beta` stays as it is, so that no other route gets a second
   * spelling. The start of an avatar session has a session token instead.
   *
   * @throws HttpError 401, 403, or 429 after too many wrong tokens from one address
   */
  readonly admitProgram: RequestHandler;
  /**
   * For a route that is open to everybody: a request with a client's token as bearer counts for that client, and its
   * limits hold. Another bearer token is not ours to judge, unless it has the form of a client's token.
   *
   * @throws HttpError 401, 403, or 429
   */
  recognise(route: ClientRoute): RequestHandler[];
}

export function createClientAccess(options: ClientAccessOptions): ClientAccess {
  const { clients } = options;
  const judge = limitGuesses('client', options.log, options.sharedStore);

  function admit(client: Client, route: ClientRoute | null, { locals }: Response): void {
    locals.client = client;
    locals.outcome = { client: client.name };
    if (route === null || client.mayUseRoute(route)) return;
    throw new HttpError('forbidden', notFor(route, client));
  }

  return {
    admitProgram,
    recognise: (route) => (clients === null ? [] : [recogniseFor(route, clients)]),
  };

  function admitProgram(request: Request, response: Response, next: NextFunction) {
    const path = MAY_BE_PROGRAM.test(request.url) ? tidied(request.path) : '';
    if (!PROGRAM.test(path)) return refuseTokenInQuery(request, response, next);
    const address = path.replace(GOOGLES_OPENAI, '/v1/$1');
    if (address !== request.path) {
      // Only the path is replaced: a proxy may send `http://host` before it, and the router counts its characters.
      request.url = request.url.replace(request.path, () => address);
    }
    if (address === START_PATH) return refuseTokenInQuery(request, response, next);
    const protocol = protocolOf(path, request);
    response.locals.protocol = protocol;
    // Anthropic's clients read the request's id from this header.
    if (protocol === 'anthropic')
      response.locals.head += `request-id: ${response.locals.requestId}\r\n`;
    return requireToken(request, response, next);
  }

  async function requireToken(request: Request, response: Response, next: NextFunction) {
    const given = tokensIn(request);
    // Some clients send several, one of them for a proxy.
    const client = firstOf(given, (token) => clients?.find(token) ?? null);
    if (given.length > 0) await judge(request, client !== null);
    if (client === null) throw unauthorized(response, UNKNOWN_TOKEN);
    admit(client, routeOf(request, response), response);
    next();
  }

  function recogniseFor(route: ClientRoute, known: Pick<Clients, 'find'>): RequestHandler {
    return function recogniseClient(request, response, next) {
      const given = bearerIn(request);
      if (given === null) return next();
      const client = known.find(given);
      if (client === null && MADE_TOKEN.test(given)) return refuseUnknown(request, response);
      if (client !== null) admit(client, route, response);
      return next();
    };
  }

  async function refuseUnknown(request: Request, response: Response): Promise<never> {
    await judge(request, false);
    throw unauthorized(response, REVOKED);
  }
}

function firstOf<T, V>(values: readonly T[], find: (value: T) => V | null): V | null {
  for (const value of values) {
    const found = find(value);
    if (found !== null) return found;
  }
  return null;
}

function unauthorized(response: Response, message: string): HttpError {
  response.setHeader('www-authenticate', 'Bearer');
  return new HttpError('unauthorized', message);
}

const notFor = (route: ClientRoute, { terms }: Client) =>
  `This client may not use the routes for "${route}". It may use: ${terms.routes?.join(', ') || 'none'}.`;

/** A place that is given twice holds a list, which is none. */
const tokensIn = (request: Request): readonly string[] =>
  [
    bearerIn(request),
    request.headers['x-api-key'],
    request.headers['api-key'],
    request.headers['x-goog-api-key'],
    request.query.key,
  ].flatMap((token) => (typeof token === 'string' && token.trim() !== '' ? [token.trim()] : []));

/** The form of a token that was made at run time: see `services/clients.ts`, which is not loaded without clients. */
const MADE_TOKEN = /^us-[\w-]{43}$/;
const REVOKED = "This client's token is unknown or was revoked.";

const UNKNOWN_TOKEN =
  "The token is missing or unknown: send a client's token as a bearer token, as x-api-key, api-key or x-goog-api-key, or as ?key=.";

/** Google's clients put their key in a place of their own. */
const isGoogleClient = ({ headers, query }: Request): boolean =>
  (headers['x-goog-api-key'] ?? '') !== '' || (query.key ?? '') !== '';

/** All of Anthropic's clients send the version of the protocol. */
const isAnthropicClient = ({ headers }: Request): boolean =>
  headers['anthropic-version'] !== undefined;

function routeOf({ path }: Request, { locals }: Response): ClientRoute | null {
  if (MODELS_PATH.test(path)) return null;
  if (path === TOKEN_PATH) return 'avatar';
  return EMBEDDINGS_PATH.test(path) ? 'embeddings' : (locals.protocol ?? 'openai');
}

/** The lists of models. */
const MODELS_PATH = /^\/v1(?:alpha|beta)?\/models(?:\/[^:]*)?$/;
const EMBEDDINGS_PATH = /^\/v1\/embeddings$|:(?:batchEmbedContents|embedContent)$/;

/** Sets the form of an error in a program's request, also of one that was refused before it was admitted. */
export const setProgramErrorForm: ErrorRequestHandler = (error, request, { locals }, next) => {
  const path = tidied(request.path);
  const protocol = locals.protocol ?? (PROGRAM.test(path) ? protocolOf(path, request) : null);
  if (protocol !== null) locals.errorForm ??= ERROR_FORMS[protocol];
  next(error);
};

type Protocol = NonNullable<Express.Locals['protocol']>;

const ERROR_FORMS: Record<Protocol, ErrorForm> = {
  openai: OPENAI_ERRORS,
  anthropic: ANTHROPIC_ERRORS,
  gemini: GEMINI_ERRORS,
};

/** All protocols share `/v1`. Where the path does not decide, the headers do. */
function protocolOf(path: string, request: Request): Protocol {
  if (OPENAI_PATH.test(path)) return 'openai';
  if (ANTHROPIC_PATH.test(path)) return 'anthropic';
  if (GEMINI_PATH.test(path) || isGoogleClient(request)) return 'gemini';
  return isAnthropicClient(request) ? 'anthropic' : 'openai';
}

/** Cheap: most other requests differ in their first characters. */
const MAY_BE_PROGRAM = /^(?:\/v1|\/\/|[^/])/i;
const PROGRAM = /^\/v1(?:alpha|beta)?(?:\/|$)/i;
const OPENAI_METHODS = 'chat/completions|responses|embeddings';
const OPENAI_PATH = new RegExp(
  `^/v1/(?:${OPENAI_METHODS})$|^/v1(?:alpha|beta)?/openai(?:/|$)`,
  'i',
);
const ANTHROPIC_PATH = /^\/v1\/messages(?:\/|$)/i;
const GEMINI_PATH = new RegExp(`^/v1(?:alpha|beta)|${METHOD_PATH.source}`, 'i');
/** Google serves OpenAI's protocol under these addresses. */
const GOOGLES_OPENAI = new RegExp(
  `^/v1(?:alpha|beta)?/openai/(${OPENAI_METHODS}|models(?:/[^:]*)?)$`,
  'i',
);

/**
 * Decodes `%3A`, removes doubled and trailing slashes and a doubled version, and removes `models/` and `google/` (or their
 * encoded forms) before a model's name.
 */
function tidied(path: string): string {
  if (!UNTIDY.test(path)) return path;
  return path
    .replace(/%3a/gi, ':')
    .replace(/(?<=(?:\/|%2f)(?:models|google))%2f/gi, '/')
    .replace(/\/{2,}/g, '/')
    .replace(/(?<=.)\/$/, '')
    .replace(DOUBLED_VERSION, '$1')
    .replace(/^(\/\w+(?:\/openai)?\/models\/)(?:(?:models|google)\/)+/i, '$1');
}

const UNTIDY = /%|\/\/|\/$|\/models\/(?:models|google)\/|.\/v1\//i;
/** The path of a request whose base URL has the version that the client adds too. */
const DOUBLED_VERSION = /^(\/v1(?:alpha|beta)?(?:\/openai)?)\/v1(?=\/)/i;
