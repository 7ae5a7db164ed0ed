import { KeyPool } from '../../src/pool/key-pool.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { Secret } from '../../src/shared/secret.ts';
import { modelTarget } from '../../src/shared/target.ts';
import { createRedisStore, type RedisStore } from '../../src/sharing/redis-store.ts';
import { Sharing } from '../../src/sharing/sharing.ts';

export const TARGET = modelTarget('google', 'gemini-flash-latest');
export const PREFIX = 'understudy:';
const HOUR = 3_600_000;

/** The part of an instance that uses Redis: a pool that shares. */
export interface Instance {
  readonly pool: KeyPool;
  readonly sharing: Sharing;
  readonly store: RedisStore;
  /** Resolves once every record in Redis is merged here. */
  join(): Promise<void>;
}

export function createInstance(redisUrl: string, keyCount: number, cooldownMs = HOUR): Instance {
  const clock = createSystemClock();
  const store = createRedisStore({
    url: new Secret('redis', redisUrl),
    prefix: PREFIX,
    clock,
    random: Math.random,
    log: createLogger({ level: 'silent', redact: (text) => text }),
  });
  const keys = Array.from({ length: keyCount }, (_, index) => keyNumber(index));
  const sharing = new Sharing({ store: store.records, keys, cooldownMs, clock });
  const pool = new KeyPool({
    keys,
    targets: [TARGET],
    cooldownMs,
    now: clock.now,
    peers: sharing.peers,
  });
  const listener = { opened() {}, changed() {} };
  return { pool, sharing, store, join: () => sharing.join(pool.knowledge, listener) };
}

function keyNumber(index: number): ApiKey {
  const id = `google-${index}`;
  return { id, provider: 'google', project: id, secret: new Secret(id, `text-of-${id}`) };
}

/** Leases so many keys and finds the day's quota of each spent. */
export function parkSome(pool: KeyPool, count: number): void {
  for (let parked = 0; parked < count; parked += 1) {
    pool.lease(TARGET)?.report({ kind: 'quota_exhausted', message: '' });
  }
}
