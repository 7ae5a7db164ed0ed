import type { RedisProcess } from '../support/redis-process.ts';
import { type Server, startServer } from './server.ts';

/** How many serve, and how they know of each other. */
export interface Setting {
  readonly title: string;
  readonly instances: number;
  readonly hasRedis: boolean;
}

const of = (instances: number, hasRedis: boolean): Setting => ({
  title: titleOf(instances, hasRedis),
  instances,
  hasRedis,
});

function titleOf(instances: number, hasRedis: boolean): string {
  if (instances === 1) return hasRedis ? '1 instance, Redis' : '1 instance';
  return `${instances} instances, ${hasRedis ? 'Redis' : 'each alone'}`;
}

/** What everything else stands beside. */
export const ONE = of(1, false);
export const ONE_WITH_REDIS = of(1, true);
/** As `ONE`: what lies between the two is chance. */
const ONE_AGAIN = { ...ONE, title: '1 instance, the same once more' };

export const SETTINGS: readonly Setting[] = [
  ONE,
  of(2, false),
  of(4, false),
  ONE_WITH_REDIS,
  of(2, true),
  of(4, true),
  ONE_AGAIN,
];

/** Whether several know what each of them finds out. */
export const isShared = ({ hasRedis }: Setting) => hasRedis;

export interface Fleet {
  readonly urls: readonly string[];
  cpuMs(): number;
  stop(): Promise<void>;
}

let fleets = 0;

/** Each with a corner of its own in Redis, so that it starts knowing nothing. */
export async function startFleet(
  { instances, hasRedis }: Setting,
  environment: Readonly<Record<string, string>>,
  redis: RedisProcess,
): Promise<Fleet> {
  fleets += 1;
  const shared = { REDIS_URL: redis.url, REDIS_PREFIX: `fleet-${fleets}:` };
  const settings = {
    RATE_LIMIT_CHAT: '0',
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
