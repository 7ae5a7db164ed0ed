import type { RedisProcess } from '../support/redis-process.ts';
import { type Server, startServer } from './server.ts';

/** How many serve, and how they know of each other. */
export interface Setting {
  readonly title: string;
  readonly instances: number;
  readonly workers: number;
  readonly hasRedis: boolean;
}

const of = (instances: number, workers: number, hasRedis: boolean): Setting => ({
  title: titleOf(instances, workers, hasRedis),
  instances,
  workers,
  hasRedis,
});

function titleOf(instances: number, workers: number, hasRedis: boolean): string {
  if (workers > 1) return `\`WORKERS=${workers}\``;
  if (instances === 1) return hasRedis ? '1 instance, Redis' : '1 instance';
  return `${instances} instances, ${hasRedis ? 'Redis' : 'each alone'}`;
}

/** What everything else stands beside. */
export const ONE = of(1, 1, false);
export const ONE_WITH_REDIS = of(1, 1, true);
/** As `ONE`: what lies between the two is chance. */
const ONE_AGAIN = { ...ONE, title: '`WORKERS=1`, the same once more' };

export const SETTINGS: readonly Setting[] = [
  ONE,
  of(2, 1, false),
  of(4, 1, false),
  ONE_WITH_REDIS,
  of(2, 1, true),
  of(4, 1, true),
  ONE_AGAIN,
  of(1, 2, false),
  of(1, 4, false),
];

/** Whether several know what each of them finds out. */
export const isShared = ({ hasRedis, workers }: Setting) => hasRedis || workers > 1;

export interface Fleet {
  readonly urls: readonly string[];
  cpuMs(): number;
  stop(): Promise<void>;
}

let fleets = 0;

/** Each with a corner of its own in Redis, so that it starts knowing nothing. */
export async function startFleet(
  { instances, workers, hasRedis }: Setting,
  environment: Readonly<Record<string, string>>,
  redis: RedisProcess,
): Promise<Fleet> {
  fleets += 1;
  const shared = { REDIS_URL: redis.url, REDIS_PREFIX: `fleet-${fleets}:` };
  const settings = {
    RATE_LIMIT_CHAT: '0',
    WORKERS: String(workers),
    ...(hasRedis ? shared : {}),
    ...environment,
  };
  const servers: Server[] = [];
  for (let index = 0; index < instances; index += 1) servers.push(await startServer(settings));
  return {
    urls: servers.map(({ url }) => url),
    cpuMs: () => servers.reduce((sum, server) => sum + server.cpuMs(), 0),
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}
