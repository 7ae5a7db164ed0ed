import type { StandinOptions } from '../../standin/standin.ts';
import { type Child, startChild } from '../support/child.ts';
import type { RedisProcess } from '../support/redis-process.ts';
import { script } from '../support/script.ts';
import { type Server, startServer, understudy } from '../support/server.ts';

/** How many instances serve, and whether they share. */
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

/** All others are compared with it. */
export const ONE = of(1, false);
export const ONE_WITH_REDIS = of(1, true);
/** As `ONE`: the difference between the two is chance. */
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

export const isShared = ({ hasRedis }: Setting) => hasRedis;

export interface Fleet {
  readonly urls: readonly string[];
  cpuMs(): number;
  stop(): Promise<void>;
}

let fleets = 0;

/** Each with a prefix of its own in Redis, so that it starts without records. */
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
  while (servers.length < instances) servers.push(await startServer(understudy(settings)));
  return {
    urls: servers.map(({ url }) => url),
    cpuMs: () => servers.reduce((sum, server) => sum + server.cpuMs(), 0),
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

export type StandinShape = Omit<StandinOptions, 'clock'>;

/** Its `report` is the number of calls. */
export const startStandinProcess = (shape: StandinShape): Promise<Child> =>
  startChild(process.execPath, script('cluster/standin-process.ts', JSON.stringify(shape)));

/** The settings with which a server uses the stand-in and its keys. */
export const settingsFor = (
  { keys }: { readonly keys: readonly { readonly key: string }[] },
  { url }: { readonly url: string },
): Record<string, string> => ({
  GOOGLE_BASE_URL: url,
  ...Object.fromEntries(keys.map(({ key }, index) => [`GOOGLE_API_KEY_${index + 1}`, key])),
});
