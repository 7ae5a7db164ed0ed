import type { Config } from './config/config.ts';
import type { WaitQueues } from './failover/wait-queue.ts';
import type { KeyPool } from './pool/key-pool.ts';
import type { Peers } from './pool/peers.ts';
import type { Clock } from './shared/clock.ts';
import { atMost } from './shared/clock.ts';
import type { Logger } from './shared/logger.ts';
import type { RedisState, SharedStore } from './shared/shared-store.ts';
import type { SharingCounts } from './sharing/sharing.ts';

/** What this process shares with others that have the same keys. */
export interface Share {
  readonly peers: Peers;
  readonly sharedStore: SharedStore;
  /** The state of the connection to Redis. */
  readonly redis: () => RedisState;
  counts(): SharingCounts;
  /** Begins with what the others know, as far as that can be had soon. */
  join(pool: KeyPool, lines: WaitQueues): Promise<void>;
  stop(): Promise<void>;
}

export interface ShareParts {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
}

/** What does not answer does not keep a new process from serving. */
const JOIN_LIMIT_MS = 1000;
const LEAVE_LIMIT_MS = 500;

/** Null without Redis, whose client is then not loaded. */
export async function loadShare(config: Config, parts: ShareParts): Promise<Share | null> {
  const { clock } = parts;
  const { redisUrl: url, redisPrefix: prefix, keys, cooldownMs } = config;
  if (url === null) return null;
  const { Sharing } = await import('./sharing/sharing.ts');
  const { createRedisStore } = await import('./sharing/redis-store.ts');
  const store = createRedisStore({ url, prefix, ...parts });
  const { connection } = store;
  const sharing = new Sharing({ store: store.records, keys, cooldownMs, clock });
  return {
    peers: sharing.peers,
    sharedStore: store,
    redis: () => connection.state,
    counts: () => sharing.counts,
    join(pool, lines) {
      const joined = sharing.join(pool.knowledge, {
        opened: (service) => lines[service].keyProved(null),
        changed: (service) => lines[service].leaseFailed(null),
      });
      return atMost(JOIN_LIMIT_MS, clock, joined, undefined);
    },
    async stop() {
      await atMost(LEAVE_LIMIT_MS, clock, sharing.stop(), undefined);
      connection.close();
    },
  };
}
