import { setTimeout } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { KeyPool } from '../../src/pool/key-pool.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { Secret } from '../../src/shared/secret.ts';
import { modelTarget } from '../../src/shared/target.ts';
import { createRedisStore, type RedisStore } from '../../src/sharing/redis-store.ts';
import { Sharing } from '../../src/sharing/sharing.ts';
import { startRedis } from '../support/redis-process.ts';

/** A Redis with nothing in it, and a client to look at it. */
export interface Stage {
  readonly url: string;
  readonly port: number;
  readonly client: Redis;
  stop(): Promise<void>;
}

export async function startStage(): Promise<Stage> {
  const redis = await startRedis();
  const client = new Redis(redis.url);
  return {
    url: redis.url,
    port: redis.port,
    client,
    async stop() {
      client.disconnect();
      await redis.stop();
    },
  };
}

const LOOK_MS = 2;

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setTimeout(LOOK_MS);
}

/** What a Redis has done since it was started. */
export interface RedisUsage {
  /** Sent by clients; those within scripts are part of one. */
  readonly commands: number;
  /** Microseconds in them, without reading and writing the sockets. */
  readonly commandUs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Of the whole process, in microseconds. */
  readonly cpuUs: number;
  readonly memory: number;
}

export async function usageOf(client: Redis): Promise<RedisUsage> {
  const text = await client.info('all');
  const numberOf = (name: string) => Number(new RegExp(`^${name}:(.+)$`, 'm').exec(text)?.[1]);
  const sent = [...text.matchAll(COMMAND)].filter(([, name = '']) => SENT.has(name));
  const sum = (group: number) => sent.reduce((all, match) => all + Number(match[group]), 0);
  return {
    commands: sum(2),
    commandUs: sum(3),
    bytesIn: numberOf('total_net_input_bytes'),
    bytesOut: numberOf('total_net_output_bytes'),
    cpuUs: (numberOf('used_cpu_user') + numberOf('used_cpu_sys')) * 1e6,
    memory: numberOf('used_memory'),
  };
}

const COMMAND = /^cmdstat_(\S+):calls=(\d+),usec=(\d+)/gm;
/** What instances send themselves; everything else happens within scripts, or is ours. */
const SENT: ReadonlySet<string> = new Set(['evalsha', 'eval', 'mget', 'zrange', 'subscribe']);

export function since(before: RedisUsage, after: RedisUsage): RedisUsage {
  return {
    commands: after.commands - before.commands,
    commandUs: after.commandUs - before.commandUs,
    bytesIn: after.bytesIn - before.bytesIn,
    bytesOut: after.bytesOut - before.bytesOut,
    cpuUs: after.cpuUs - before.cpuUs,
    memory: after.memory - before.memory,
  };
}

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
  const keys = Array.from({ length: keyCount }, (_, index) => keyNumber(index));
  const store = createRedisStore({
    url: new Secret('redis', redisUrl),
    prefix: PREFIX,
    keys,
    clock,
    random: Math.random,
    log: createLogger({ level: 'silent', redact: (text) => text }),
  });
  const sharing = new Sharing({ store: store.records, keys, cooldownMs, clock });
  const pool = new KeyPool({
    keys,
    targets: [TARGET],
    cooldownMs,
    now: clock.now,
    peers: sharing.peers,
  });
  const listener = { opened() {}, changed() {} };
  return { pool, sharing, store, join: () => sharing.join(pool, listener) };
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
