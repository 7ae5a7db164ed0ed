import { createHmac } from 'node:crypto';
import { parseCookie, stringifySetCookie } from 'cookie';
import type { Request, RequestHandler, Response } from 'express';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { createTokenCheck, type Secret } from '../../shared/secret.ts';
import type { SharedStore } from '../../shared/shared-store.ts';
import { bearerIn } from '../access.ts';
import { HttpError } from '../errors.ts';
import { limitGuesses } from '../rate-limits.ts';

/** An operator who has shown the admin token. */
export interface Admin {
  /** The name given at the login, for the log; null with a bearer token. */
  readonly name: string | null;
  /** How the token was shown with this request. */
  readonly by: 'token' | 'cookie';
}

/** Guards what is for the operator alone. */
export interface AdminAccess {
  readonly cookie: SessionCookie;
  /**
   * Admits a session cookie or the token as a bearer, and sets `response.locals.admin`.
   *
   * @throws HttpError 401, or 429 after too many wrong tokens from one address
   */
  readonly require: RequestHandler;
  /** Sets `response.locals.admin` if the cookie shows one, on routes that are open to everybody. */
  recognise(request: Request, response: Response): Promise<void>;
  /** @throws HttpError 401 or 429 */
  checkToken(request: Request, given: string): Promise<void>;
}

export interface AdminAccessOptions {
  readonly token: Secret;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
  /** Null for a process that is alone; otherwise wrong tokens are counted by all instances. */
  readonly sharedStore: SharedStore | null;
}

export function createAdminAccess(options: AdminAccessOptions): AdminAccess {
  const { token, clock, log, sharedStore } = options;
  const isToken = createTokenCheck([token]);
  const judge = limitGuesses('admin', log, sharedStore);
  const cookie = createSessionCookie(token, clock);

  async function checkToken(request: Request, given: string): Promise<void> {
    const isRight = isToken(given) !== null;
    await judge(request, isRight);
    if (!isRight) throw new HttpError('unauthorized', 'This token is wrong.');
  }

  async function byCookie(request: Request): Promise<Admin | null> {
    const session = await cookie.read(request);
    return session === null ? null : { name: session.name, by: 'cookie' };
  }

  async function byToken(request: Request, response: Response): Promise<Admin> {
    const given = bearerIn(request);
    try {
      if (given === null) throw new HttpError('unauthorized', NO_TOKEN);
      await checkToken(request, given);
    } catch (error) {
      const isUnauthorized = error instanceof HttpError && error.code === 'unauthorized';
      if (isUnauthorized) response.setHeader('www-authenticate', 'Bearer');
      throw error;
    }
    return { name: null, by: 'token' };
  }

  return {
    cookie,
    checkToken,
    async require(request, response, next) {
      response.setHeader('cache-control', 'no-store');
      const session = bearerIn(request) === null ? await byCookie(request) : null;
      const admin = session ?? (await byToken(request, response));
      if (admin.by === 'cookie' && isChange(request)) refuseOtherOrigins(request);
      response.locals.admin = admin;
      next();
    },
    async recognise(request, response) {
      const admin = await byCookie(request);
      if (admin !== null) response.locals.admin = admin;
    },
  };
}

const NO_TOKEN = 'Send the ADMIN_TOKEN as a bearer token, or log in at /login.';

const isChange = ({ method }: Request) => method !== 'GET' && method !== 'HEAD';

/** @throws HttpError 401; otherwise any page could act with the cookie of the operator who views it */
export function refuseOtherOrigins(request: Request): void {
  if (!isFromOtherOrigin(request)) return;
  throw new HttpError('unauthorized', "Another origin's page may not do this.");
}

/**
 * Browsers say where a request comes from. A client that sends neither header is no browser, and
 * sends no cookie unasked (https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site).
 */
function isFromOtherOrigin({ headers }: Request): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  return origin !== undefined && hostIn(origin) !== host;
}

const hostIn = (origin: string) => (URL.canParse(origin) ? new URL(origin).host : null);

/** Keeps a browser logged in for half a day. */
export interface SessionCookie {
  give(request: Request, response: Response, name: string | null): Promise<void>;
  take(request: Request, response: Response): void;
  /** @returns null without a cookie, or when it has expired or is not ours */
  read(request: Request): Promise<Pick<Admin, 'name'> | null>;
}

export const SESSION_COOKIE = 'understudy_session';
const LIFETIME_SECONDS = 12 * 3600;
const PURPOSE = 'understudy dashboard';
const ALGORITHM = 'HS256';

/**
 * The cookie is signed with a key derived from the admin token: it survives a restart, holds for every
 * instance, and ends with the token.
 */
function createSessionCookie(token: Secret, { now }: Pick<Clock, 'now'>): SessionCookie {
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
        // Links in alerts lead to the dashboard; changes are refused to other origins anyway.
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
