import { setImmediate as nextTurn } from 'node:timers/promises';
// The server loads it at the first avatar call: meanwhile the fake clock would run past the limits.
import 'axios';
import request, { type Response } from 'supertest';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type Config, readConfig } from '../../src/config/config.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { PROVIDERS, startUnderstudy } from '../../src/server.ts';
import { createLogger } from '../../src/shared/logger.ts';
import {
  type Standin,
  type StandinCall,
  type StandinOptions,
  startStandin,
} from '../../standin/standin.ts';
import { createFakeClock, type FakeClock } from './fake-clock.ts';

export interface App {
  readonly url: string;
  readonly clock: FakeClock;
  readonly standin: Standin;
  /** Every log line so far, parsed. */
  readonly logs: readonly LogLine[];
  /** Every log line so far, as it was written. */
  readonly logText: () => string;
  stop(): Promise<boolean>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  chat(message: string, more?: Record<string, unknown>): Promise<Answer>;
  counts(service?: 'google' | 'anam'): Promise<Record<string, number>>;
}

export interface LogLine {
  readonly msg: string;
  readonly level: number;
  readonly [field: string]: unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  readonly body: any;
  readonly text: string;
}

export interface Setting {
  /** The stand-in's keys, by default all those that the environment names, without any fault. */
  readonly standin?: Partial<StandinOptions>;
  readonly environment: Record<string, string>;
  readonly startMs?: number;
  /** Default: live. */
  readonly mode?: Config['mode'];
  /** Default: one of its own. */
  readonly clock?: FakeClock;
  /** Beside Google and Anam. */
  readonly moreProviders?: readonly Provider<Config>[];
}

const running: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
});

/** The whole server over real HTTP, its providers the stand-in, until the end of the test; time is fake. */
export async function startApp(setting: Setting): Promise<App> {
  const { app, end } = await run(setting);
  running.push(end);
  return app;
}

/** One app for all tests of a block, which leave its keys as they were. The stand-in forgets the calls of earlier tests. */
export function shareApp(setting: Setting): () => App {
  let shared: Awaited<ReturnType<typeof run>> | null = null;
  beforeAll(async () => {
    shared = await run(setting);
  });
  beforeEach(() => {
    (app().standin.calls as StandinCall[]).length = 0;
  });
  afterAll(() => shared?.end());
  function app(): App {
    if (shared === null) throw new Error('the app starts before the first test');
    return shared.app;
  }
  return app;
}

async function run(setting: Setting): Promise<{ app: App; end(): Promise<unknown> }> {
  const { standin: options, environment, startMs } = setting;
  const clock = setting.clock ?? createFakeClock(startMs ?? Date.UTC(2026, 10, 24, 18));
  const standin = await startStandin({ clock, keys: keysIn(environment), ...options });
  const settings = {
    HOST: '127.0.0.1',
    PORT: '0',
    ANAM_PERSONA_ID: 'persona-1',
    RATE_LIMIT_CHAT: '0',
    RATE_LIMIT_SESSIONS: '0',
    GOOGLE_BASE_URL: standin.url,
    ANAM_BASE_URL: standin.url,
    ...environment,
  };
  const providers = [...PROVIDERS, ...(setting.moreProviders ?? [])];
  const config = readConfig(settings, providers, setting.mode);
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ level: 'debug', redact: config.redact, destination });
  const understudy = await startUnderstudy(config, { clock, random: () => 0.5, log, providers });
  const url = `http://127.0.0.1:${understudy.port}`;
  let stopped: Promise<boolean> | null = null;
  const stop = () => {
    stopped ??= understudy.stop(1000);
    return stopped;
  };
  const end = async () => {
    await standin.close();
    await flow(clock, stop());
  };

  const post: App['post'] = (path, body, headers) =>
    ask(`${url}${path}`, {
      method: 'post',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    });
  const get: App['get'] = (path, headers = {}) => ask(`${url}${path}`, { method: 'get', headers });
  const app: App = {
    url,
    clock,
    standin,
    get logs() {
      return lines.map((line) => JSON.parse(line) as LogLine);
    },
    logText: () => lines.join(''),
    stop,
    post,
    get,
    chat: (message, more = {}) => post('/api/chat', { message, ...more }),
    counts: async (service = 'google') => (await get('/api/keys/status')).body.api_keys[service],
  };
  return { app, end };
}

/** Lets fake time run while real sockets work, until the promise has settled. */
export async function flow<T>(clock: FakeClock, promise: Promise<T>, stepMs = 5): Promise<T> {
  let isSettled = false;
  const settled = () => {
    isSettled = true;
  };
  promise.then(settled, settled);
  while (!isSettled) {
    await nextTurn();
    if (!isSettled) clock.advance(stepMs);
  }
  return promise;
}

function keysIn(environment: Record<string, string>): StandinOptions['keys'] {
  const named = Object.entries(environment).filter(([name]) =>
    /^(GOOGLE|ANAM)_API_KEY(_\d+)?$/.test(name),
  );
  return named.map(([name, key]) => ({
    key,
    service: name.startsWith('GOOGLE') ? 'google' : 'anam',
  }));
}

async function ask(url: string, { method, headers, body }: Asked): Promise<Answer> {
  const call = request(url)[method]('').set(headers).buffer(true).parse(readText);
  const response = await (body === undefined ? call : call.send(body));
  const text = String(response.body);
  const isJson = String(response.headers['content-type']).includes('json');
  return {
    status: response.status,
    headers: new Headers(response.headers),
    body: isJson ? JSON.parse(text) : null,
    text,
  };
}

interface Asked {
  readonly method: 'get' | 'post';
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array;
}

/** The body as it came, so that a test can look at the text as well as at what it says. */
function readText(response: Response, done: (error: Error | null, text: string) => void): void {
  let text = '';
  const stream = response as unknown as NodeJS.ReadableStream;
  stream.setEncoding('utf8');
  stream.on('data', (part: string) => {
    text += part;
  });
  stream.on('end', () => done(null, text));
  stream.on('error', (error) => done(error, text));
}
