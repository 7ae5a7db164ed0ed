import type { Request, RequestHandler } from 'express';
import type { Secret } from '../shared/secret.ts';
import { createTokenCheck } from '../shared/secret.ts';
import { bearerIn } from './bearer.ts';
import { HttpError } from './http-error.ts';
import { rememberTold } from './told.ts';

/** For programs: lets in a request with one of the tokens, as a bearer or where Google's clients put their key. */
export function requireClientToken(tokens: readonly Secret[]): RequestHandler {
  const idOf = createTokenCheck(tokens);
  return function checkClientToken(request, response, next) {
    const client = tokensIn(request)
      .map(idOf)
      .find((id) => id !== null);
    if (client === undefined) {
      response.setHeader('www-authenticate', 'Bearer');
      next(new HttpError(401, 'unauthorized', UNKNOWN_TOKEN));
      return;
    }
    rememberTold(response, { client });
    next();
  };
}

const UNKNOWN_TOKEN =
  'The token is missing or unknown: send one of the CLIENT_TOKENS as a bearer token, as x-goog-api-key or as ?key=.';

/** Some clients send several, one of them for a proxy in between. A list means that `?key=` was given twice. */
function tokensIn(request: Request): readonly string[] {
  const { headers, query } = request;
  const keys = [headers['x-goog-api-key'], query.key];
  return [
    bearerIn(request) ?? '',
    ...keys.map((key) => (typeof key === 'string' ? key.trim() : '')),
  ];
}

/** Google's clients are told from all others by where they put their key. */
export const isGoogleClient = ({ headers, query }: Request): boolean =>
  (headers['x-goog-api-key'] ?? '') !== '' || (query.key ?? '') !== '';
