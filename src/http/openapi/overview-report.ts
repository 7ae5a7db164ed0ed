import { z } from 'zod';
import type { Overview } from '../../observability/overview.ts';
import { exactly } from './exact-schema.ts';
import {
  cause,
  count,
  FAILURES,
  keyId,
  milliseconds,
  modelName,
  redisState,
  service,
  time,
  untilBy,
} from './report-fields.ts';

const model = z.strictObject({
  model: modelName,
  total: count.meta({ description: 'The sum of the next three.' }),
  available: count,
  cooling_down: count,
  exhausted: count,
  nextReturnAt: time.nullable().meta({
    description:
      'When the first key that comes back by itself does, in ISO 8601 in UTC. Null: none is cooling down.',
  }),
  causes: z.partialRecord(cause, count.min(1)).meta({
    description: 'Why keys cannot be had, and how many for each reason.',
  }),
  nextReturnBy: untilBy.nullable(),
});

const minute = z.strictObject({
  at: time.meta({ description: 'Its beginning, in ISO 8601 in UTC.' }),
  requests: count.meta({ description: 'That ended within it; the others are among them.' }),
  answered: count,
  fallbacks: count.meta({
    description: 'Of the answered ones, those by another key or model than the first.',
  }),
  refused: count,
  brokenOff: count,
  turnedAway: count.meta({
    description: 'Refused by the limit for one address. Not among `requests`.',
  }),
});

const attempt = z.strictObject({
  key: keyId,
  model: modelName,
  outcome: z.enum(['success', ...FAILURES]),
  message: z.string().nullable().meta({ description: 'What went wrong. Null: nothing did.' }),
  isTrial: z.boolean().meta({ description: 'Whether it was the one try of a parked key.' }),
  parkedUntil: time.nullable().meta({
    description: 'Until when it has parked something, in ISO 8601 in UTC. Null: it has not.',
  }),
  ms: milliseconds.meta({ description: 'How long it took, in milliseconds.' }),
  firstMs: milliseconds.nullable().meta({
    description: 'Milliseconds until the first piece of the answer. Null: none came.',
  }),
  tokens: count.nullable().meta({ description: 'Null: not told, or not read.' }),
});

const request = z.strictObject({
  requestId: z.string(),
  service,
  operation: z.enum([
    'chat',
    'generate_content',
    'count_tokens',
    'list_models',
    'session_token',
    'session_start',
  ]),
  at: time.meta({ description: 'Its end, in ISO 8601 in UTC.' }),
  ms: milliseconds.meta({ description: 'From start to end, in milliseconds.' }),
  waitedMs: milliseconds.meta({ description: 'In line for a key, in milliseconds.' }),
  end: z.enum(['answered', 'at_fault', 'broken_off', 'bug', 'client_gone', 'refused']).meta({
    description:
      '`at_fault`: the provider refused the request itself. `broken_off`: the answer began and did not end. `bug`: a fault of this server.',
  }),
  code: z
    .enum([
      'invalid_request',
      'payload_too_large',
      'rate_limited',
      'unauthorized',
      'model_unavailable',
      'all_keys_exhausted',
      'no_keys_configured',
      'upstream_failed',
      'upstream_timeout',
      'client_gone',
    ])
    .nullable()
    .meta({ description: 'Why it was refused. Null: it was not.' }),
  attemptsInAll: count,
  attempts: z.array(attempt).meta({ description: 'The last of them, oldest first.' }),
});

export const overview = exactly<Overview>()(
  z
    .strictObject({
      now: time,
      startedAt: time,
      mode: z.enum(['live', 'demo']).meta({
        description: '`demo`: the providers behind this server are stand-ins.',
      }),
      redis: redisState.nullable().meta({
        description:
          'The state of the Redis connection of the process that answers. Null: no Redis is set. ' +
          '`refusing`: Redis answers, but is full, a replica, or rejects the login.',
      }),
      unprovenKeys: z.array(keyId).meta({
        description: 'Keys that needed action, were released, and have not answered since.',
      }),
      services: z.array(
        z.strictObject({
          service,
          inFlight: count.meta({ description: 'Calls that have not ended yet.' }),
          models: z.array(model).min(1).meta({ description: 'The first is the default.' }),
        }),
      ),
      minutes: z.array(minute).length(60).meta({
        description: 'The last hour, oldest first; the present minute is the last.',
      }),
      latest: z.array(request).meta({ description: 'The latest requests, newest first.' }),
    })
    .meta({ title: 'Overview' }),
);
