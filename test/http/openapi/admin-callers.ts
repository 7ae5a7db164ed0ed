import { ADMIN_TOKEN } from '../../support/admin.ts';
import type { Caller } from './caller.ts';

const WRONG = 'wrong-token-0123456789';

const anybody = {
  title: 'anybody',
  key: null,
  faults: {},
} satisfies Partial<Caller>;

const onCall = {
  ...anybody,
  title: 'whoever is on call',
  logsIn: true,
  guess: { headers: { cookie: '', authorization: `Bearer ${WRONG}` } },
} satisfies Partial<Caller>;

const read = (path: string): Caller => ({ ...onCall, method: 'get', path });

const act = (action: string, faulty: object): Caller => ({
  ...onCall,
  method: 'post',
  path: `/api/keys/{id}/${action}`,
  body: {},
  faulty,
  isOfOwnOrigin: true,
});

const open = (path: string): Caller => ({ ...anybody, method: 'get', path });

/** Those of what exists only with an admin token. */
export const ADMIN_CALLERS: readonly Caller[] = [
  { ...read('/api/keys'), faultyQuery: '?limit=0' },
  read('/api/overview'),
  read('/metrics'),
  act('release', { seconds: 5 }),
  act('park', { seconds: 0 }),
  {
    ...anybody,
    method: 'post',
    path: '/api/login',
    body: { token: ADMIN_TOKEN },
    guess: { body: JSON.stringify({ token: WRONG }) },
    faulty: {},
    isOfOwnOrigin: true,
    limit: 30,
  },
  // Nothing needs to be sent, and what is sent has to be small.
  { ...anybody, method: 'post', path: '/api/logout', body: {}, isOfOwnOrigin: true },
  open('/login'),
  { ...read('/dashboard'), isSentToLogin: true },
  open('/playground'),
];
