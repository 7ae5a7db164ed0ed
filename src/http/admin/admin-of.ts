import type { IncomingMessage } from 'node:http';

/** Somebody who has shown the admin token. */
export interface Admin {
  /** The name that was given at the login, for the log; a token alone has none. */
  readonly name: string | null;
  /** How it was shown with this request. */
  readonly by: 'token' | 'cookie';
}

const admins = new WeakMap<IncomingMessage, Admin>();

export const rememberAdmin = (request: IncomingMessage, admin: Admin) =>
  void admins.set(request, admin);

/** @returns null for everybody else, and where nobody has looked */
export const adminOf = (request: IncomingMessage): Admin | null => admins.get(request) ?? null;
