import { z } from 'zod';
import { REDIS_STATES } from '../../shared/shared-store.ts';
import { OURS } from './error-bodies.ts';
import type { Operation } from './operation.ts';
import { refusals } from './refusals.ts';

/** Both are for everybody, so that a platform and a dashboard need no token. */
export const keysOperations = (): Operation[] => [
  {
    method: 'get',
    path: '/api/keys/status',
    id: 'getKeysStatus',
    tag: 'Operation',
    summary: 'See how many keys can be used',
    description:
      "Always 200. `status` is `degraded` when a service has keys but none available. Google's counts are for the default model.",
    answers: [
      {
        status: 200,
        description: 'How many keys of each service can be used.',
        headers: ['cache-control'],
        content: [
          {
            type: 'application/json',
            schema: keysStatus,
            examples: {
              ok: { value: { status: 'ok', api_keys: { google: SOME, anam: NONE } } },
              degraded: { value: { status: 'degraded', api_keys: { google: SPENT, anam: NONE } } },
            },
          },
        ],
      },
      ...refusals([OURS], ['method_not_allowed', 'internal_error']),
    ],
  },
  {
    method: 'get',
    path: '/health',
    id: 'getHealth',
    tag: 'Operation',
    summary: 'See whether the process can serve',
    answers: [
      {
        status: 200,
        description: 'It can, whatever the keys do.',
        content: [
          {
            type: 'application/json',
            schema: health,
            examples: {
              live: { value: { status: 'ok', mode: 'live' } },
              shared: { value: { status: 'ok', mode: 'live', redis: 'connected' } },
            },
          },
        ],
      },
      ...refusals([OURS], ['method_not_allowed', 'internal_error']),
    ],
  },
];

const count = z.int().min(0);

const counts = z.strictObject({
  total: count.meta({ description: 'The sum of the others.' }),
  available: count,
  cooling_down: count.meta({ description: 'Come back by themselves.' }),
  exhausted: count.meta({ description: 'Need somebody to act.' }),
});

const keysStatus = z
  .strictObject({
    status: z.enum(['ok', 'degraded']),
    api_keys: z.record(z.string(), counts).meta({ description: 'By provider.' }),
  })
  .meta({ title: 'KeysStatus' });

const health = z
  .strictObject({
    status: z.literal('ok'),
    mode: z
      .enum(['live', 'demo'])
      .meta({ description: '`demo`: the providers behind this server are stand-ins.' }),
    redis: z
      .enum(REDIS_STATES)
      .optional()
      .meta({
        description:
          'How it stands with the Redis that instances share; missing where there is none. ' +
          '`refusing`: it answers, but is full, a replica, or rejects the login.',
      }),
  })
  .meta({ title: 'Health' });

const SOME = { total: 3, available: 2, cooling_down: 1, exhausted: 0 };
const SPENT = { total: 2, available: 0, cooling_down: 1, exhausted: 1 };
const NONE = { total: 0, available: 0, cooling_down: 0, exhausted: 0 };
