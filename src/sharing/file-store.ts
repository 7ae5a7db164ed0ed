import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'libsql/promise';
import type { Clock, Timer } from '../shared/clock.ts';
import {
  type DocumentChange,
  KEEP_BATCH_MS,
  type NumberRow,
  StaleWriteError,
  type StoreBackend,
  type StoredDocument,
  StoreUnavailableError,
} from '../shared/durable-store.ts';

export interface FileStoreOptions {
  /** The folder, which is created if it is missing. */
  readonly folder: string;
  readonly clock: Clock;
}

/**
 * Keeps everything in one SQLite file, which several processes of one machine may share. SQLite works outside the main
 * thread, one call after the other. A file that is removed at run time is not made again: that would hide the loss.
 *
 * @throws an error of the file system or of SQLite when the file cannot be written
 */
export async function openFileStore({ folder, clock }: FileStoreOptions): Promise<StoreBackend> {
  const path = join(folder, FILE);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await (await open(path, 'a', OWNER_ONLY)).close();
  const file = new StoreFile(path, clock);
  await file.open();
  const watchers = new Watchers(file, clock);
  const { now } = clock;
  return {
    kind: 'file',
    isUp: () => file.isUp,
    read: (collection) => file.run((database) => readDocuments(database, collection, now())),
    write: (collection, changes) =>
      file.change((database) => writeDocuments(database, collection, changes, now())),
    next: (sequence, count = 1) => file.change((database) => nextNumber(database, sequence, count)),
    add: (collection, rows, expiresAt, batch = '') =>
      file.change((database) =>
        addNumbers(database, { collection, rows, expiresAt, batch }, now()),
      ),
    rows: (collection) => file.run((database) => readNumbers(database, collection, now())),
    watch: (collection, changed) => watchers.add(collection, changed),
    close() {
      watchers.close();
      return file.close();
    },
  };
}

