import { createHmac } from 'node:crypto';
import { parseCookie, stringifySetCookie } from 'cookie';
import type { Request, Response } from 'express';
import type { Clock } from '../../shared/clock.ts';
import type { Secret } from '../../shared/secret.ts';

/** Remembers in the browser, for half a day, that somebody has shown the admin token. */
export interface SessionCookie {
  give(request: Request, response: Response, name: string | null): Promise<void>;
  take(request: Request, response: Response): void;
  /** @returns null without one, or with one that is too old or not ours */
  read(request: Request): Promise<{ readonly name: string | null } | null>;
}

export const SESSION_COOKIE = 'understudy_session';
const LIFETIME_SECONDS = 12 * 3600;
const PURPOSE = 'understudy dashboard';
const ALGORITHM = 'HS256';

/**
 * What it says is signed with a key made of the admin token: it outlives a restart, is good for every
 * instance, and ends with the token.
 */
export function createSessionCookie(token: Secret, { now }: Pick<Clock, 'now'>): SessionCookie {
  const key = createHmac('sha256', token.reveal()).update(PURPOSE).digest();
  const verify = async (text: string) => {
    const { errors, jwtVerify } = await import('jose');
    try {
      const terms = { algorithms: [ALGORITHM], audience: PURPOSE, currentDate: new Date(now()) };
      const { payload } = await jwtVerify(text, key, { ...terms, requiredClaims: ['exp'] });
      return { name: payload.sub ?? null };
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  };
  const set = (request: Request, response: Response, value: string, maxAge: number) =>
    response.append(
      'set-cookie',
      stringifySetCookie(SESSION_COOKIE, value, {
        httpOnly: true,
        // A link in an alert may lead here; what changes anything is refused to other pages all the same.
        sameSite: 'lax',
        secure: request.secure,
        path: '/',
        maxAge,
      }),
    );
  return {
    async give(request, response, name) {
      const { SignJWT } = await import('jose');
      const issuedAt = Math.floor(now() / 1000);
      const text = await new SignJWT(name === null ? {} : { sub: name })
        .setProtectedHeader({ alg: ALGORITHM })
        .setAudience(PURPOSE)
        .setExpirationTime(issuedAt + LIFETIME_SECONDS)
        .sign(key);
      set(request, response, text, LIFETIME_SECONDS);
    },
    take: (request, response) => void set(request, response, '', 0),
    async read({ headers }) {
      const text = parseCookie(headers.cookie ?? '')[SESSION_COOKIE];
      return text === undefined || text === '' ? null : verify(text);
    },
  };
}
