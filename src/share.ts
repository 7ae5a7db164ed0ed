import type { Config } from './config.ts';
import type { KeyPool } from './pool/key-pool.ts';
import type { Peers } from './pool/peers.ts';
import type { WaitingLines } from './service/waiting-line.ts';
import { atMost } from './shared/at-most.ts';
import type { Clock } from './shared/clock.ts';
import type { Common, RedisState } from './shared/common.ts';
import type { Logger } from './shared/logger.ts';
import type { Exchange } from './sharing/exchange.ts';
import type { SharingCounts } from './sharing/sharing.ts';
import type { Hub } from './workers/hub.ts';

/** What this process has in common with others that have the same keys. */
export interface Share {
  readonly peers: Peers;
  readonly common: Common;
  /** How it stands with Redis; null where there is none. */
  readonly redis: (() => RedisState) | null;
  counts(): SharingCounts;
  /** Begins with what the others know, as far as that can be had soon. */
  join(pool: KeyPool, lines: WaitingLines): Promise<void>;
  stop(): Promise<void>;
}

export interface ShareParts {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
  /** A worker's; null for a process that has no primary. */
  readonly hub: Hub | null;
}

/** What does not answer does not keep a new process from serving. */
const JOIN_LIMIT_MS = 1000;
const LEAVE_LIMIT_MS = 500;

/**
 * Through Redis, or without one through the primary of this machine's workers. Nothing of it is loaded
 * by a process that is alone.
 */
export async function loadShare(config: Config, parts: ShareParts): Promise<Share | null> {
  const { clock } = parts;
  const place = await loadPlace(config, parts);
  if (place === null) return null;
  const { Sharing } = await import('./sharing/sharing.ts');
  const { keys, cooldownMs } = config;
  const { exchange, common, redis, close } = place;
  const sharing = new Sharing({ exchange, keys, cooldownMs, clock });
  return {
    peers: sharing.peers,
    common,
    redis,
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
      close();
    },
  };
}

/** Where processes meet. */
interface Place extends Pick<Share, 'common' | 'redis'> {
  readonly exchange: Exchange;
  close(): void;
}

async function loadPlace(config: Config, { hub, ...parts }: ShareParts): Promise<Place | null> {
  const { redisUrl: url, redisPrefix: prefix } = config;
  if (url !== null) {
    const { createRedisExchange } = await import('./sharing/redis/redis-exchange.ts');
    const { createRedisCommon } = await import('./sharing/redis/redis-common.ts');
    const { exchange, link } = createRedisExchange({ url, prefix, ...parts });
    const common = createRedisCommon(link, prefix);
    return { exchange, common, redis: () => link.state, close: () => link.close() };
  }
  if (hub === null) return null;
  const { createHubExchange, createHubCommon } = await import('./sharing/workers/hub-exchange.ts');
  const { exchange, close } = createHubExchange({ hub, ...parts });
  return { exchange, common: createHubCommon(hub), redis: null, close };
}