const FILE = 'understudy.db';
const OWNER_ONLY = 0o600;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS documents (
  collection TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, version INTEGER NOT NULL, expires_at INTEGER,
  PRIMARY KEY (collection, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS documents_that_expire ON documents (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS changes (collection TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequences (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sums (collection TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (
  collection TEXT NOT NULL, name TEXT NOT NULL, field TEXT NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (collection, name, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID;
`;

/** How long a call waits for the write of another process. */
const BUSY_MS = 1000;
const BUSY_PAUSE_MS = 10;
/** The same while the file is opened. */
const OPEN_BUSY_MS = 100;
/** The deadline of a call: a disk may hang. */
const CALL_LIMIT_MS = 5000;
const MAX_CALLS = 1000;

type Work<T> = (database: Database) => Promise<T>;

/** The open file. Its calls run one after the other, each with a deadline. */
class StoreFile {
  /** Whether the last write succeeded: a full disk can still be read. */
  canWrite = true;
  #answers = true;
  readonly #path: string;
  readonly #clock: Clock;
  #database: Database | null = null;
  #inode = 0n;
  #last: Promise<unknown> = Promise.resolve();
  #calls = 0;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Identifies the open file: it may be replaced, such as by a backup. */
  get inode(): bigint {
    return this.#inode;
  }

  get isUp(): boolean {
    return this.#answers && this.canWrite;
  }

  async open(): Promise<void> {
    const { ino } = await stat(this.#path, { bigint: true });
    const database = new Database(this.#path, {});
    this.#database = database;
    await query(database, `PRAGMA busy_timeout = ${OPEN_BUSY_MS}`);
    await query(database, 'PRAGMA journal_mode = WAL');
    await database.exec(`PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; ${INPUT}`);
    await this.#transaction(database, () => database.exec(SCHEMA));
    await Promise.all(['', '-wal', '-shm'].map((end) => protect(this.#path + end)));
    this.#inode = ino;
  }

  /** @throws StaleWriteError; StoreUnavailableError for every other failure */
  run<T>(work: Work<T>): Promise<T> {
    if (this.#calls >= MAX_CALLS) return Promise.reject(unavailable('has too many calls'));
    this.#calls += 1;
    const done = this.#last.then(() => this.#call(work));
    this.#last = done
      .catch(() => {})
      .finally(() => {
        this.#calls -= 1;
      });
    return this.#withinLimit(done);
  }

  /** The same in one transaction. */
  change<T>(work: Work<T>): Promise<T> {
    return this.run(async (database) => {
      try {
        const result = await this.#transaction(database, () => work(database));
        this.canWrite = true;
        return result;
      } catch (error) {
        this.canWrite &&= error instanceof StaleWriteError;
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    const closed = this.#last.then(async () => {
      if (this.#database === null) return;
      // Everything is then in one file, for a backup.
      await query(this.#database, 'PRAGMA wal_checkpoint(TRUNCATE)').catch(() => {});
      this.#database.close();
    });
    this.#last = Promise.reject(unavailable('is closed'));
    this.#last.catch(() => {});
    await this.#withinLimit(closed).catch(() => {});
  }

  async #call<T>(work: Work<T>): Promise<T> {
    try {
      const result = await work(await this.#opened());
      this.#answers = true;
      return result;
    } catch (error) {
      if (error instanceof StaleWriteError) throw error;
      this.#answers = false;
      throw unavailable(`fails (${codeOf(error)})`);
    }
  }

  /** SQLite alone would continue to use a file that was removed or replaced. */
  async #opened(): Promise<Database> {
    const { ino } = await stat(this.#path, { bigint: true });
    if (ino === this.#inode && this.#database !== null) return this.#database;
    this.#database?.close();
    this.#database = null;
    await this.open();
    if (this.#database === null) throw unavailable('is closed');
    return this.#database;
  }

  async #transaction<T>(database: Database, work: () => Promise<T>): Promise<T> {
    await this.#begin(database, this.#clock.now() + BUSY_MS);
    try {
      const result = await work();
      await database.exec('COMMIT');
      return result;
    } catch (error) {
      // Some failures have ended it already.
      await database.exec('ROLLBACK').catch(() => {});
      throw error;
    }
  }

  /** Tries again while another process writes. SQLite's own wait would block a thread of the pool. */
  async #begin(database: Database, until: number): Promise<void> {
    const { now, after } = this.#clock;
    try {
      await database.exec('BEGIN IMMEDIATE');
    } catch (error) {
      if (codeOf(error) !== 'SQLITE_BUSY' || now() >= until) throw error;
      await new Promise<void>((resolve) => {
        after(BUSY_PAUSE_MS, resolve);
      });
      await this.#begin(database, until);
    }
  }

  #withinLimit<T>(done: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const limit = this.#clock.after(CALL_LIMIT_MS, () => {
        this.#answers = false;
        reject(unavailable('does not answer in time'));
      });
      done.then(resolve, reject).finally(() => limit.cancel());
    });
  }
}

const unavailable = (what: string) => new StoreUnavailableError(`the file of the store ${what}`);

/** The code of an error of Node or of SQLite. */
export function codeOf(error: unknown): string {
  const { code } = error instanceof Error ? (error as { code?: unknown }) : {};
  return typeof code === 'string' ? code : 'unknown';
}

async function protect(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o777) !== OWNER_ONLY) await chmod(path, OWNER_ONLY);
}

/** `all` runs outside the main thread until the first row; the package's `run` and `get` do not. */
const query = async (database: Database, sql: string, ...values: readonly unknown[]) =>
  (await (await database.prepare(sql)).all(...values)) as readonly Record<string, unknown>[];

/** The input of a statement as JSON: only statements without parameters run outside the main thread. */
const INPUT = 'CREATE TEMP TABLE input (text TEXT)';

async function give(database: Database, input: unknown): Promise<void> {
  await database.exec('DELETE FROM input');
  await (await database.prepare('INSERT INTO input VALUES (?)')).run([JSON.stringify(input)]);
}

const PAGE = 500;

async function readDocuments(database: Database, collection: string, now: number) {
  const documents: StoredDocument[] = [];
  const sql = `SELECT name, text, version FROM documents WHERE collection = ? AND name > ?
    AND (expires_at IS NULL OR expires_at > ?) ORDER BY name LIMIT ${PAGE}`;
  await database.exec('BEGIN');
  try {
    for (let name = '', isMore = true; isMore; name = documents.at(-1)?.name ?? '') {
      const page = await query(database, sql, collection, name, now);
      for (const row of page) documents.push(documentOf(row));
      isMore = page.length === PAGE;
    }
  } finally {
    await database.exec('COMMIT');
  }
  return documents;
}

const documentOf = ({ name, text, version }: Record<string, unknown>): StoredDocument => ({
  name: String(name),
  text: String(text),
  version: Number(version),
});

const STALE = `SELECT value ->> 'name' AS name FROM input, json_each(input.text, '$.changes')
  LEFT JOIN documents AS known
    ON known.collection = input.text ->> 'collection' AND known.name = value ->> 'name'
  WHERE value ->> 'ifVersion' IS NOT NULL AND value ->> 'ifVersion' <> coalesce(known.version, 0) LIMIT 1`;

const WRITE = `
DELETE FROM documents WHERE (collection, name) IN (
  SELECT input.text ->> 'collection', value ->> 'name' FROM input, json_each(input.text, '$.changes')
  WHERE value ->> 'text' IS NULL);
INSERT INTO documents (collection, name, text, version, expires_at)
  SELECT input.text ->> 'collection', value ->> 'name', value ->> 'text', 1, value ->> 'expiresAt'
  FROM input, json_each(input.text, '$.changes') WHERE value ->> 'text' IS NOT NULL
  ON CONFLICT DO UPDATE SET text = excluded.text, version = version + 1, expires_at = excluded.expires_at;
INSERT INTO changes SELECT text ->> 'collection', 1 FROM input WHERE true
  ON CONFLICT DO UPDATE SET number = number + 1;
`;

async function writeDocuments(
  database: Database,
  collection: string,
  changes: readonly DocumentChange[],
  now: number,
): Promise<void> {
  await give(database, { collection, changes });
  await query(database, 'DELETE FROM documents WHERE expires_at <= ?', now);
  const [stale] = await query(database, STALE);
  if (stale !== undefined) throw new StaleWriteError(String(stale.name));
  await database.exec(WRITE);
}

async function nextNumber(database: Database, sequence: string, count: number): Promise<number> {
  const sql = `INSERT INTO sequences VALUES (?, ?)
    ON CONFLICT DO UPDATE SET number = number + excluded.number RETURNING number`;
  const [row] = await query(database, sql, sequence, count);
  return Number(row?.number) - count + 1;
}

interface Addition {
  readonly collection: string;
  readonly rows: readonly NumberRow[];
  readonly expiresAt: number;
  /** Empty for none. */
  readonly batch: string;
}

const EXPIRE = `
DELETE FROM batches WHERE expires_at <= (SELECT text ->> 'now' FROM input);
DELETE FROM numbers WHERE collection IN (
  SELECT collection FROM sums WHERE expires_at <= (SELECT text ->> 'now' FROM input));
DELETE FROM sums WHERE expires_at <= (SELECT text ->> 'now' FROM input);
`;

const ADD = `
INSERT INTO batches SELECT text ->> 'batch', text ->> 'batchEndsAt' FROM input WHERE text ->> 'batch' <> '';
INSERT INTO sums SELECT text ->> 'collection', text ->> 'expiresAt' FROM input WHERE true
  ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at;
INSERT INTO numbers
  SELECT input.text ->> 'collection', value ->> 0, value ->> 1, value ->> 2
  FROM input, json_each(input.text, '$.numbers') WHERE true
  ON CONFLICT DO UPDATE SET number = number + excluded.number;
`;

async function addNumbers(database: Database, { rows, ...addition }: Addition, now: number) {
  const numbers = rows.flatMap((row) =>
    Object.entries(row.numbers).map(([field, number]) => [row.name, field, number]),
  );
  await give(database, { ...addition, numbers, now, batchEndsAt: now + KEEP_BATCH_MS });
  await database.exec(EXPIRE);
  const known = await query(database, 'SELECT id FROM batches WHERE id = ?', addition.batch);
  if (known.length === 0) await database.exec(ADD);
}

async function readNumbers(database: Database, collection: string, now: number) {
  const sql = `SELECT name, json_group_object(field, number) AS numbers FROM numbers
    WHERE collection = (SELECT collection FROM sums WHERE collection = ? AND expires_at > ?) GROUP BY name`;
  const rows = await query(database, sql, collection, now);
  return rows.map(
    ({ name, numbers }): NumberRow => ({
      name: String(name),
      numbers: JSON.parse(String(numbers)),
    }),
  );
}

const WATCH_MS = 1000;
/** Changes something, of no collection: that is how a full disk is found to have room again. */
const TRY_TO_WRITE =
  "INSERT INTO changes VALUES ('', 1) ON CONFLICT DO UPDATE SET number = number + 1";

/** Looks once a second for writes of other processes, if anything is watched. */
class Watchers {
  readonly #file: StoreFile;
  readonly #clock: Clock;
  readonly #byCollection = new Map<string, (() => void)[]>();
  /** Of the file and of the connection: it changes when another connection has written. */
  #version = '';
  /** The known number of changes, by collection. */
  #numbers: ReadonlyMap<unknown, unknown> = new Map();
  #timer: Timer | null = null;
  #isClosed = false;

  constructor(file: StoreFile, clock: Clock) {
    this.#file = file;
    this.#clock = clock;
  }

  add(collection: string, changed: () => void): void {
    if (this.#byCollection.size === 0) void this.#look(false);
    this.#byCollection.set(collection, [...(this.#byCollection.get(collection) ?? []), changed]);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #notify(collection: string): void {
    for (const changed of this.#byCollection.get(collection) ?? []) changed();
  }

  async #look(notifies = true): Promise<void> {
    const { isUp: wasUp, inode } = this.#file;
    try {
      const known = this.#numbers;
      await this.#file.run((database) => this.#read(database));
      if (!this.#file.canWrite) await this.#file.change((database) => database.exec(TRY_TO_WRITE));
      for (const collection of notifies ? this.#byCollection.keys() : []) {
        const isSame = known.get(collection) === this.#numbers.get(collection);
        if (!isSame || !wasUp || inode !== this.#file.inode) this.#notify(collection);
      }
    } catch {
      // The next look finds what this one has missed.
    }
    if (!this.#isClosed) this.#timer = this.#clock.after(WATCH_MS, () => void this.#look());
  }

  async #read(database: Database): Promise<void> {
    const [row] = await query(database, 'PRAGMA data_version');
    const version = `${this.#file.inode} ${row?.data_version}`;
    if (version === this.#version) return;
    this.#version = version;
    const rows = await query(database, 'SELECT collection, number FROM changes');
    this.#numbers = new Map(rows.map(({ collection, number }) => [collection, number]));
  }
}
