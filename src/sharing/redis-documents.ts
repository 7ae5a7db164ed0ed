import {
  type DocumentChange,
  KEEP_BATCH_MS,
  type NumberRow,
  StaleWriteError,
  type StoreBackend,
  type StoredDocument,
  StoreUnavailableError,
} from '../shared/durable-store.ts';
import type { RedisClient, RedisConnection } from './redis-connection.ts';

export interface RedisDocumentsOptions {
  readonly connection: RedisConnection;
  readonly channel: string;
  /** Announces a change of the collection. */
  message(collection: string): string;
  keyOf(kind: RedisKeyKind, name: string): string;
  readonly now: () => number;
}

export type RedisKeyKind = 'documents' | 'changes' | 'sequence' | 'numbers' | 'batch';

export interface RedisDocuments extends StoreBackend {
  /** Another instance has changed documents of this collection. */
  changed(collection: string): void;
  /** Redis is connected, perhaps another one. */
  connected(): void;
  failed(): void;
  /** Resolves when Redis is connected, or has failed for the first time. */
  readonly settled: Promise<void>;
}

/**
 * Documents and numbers in Redis. A collection of documents is a hash, by name: `version:expiresAt:text`, where 0 never
 * expires. A collection of numbers is a hash, by the field, a line break and the row's name. Times are those of Redis.
 */
export function createRedisDocuments(options: RedisDocumentsOptions): RedisDocuments {
  const { connection, channel, message, keyOf, now } = options;
  const watchers = new Map<string, (() => void)[]>();
  let settle = () => {};
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const changed = (collection: string) => {
    for (const notify of watchers.get(collection) ?? []) notify();
  };
  const run = async <T>(commands: (client: RedisClient) => Promise<T>): Promise<T> => {
    try {
      return await connection.run(commands);
    } catch {
      throw new StoreUnavailableError('Redis does not answer');
    }
  };
  const timeOf = (at: number) => String(Math.round(at + connection.clockOffset));
  return {
    kind: 'redis',
    settled,
    isUp: () => connection.state === 'connected',
    read: (collection) =>
      run(async (client) => {
        const key = keyOf('documents', collection);
        const found = await readWhole(client, key, keyOf('changes', collection));
        const { documents, expired } = readDocuments(found, Number(timeOf(now())));
        if (expired.length > 0) await client.forgetDocuments([key, ...expired]);
        return documents;
      }),
    async write(collection, changes) {
      const keys = [keyOf('documents', collection), keyOf('changes', collection)];
      const parts = changes.flatMap((change) => partsOf(change, timeOf));
      const stale = await run((client) =>
        client.writeDocuments([...keys, channel, message(collection), ...parts]),
      );
      if (typeof stale === 'string') throw new StaleWriteError(stale);
    },
    next: (sequence, count = 1) =>
      run(async (client) => (await client.incrby(keyOf('sequence', sequence), count)) - count + 1),
    async add(collection, rows, expiresAt, batch) {
      const key = keyOf('numbers', collection);
      const keep = batch === undefined ? '' : String(KEEP_BATCH_MS);
      const numbers = rows.flatMap(numbersOf);
      // Other commands have their turn between the parts.
      for (let from = 0; from < numbers.length; from += PART) {
        const keys = [key, batch === undefined ? key : keyOf('batch', `${batch}:${from}`)];
        const part = numbers.slice(from, from + PART).flat();
        await run((client) => client.addNumbers([...keys, timeOf(expiresAt), keep, ...part]));
      }
    },
    rows: (collection) =>
      run(async (client) => readRows(await readHash(client, keyOf('numbers', collection)))),
    watch(collection, notify) {
      watchers.set(collection, [...(watchers.get(collection) ?? []), notify]);
    },
    // The connection stays open: other parts use it too.
    async close() {
      watchers.clear();
    },
    changed,
    connected() {
      settle();
      for (const collection of watchers.keys()) changed(collection);
    },
    failed: () => settle(),
  };
}

function partsOf(change: DocumentChange, timeOf: (at: number) => string): readonly string[] {
  const { name, text, ifVersion = '', expiresAt } = change;
  const ends = expiresAt === undefined ? '0' : timeOf(expiresAt);
  return [name, text ?? '', text === null ? '0' : '1', String(ifVersion), ends];
}

const MAX_READS = 5;

/** Reads again if something was written during the read, so that the result is of one moment. */
async function readWhole(client: RedisClient, key: string, changesKey: string) {
  for (let read = 1; ; read += 1) {
    const before = await client.get(changesKey);
    const found = await readHash(client, key);
    if (read === MAX_READS || (await client.get(changesKey)) === before) return found;
  }
}

const PAGE = '500';

/** In pages: other commands have their turn in between. */
async function readHash(client: RedisClient, key: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  let cursor = '0';
  do {
    const [next, page] = await client.hscan(key, cursor, 'COUNT', PAGE);
    for (let at = 0; at < page.length; at += 2) found.set(page[at] ?? '', page[at + 1] ?? '');
    cursor = next;
  } while (cursor !== '0');
  return found;
}

const DOCUMENT = /^(\d+):(\d+):(.*)$/s;

function readDocuments(found: ReadonlyMap<string, string>, now: number) {
  const documents: StoredDocument[] = [];
  const expired: string[] = [];
  for (const [name, value] of found) {
    const [, version = '', ends = '', text = ''] = DOCUMENT.exec(value) ?? [];
    if (ends !== '0' && Number(ends) <= now) expired.push(name);
    else documents.push({ name, text, version: Number(version) });
  }
  return { documents, expired };
}

/** How many numbers one script adds. */
const PART = 2000;

const numbersOf = ({ name, numbers }: NumberRow): readonly (readonly [string, string])[] =>
  Object.entries(numbers).map(([field, number]) => [`${field}\n${name}`, String(number)]);

function readRows(found: ReadonlyMap<string, string>): readonly NumberRow[] {
  const rows = new Map<string, Record<string, number>>();
  for (const [key, number] of found) {
    const [field = ''] = key.split('\n', 1);
    const name = key.slice(field.length + 1);
    const numbers = rows.get(name) ?? {};
    rows.set(name, numbers);
    numbers[field] = Number(number);
  }
  return [...rows].map(([name, numbers]) => ({ name, numbers }));
}
