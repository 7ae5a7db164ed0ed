import { KeyPool } from '../../src/pool/key-pool.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { Secret } from '../../src/shared/secret.ts';
import { createRedisExchange } from '../../src/sharing/redis/redis-exchange.ts';
import type { RedisLink } from '../../src/sharing/redis/redis-link.ts';
import { Sharing } from '../../src/sharing/sharing.ts';

export const MODEL = 'gemini-flash-latest';
export const PREFIX = 'understudy:';
const HOUR = 3_600_000;

/** What of an instance has to do with Redis: a pool that shares. */
export interface Instance {
  readonly pool: KeyPool;
  readonly sharing: Sharing;
  readonly link: RedisLink;
  /** Resolves once all that Redis knows is known here. */
  join(): Promise<void>;
}

export function createInstance(redisUrl: string, keyCount: number, cooldownMs = HOUR): Instance {
  const clock = createSystemClock();
  const { exchange, link } = createRedisExchange({
    url: new Secret('redis', redisUrl),
    prefix: PREFIX,
    clock,
    random: Math.random,
    log: createLogger({ level: 'silent', redact: (text) => text }),
  });
  const keys = Array.from({ length: keyCount }, (_, index) => keyNumber(index));
  const sharing = new Sharing({ exchange, keys, cooldownMs, clock });
  const pool = new KeyPool({
    keys,
    models: { google: [MODEL], anam: [] },
    cooldownMs,
    now: clock.now,
    peers: sharing.peers,
  });
  const waiting = { opened() {}, changed() {} };
  return { pool, sharing, link, join: () => sharing.join(pool.knowledge, waiting) };
}

function keyNumber(index: number): ApiKey {
  const id = `google-${index}`;
  return { id, service: 'google', project: id, secret: new Secret(id, `text-of-${id}`) };
}

/** Leases so many keys and finds the day's quota of each spent. */
export function parkSome(pool: KeyPool, count: number): void {
  for (let parked = 0; parked < count; parked += 1) {
    pool.lease('google', MODEL)?.report({ kind: 'quota_exhausted', message: '' });
  }
}
