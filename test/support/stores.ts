import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { type Clock, createSystemClock } from '../../src/shared/clock.ts';
import type { DurableStore } from '../../src/shared/durable-store.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { Secret } from '../../src/shared/secret.ts';
import { openStore } from '../../src/sharing/open-store.ts';
import { createRedisStore } from '../../src/sharing/redis-store.ts';
import type { LogLine } from './start-app.ts';

export interface StorePlace {
  readonly dataDir?: string;
  readonly redisUrl?: string;
  readonly masterKey?: string;
  /** Default: the real one. */
  readonly clock?: Clock;
}

export interface OpenedStore extends DurableStore {
  readonly logs: readonly LogLine[];
}

const opened: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** A store as the server opens it, until the end of the test. */
export async function openedStore(place: StorePlace): Promise<OpenedStore> {
  const { dataDir = null, redisUrl, masterKey, clock = createSystemClock() } = place;
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ level: 'debug', redact: (text) => text, destination });
  const options = { prefix: 'understudy:', keys: [], clock, random: Math.random, log };
  const redis =
    redisUrl === undefined
      ? undefined
      : createRedisStore({ url: new Secret('redis', redisUrl), ...options });
  opened.push(() => redis?.connection.close());
  const store = await openStore({
    redis: redis?.documents,
    dataDir,
    masterKey: masterKey === undefined ? null : new Secret('master-key', masterKey),
    clock,
    log,
  });
  opened.push(() => store.close());
  const logs = { get: () => lines.map((line) => JSON.parse(line) as LogLine) };
  return Object.defineProperty(store, 'logs', logs) as OpenedStore;
}

/** An empty folder, until the end of the test. */
export async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-store-'));
  opened.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
