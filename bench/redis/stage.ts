import { setTimeout } from 'node:timers/promises';
import { Redis } from 'ioredis';
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
