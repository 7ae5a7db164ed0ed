import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import type { Client, ClientRoute, Clients } from '../services/clients.ts';
import type { Logger } from '../shared/logger.ts';
import type { SharedStore } from '../shared/shared-store.ts';
import { HttpError } from './errors.ts';
import { limitGuesses } from './rate-limits.ts';

/** @returns the token of an `Authorization: Bearer` header; null when there is none */
export const bearerIn = ({ headers }: Pick<IncomingMessage, 'headers'>): string | null =>
  BEARER.exec(headers.authorization ?? '')?.[1] ?? null;

const BEARER = /^Bearer +(\S{1,8192}) *$/i;

export interface ClientAccessOptions {
  /** Null where there can be none. */
  readonly clients: Pick<Clients, 'find'> | null;
  readonly log: Logger;
  /** Null for a process that is alone; otherwise wrong tokens are counted by all instances. */
  readonly sharedStore: SharedStore | null;
}

/** The check of a token, for one request. */
export interface ClientAccess {
  /**
   * Admits a program with a client's token: as a bearer token, or where Anthropic's and Google's clients put their key.
   *
   * @param routeOf what the request asks for; null for what every client may ask for
   * @throws HttpError 401, 403, or 429 after too many wrong tokens from one address
   */
  require(routeOf: (request: Request, response: Response) => ClientRoute | null): RequestHandler;
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
    require: (routeOf) =>
      async function requireClientToken(request, response, next) {
        const given = tokensIn(request);
        // Some clients send several, one of them for a proxy.
        const client = firstOf(given, (token) => clients?.find(token) ?? null);
        if (given.length > 0) await judge(request, client !== null);
        if (client === null) throw unauthorized(response, UNKNOWN_TOKEN);
        admit(client, routeOf(request, response), response);
        next();
      },
    recognise: (route) => (clients === null ? [] : [recogniseFor(route, clients)]),
  };

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
export const isGoogleClient = ({ headers, query }: Request): boolean =>
  (headers['x-goog-api-key'] ?? '') !== '' || (query.key ?? '') !== '';

/** All of Anthropic's clients send the version of the protocol. */
export const isAnthropicClient = ({ headers }: Request): boolean =>
  headers['anthropic-version'] !== undefined;
