import type { Request, RequestHandler, Response } from 'express';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Secret } from '../../shared/secret.ts';
import { createTokenCheck } from '../../shared/secret.ts';
import type { SharedStore } from '../../shared/shared-store.ts';
import { bearerIn } from '../bearer.ts';
import { HttpError } from '../http-error.ts';
import { type Admin, rememberAdmin } from './admin-of.ts';
import { createGuesses } from './guesses.ts';
import { refuseOtherOrigins } from './same-origin.ts';
import { createSessionCookie, type SessionCookie } from './session-cookie.ts';

/** Who may see and do what is for whoever runs the server. */
export interface AdminAccess {
  readonly cookie: SessionCookie;
  /**
   * Lets in whoever has shown the token before, or brings it as a bearer.
   *
   * @throws HttpError 401, or 429 to an address that has guessed too often
   */
  readonly require: RequestHandler;
  /** Only takes note, for what everybody may use. */
  readonly recognise: RequestHandler;
  /** @throws HttpError 401 or 429 */
  checkToken(request: Request, given: string): Promise<void>;
}

export interface AdminAccessOptions {
  readonly token: Secret;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
  /** With which other processes count guesses too. */
  readonly sharedStore: SharedStore | null;
}

export function createAdminAccess({
  token,
  clock,
  log,
  sharedStore,
}: AdminAccessOptions): AdminAccess {
  const isToken = createTokenCheck([token]);
  const guesses = createGuesses(log, sharedStore);
  const cookie = createSessionCookie(token, clock);

  const checkToken = (request: Request, given: string): Promise<void> =>
    guesses.judge(request, isToken(given) !== null);

  async function byCookie(request: Request): Promise<Admin | null> {
    const session = await cookie.read(request);
    return session === null ? null : { name: session.name, by: 'cookie' };
  }

  async function byToken(request: Request, response: Response): Promise<Admin> {
    const given = bearerIn(request);
    try {
      if (given === null) throw new HttpError(401, 'unauthorized', NO_TOKEN);
      await checkToken(request, given);
    } catch (error) {
      if (isUnauthorized(error)) response.setHeader('www-authenticate', 'Bearer');
      throw error;
    }
    return { name: null, by: 'token' };
  }

  return {
    cookie,
    checkToken,
    async require(request, response, next) {
      response.setHeader('cache-control', 'no-store');
      const hasToken = bearerIn(request) !== null;
      const session = hasToken ? null : await byCookie(request);
      const admin = session ?? (await byToken(request, response));
      if (admin.by === 'cookie' && changes(request)) refuseOtherOrigins(request);
      rememberAdmin(request, admin);
      next();
    },
    async recognise(request, _response, next) {
      const admin = request.headers.cookie === undefined ? null : await byCookie(request);
      if (admin !== null) rememberAdmin(request, admin);
      next();
    },
  };
}

const NO_TOKEN = 'Send the ADMIN_TOKEN as a bearer token, or log in at /login.';

const isUnauthorized = (error: unknown) =>
  error instanceof HttpError && error.code === 'unauthorized';

const changes = ({ method }: Request) => method !== 'GET' && method !== 'HEAD';
