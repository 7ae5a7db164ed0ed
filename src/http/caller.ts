import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler } from 'express';
import { createTokenCheck, type Secret } from '../shared/secret.ts';
import { HttpError } from './errors.ts';

/** @returns the token of an `Authorization: Bearer` header; null when there is none */
export const bearerIn = ({ headers }: Pick<IncomingMessage, 'headers'>): string | null =>
  BEARER.exec(headers.authorization ?? '')?.[1] ?? null;

const BEARER = /^Bearer +(\S{1,8192}) *$/i;

/** Lets in a program with one of the tokens, as a bearer or where Google's clients put their key. */
export function requireClientToken(tokens: readonly Secret[]): RequestHandler {
  const check = createTokenCheck(tokens);
  const idOf = (given: unknown) => (typeof given === 'string' ? check(given.trim()) : null);
  return function checkClientToken(request, response, next) {
    // Some clients send several, one of them for a proxy.
    const client =
      idOf(bearerIn(request)) ??
      idOf(request.headers['x-goog-api-key']) ??
      // A list when it was given twice.
      idOf(request.query.key);
    if (client === null) {
      response.setHeader('www-authenticate', 'Bearer');
      next(new HttpError('unauthorized', UNKNOWN_TOKEN));
      return;
    }
    response.locals.outcome = { client };
    next();
  };
}

const UNKNOWN_TOKEN =
  'The token is missing or unknown: send one of the CLIENT_TOKENS as a bearer token, as x-goog-api-key or as ?key=.';

/** Google's clients put their key in a place of their own. */
export const isGoogleClient = ({ headers, query }: Request): boolean =>
  (headers['x-goog-api-key'] ?? '') !== '' || (query.key ?? '') !== '';
