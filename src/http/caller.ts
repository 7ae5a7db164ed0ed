import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler } from 'express';
import type { Logger } from '../shared/logger.ts';
import { createTokenCheck, type Secret } from '../shared/secret.ts';
import type { SharedStore } from '../shared/shared-store.ts';
import { HttpError } from './errors.ts';
import { limitGuesses } from './rate-limits.ts';

/** @returns the token of an `Authorization: Bearer` header; null when there is none */
export const bearerIn = ({ headers }: Pick<IncomingMessage, 'headers'>): string | null =>
  BEARER.exec(headers.authorization ?? '')?.[1] ?? null;

const BEARER = /^Bearer +(\S{1,8192}) *$/i;

export interface ClientAccessOptions {
  readonly clientTokens: readonly Secret[];
  readonly log: Logger;
  /** Null for a process that is alone; otherwise wrong tokens are counted by all instances. */
  readonly sharedStore: SharedStore | null;
}

/**
 * Admits a program with one of the tokens: as a bearer token, or where Anthropic's and Google's clients put their key.
 *
 * @throws HttpError 401, or 429 after too many wrong tokens from one address
 */
export function requireClientToken(options: ClientAccessOptions): RequestHandler {
  const check = createTokenCheck(options.clientTokens);
  const judge = limitGuesses('client', options.log, options.sharedStore);
  return async function checkClientToken(request, response, next) {
    const given = tokensIn(request);
    // Some clients send several, one of them for a proxy.
    const client = given.map(check).find((id) => id !== null) ?? null;
    if (given.length > 0) await judge(request, client !== null);
    if (client === null) {
      response.setHeader('www-authenticate', 'Bearer');
      throw new HttpError('unauthorized', UNKNOWN_TOKEN);
    }
    response.locals.outcome = { client };
    next();
  };
}

/** A place that is given twice holds a list, which is none. */
const tokensIn = (request: Request): readonly string[] =>
  [
    bearerIn(request),
    request.headers['x-api-key'],
    request.headers['api-key'],
    request.headers['x-goog-api-key'],
    request.query.key,
  ].flatMap((token) => (typeof token === 'string' && token.trim() !== '' ? [token.trim()] : []));

const UNKNOWN_TOKEN =
  'The token is missing or unknown: send one of the CLIENT_TOKENS as a bearer token, as x-api-key, api-key or x-goog-api-key, or as ?key=.';

/** Google's clients put their key in a place of their own. */
export const isGoogleClient = ({ headers, query }: Request): boolean =>
  (headers['x-goog-api-key'] ?? '') !== '' || (query.key ?? '') !== '';

/** All of Anthropic's clients send the version of the protocol. */
export const isAnthropicClient = ({ headers }: Request): boolean =>
  headers['anthropic-version'] !== undefined;
