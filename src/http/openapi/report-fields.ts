import { z } from 'zod';
import { SERVICES } from '../../shared/api-key.ts';
import type { FailureKind } from '../../shared/failure.ts';
import type { RedisState } from '../../shared/shared-store.ts';
import { exactly } from './exact-schema.ts';

/** What the reports on keys and on requests have in common. */
export const service = z.enum(SERVICES);

export const count = z.int().min(0);

/** No least one: the clock may be set back in between. */
export const milliseconds = z.int();

export const time = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time', description: 'ISO 8601 in UTC.' });

export const keyId = z.string().min(1).meta({
  description: '`google-2` for `GOOGLE_API_KEY_2`, `google` for the one without a number.',
});

export const modelName = z.string().min(1);

/** What may become of a call, but for a success. */
export const FAILURES = [
  'rate_limited',
  'quota_exhausted',
  'out_of_credit',
  'key_rejected',
  'model_unavailable',
  'request_fault',
  'content_blocked',
  'upstream_down',
  'misconfigured',
  'client_gone',
] as const;

export const failure = exactly<FailureKind>()(z.enum(FAILURES));

/** Why a key cannot be had. */
export const cause = z.enum([...FAILURES, 'operator']);

export const redisState = exactly<RedisState>()(
  z.enum(['connecting', 'connected', 'unreachable', 'refusing']),
);

export const untilBy = z.enum(['provider', 'rule', 'operator']).meta({
  description:
    'Who says until when: the provider, a rule of this server (it is then only tried again), or a person.',
});
