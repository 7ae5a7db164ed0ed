import { afterEach } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { PROVIDERS, startUnderstudy } from '../../src/server.ts';
import { type Clock, createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { type Standin, type StandinOptions, startStandin } from '../../standin/standin.ts';
import type { LogLine } from './start-app.ts';

/** One of several servers with the same keys. */
export interface Instance {
  readonly url: string;
  readonly logs: readonly LogLine[];
  readonly logText: () => string;
  stop(): Promise<boolean>;
  chat(message: string): Promise<{ readonly status: number; readonly text: string }>;
  /** The JSON that it answers with. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  get(path: string, headers?: Record<string, string>): Promise<any>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
}

export interface InstanceSetting {
  readonly environment: Readonly<Record<string, string>>;
  /** How far its clock is ahead of this machine's. */
  readonly clockAheadMs?: number;
  /** How many times faster its timers run than real time: for tests that wait for heartbeats. */
  readonly timersFaster?: number;
  /** How long a minute of a quota lasts. Default: a minute. */
  readonly minuteMs?: number;
  /** From 0 to 1; at 0 its rotation begins with the first key. Default: any. */
  readonly random?: () => number;
}

const running: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
});

const systemClock = createSystemClock();

/** The providers of all instances of a test. */
export async function startProviders(
  keys: StandinOptions['keys'],
  options: Partial<StandinOptions> = {},
): Promise<Standin> {
  const standin = await startStandin({ clock: systemClock, keys, ...options });
  running.push(() => standin.close());
  return standin;
}

/** When the stand-in was called with this key. */
export const timesOf = (standin: Standin, wanted: string): readonly number[] =>
  standin.calls.filter(({ key }) => key === wanted).map(({ at }) => at);

/**
 * Milliseconds between calls, without those of one moment: several instances may find a key spent before they
 * know of each other.
 */
export const gapsOf = (times: readonly number[]): readonly number[] =>
  times.map((at, index) => at - (times[index - 1] ?? at)).filter((gap) => gap > 500);

/** Settings of so many keys, each a project of its own. */
export const keySettings = (keys: StandinOptions['keys']): Record<string, string> =>
  Object.fromEntries(keys.map(({ key }, index) => [`GOOGLE_API_KEY_${index + 1}`, key]));

export async function startInstance(setting: InstanceSetting): Promise<Instance> {
  const config = readConfig(
    {
      HOST: '127.0.0.1',
      PORT: '0',
      RATE_LIMIT_CHAT: '0',
      RATE_LIMIT_SESSIONS: '0',
      ...setting.environment,
    },
    PROVIDERS,
  );
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ level: 'debug', redact: config.redact, destination });
  const { random = Math.random, clockAheadMs = 0, timersFaster = 1, minuteMs = 60_000 } = setting;
  const clock: Clock = {
    now: () => systemClock.now() + clockAheadMs,
    after: (delayMs, callback) => systemClock.after(delayMs / timersFaster, callback),
  };
  const understudy = await startUnderstudy(config, { clock, random, log, minuteMs });
  const url = `http://127.0.0.1:${understudy.port}`;
  let stopped: Promise<boolean> | null = null;
  const stop = () => {
    stopped ??= understudy.stop(1000);
    return stopped;
  };
  running.push(stop);
  const post: Instance['post'] = (path, body, headers = {}) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  return {
    url,
    get logs() {
      return lines.map((line) => JSON.parse(line) as LogLine);
    },
    logText: () => lines.join(''),
    stop,
    post,
    async chat(message) {
      const response = await post('/api/chat', { message });
      return { status: response.status, text: await response.text() };
    },
    get: async (path, headers = {}) => (await fetch(`${url}${path}`, { headers })).json(),
  };
}
