import { SESSION_COOKIE } from '../admin/admin-access.ts';

/** The ways in which callers show who they are. */
export const SECURITY = {
  clientToken: {
    type: 'http',
    scheme: 'bearer',
    description: 'One of `CLIENT_TOKENS`.',
  },
  googleKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-goog-api-key',
    description: "One of `CLIENT_TOKENS`, where Google's clients put their key.",
  },
  keyInQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'key',
    description: 'The same. It is not logged, and it does not travel to Google.',
  },
  sessionToken: {
    type: 'http',
    scheme: 'bearer',
    description: 'What `POST /api/anam/session-token` gave out.',
  },
  adminToken: {
    type: 'http',
    scheme: 'bearer',
    description: '`ADMIN_TOKEN`.',
  },
  adminCookie: {
    type: 'apiKey',
    in: 'cookie',
    name: SESSION_COOKIE,
    description: 'What `POST /api/login` gave out; only for pages of this server.',
  },
} as const;

export type SecurityName = keyof typeof SECURITY;
