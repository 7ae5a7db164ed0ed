import { KeyPool } from '../../src/pool/key-pool.ts';
import type { Lease } from '../../src/pool/lease.ts';
import type { Peers } from '../../src/pool/peers.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import type { Failure } from '../../src/shared/failure.ts';
import { Secret } from '../../src/shared/secret.ts';
import { modelTarget, personaTarget, type Target } from '../../src/shared/target.ts';
import { createFakeClock } from './fake-clock.ts';

export const HOUR = 3_600_000;
const MORNING = Date.UTC(2026, 10, 24, 18);

/** `'google-1'` is a project of its own, `'google-2@shop'` belongs to the project `shop`. */
function googleKeys(...names: string[]): ApiKey[] {
  return names.map((name) => {
    const [id = name, project = id] = name.split('@');
    return { id, provider: 'google', project, secret: new Secret(id, `text-of-${id}`) };
  });
}

const targets = new Map<string, Target>();

/** Always the same target for one model. */
export function google(model: string): Target {
  const target = targets.get(model) ?? modelTarget('google', model);
  targets.set(model, target);
  return target;
}

export const SESSION = personaTarget('anam', 'ours');

/** A pool of Google keys at ten in the morning in Los Angeles, far from any midnight. */
export function createPool(
  names: string[],
  models = ['flash'],
  clock = createFakeClock(MORNING),
  peers?: Peers,
  random: (() => number) | null = null,
) {
  const pool = new KeyPool({
    random,
    ...(peers === undefined ? {} : { peers }),
    keys: googleKeys(...names),
    targets: [...models.map(google), SESSION],
    cooldownMs: HOUR,
    now: clock.now,
  });
  const lease = (model = 'flash') => expectLease(pool.lease(google(model)));
  return { pool, clock, lease };
}

function expectLease(lease: Lease | null): Lease {
  if (lease === null) throw new Error('no key was leased');
  return lease;
}

/** One failure of each kind that needs nothing more than its name. */
export const failed = {
  minute: (retryAfterMs: number): Failure => ({
    kind: 'rate_limited',
    retryAfterMs,
    message: 'minute',
  }),
  slots: (retryAfterMs: number): Failure => ({
    kind: 'rate_limited',
    retryAfterMs,
    of: 'project',
    message: 'no slot',
  }),
  unhinted: { kind: 'rate_limited', message: 'no hint' },
  day: { kind: 'quota_exhausted', message: 'day' },
  money: { kind: 'out_of_credit', message: 'money' },
  badKey: { kind: 'key_rejected', message: 'bad key' },
  noModel: { kind: 'model_unavailable', whose: 'key', message: 'no model' },
  limitZero: { kind: 'model_unavailable', whose: 'project', message: 'limit 0' },
  notOwned: { kind: 'not_owned', message: 'not owned' },
  badRequest: { kind: 'request_fault', message: 'bad request' },
  badToken: { kind: 'request_fault', provesNothing: true, message: 'bad token' },
  blocked: { kind: 'content_blocked', message: 'blocked' },
  unusable: {
    kind: 'unusable_answer',
    usage: { inputTokens: 1, outputTokens: 0, totalTokens: 1, cachedTokens: 0, thoughtTokens: 0 },
    message: 'unusable',
  },
  down: { kind: 'upstream_down', timedOut: false, message: 'down' },
  ours: { kind: 'misconfigured', message: 'ours' },
  late: { kind: 'deadline_exceeded', message: 'late' },
  gone: { kind: 'client_gone', message: 'gone' },
  bug: { kind: 'internal_error', message: 'a bug' },
} as const satisfies Record<string, Failure | ((ms: number) => Failure)>;
