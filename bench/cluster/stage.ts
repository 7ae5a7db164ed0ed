import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { StandinOptions } from '../../standin/standin.ts';
import { type Child, startChild } from '../support/child.ts';
import { cpuMsOf } from '../support/proc.ts';
import type { RedisProcess } from '../support/redis-process.ts';
import { script } from '../support/script.ts';

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
  for (let index = 0; index < instances; index += 1) servers.push(await startServer(settings));
  return {
    urls: servers.map(({ url }) => url),
    cpuMs: () => servers.reduce((sum, server) => sum + server.cpuMs(), 0),
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const LISTENING = /"port":(\d+).*"msg":"listening"/;
const LOOK_MS = 20;
const START_LIMIT_MS = 20_000;

/** The built server as a process of its own. */
export interface Server {
  readonly url: string;
  /** Milliseconds of CPU that all its processes have used so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

/** Killed when the bench ends, however it ends. */
const running = new Set<() => void>();
process.once('exit', () => {
  for (const kill of running) kill();
});

/** With no other settings than these; its log goes to a file, as no reader of a pipe would be fast enough. */
async function startServer(environment: Readonly<Record<string, string>>): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-server-'));
  const log = join(folder, 'log');
  const output = openSync(log, 'w');
  const child = spawn(process.execPath, [MAIN], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: '0', ...environment },
    stdio: ['ignore', output, output],
  });
  const { pid = 0 } = child;
  const kill = () => void child.kill('SIGKILL');
  running.add(kill);
  return {
    url: `http://127.0.0.1:${await portIn(log)}`,
    cpuMs: () => cpuMsOf(pid),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGINT');
      await ended;
      running.delete(kill);
      rmSync(folder, { recursive: true });
    },
  };
}

async function portIn(log: string): Promise<string> {
  for (let waitedMs = 0; waitedMs < START_LIMIT_MS; waitedMs += LOOK_MS) {
    const [, port] = LISTENING.exec(readFileSync(log, 'utf8')) ?? [];
    if (port !== undefined) return port;
    await setTimeout(LOOK_MS);
  }
  throw new Error(`the server does not listen:\n${readFileSync(log, 'utf8')}`);
}

export type StandinShape = Omit<StandinOptions, 'clock'>;

/** Its `report` is the number of calls. */
export const startStandinProcess = (shape: StandinShape): Promise<Child> =>
  startChild(process.execPath, script('cluster/standin-process.ts', JSON.stringify(shape)));

/** The settings with which a server uses the stand-in and its keys. */
export const settingsFor = ({ keys }: StandinShape, { url }: Child): Record<string, string> => ({
  GOOGLE_BASE_URL: url,
  ...Object.fromEntries(keys.map(({ key }, index) => [`GOOGLE_API_KEY_${index + 1}`, key])),
});
