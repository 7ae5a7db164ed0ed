import { atMost, type Clock } from '../shared/clock.ts';
import {
  type DocumentChange,
  type DurableStore,
  MAX_CHANGES,
  StaleWriteError,
  type StoreBackend,
  StoreUnavailableError,
} from '../shared/durable-store.ts';
import type { Logger } from '../shared/logger.ts';
import { createSealer, type Sealer } from '../shared/seal.ts';
import type { Secret } from '../shared/secret.ts';
import { createMemoryStore } from './memory-store.ts';
import type { RedisDocuments } from './redis-documents.ts';

export interface OpenStoreOptions {
  readonly redis: RedisDocuments | undefined;
  readonly dataDir: string | null;
  readonly masterKey: Secret | null;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The message says to people why the store cannot be used with these settings. */
export class StoreFault extends Error {
  override readonly name = 'StoreFault';
}

/** A Redis that does not answer must not delay the start for long. */
const CHECK_LIMIT_MS = 1000;

/**
 * The store in Redis, else in a file, else in memory.
 *
 * @throws StoreFault when the folder cannot be written, or the store belongs to another `MASTER_KEY` or a newer version.
 *   A Redis that is not reachable yet is checked later: see `fault`.
 */
export async function openStore(options: OpenStoreOptions): Promise<DurableStore> {
  const { redis, dataDir, clock } = options;
  if (redis !== undefined) {
    const store = new CheckedStore(redis, 'REDIS_URL', options);
    const checked = redis.settled.then(() => store.check());
    const fault = await atMost(CHECK_LIMIT_MS, clock, checked, null);
    return fault === null ? store.start() : refuse(store, fault);
  }
  if (dataDir === null) return createMemoryStore(clock.now);
  const backend = await openFile(dataDir, clock);
  const store = new CheckedStore(backend, 'DATA_DIR', options);
  const fault = await store.check().catch(() => `DATA_DIR: ${UNREADABLE}`);
  return fault === null ? store.start() : refuse(store, fault);
}

async function refuse(store: DurableStore, fault: string): Promise<never> {
  await store.close();
  throw new StoreFault(fault);
}

const UNREADABLE = 'holds an understudy.db that cannot be read.';

/** SQLite is loaded only here. */
async function openFile(folder: string, clock: Clock): Promise<StoreBackend> {
  const { openFileStore, codeOf } = await import('./file-store.ts');
  return openFileStore({ folder, clock }).catch((error: unknown) => {
    const code = codeOf(error);
    const isSpoiled = code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT');
    throw new StoreFault(
      `DATA_DIR: ${isSpoiled ? UNREADABLE : `is no folder that can be written (${code}).`}`,
    );
  });
}

/** The version of what is in the store. */
const FORMAT = 1;
const META = 'meta';
const FORMAT_NAME = 'format';
const SEAL_NAME = 'seal-check';

/** Refuses to write a store of another `MASTER_KEY` or of a newer format, and checks again when either may have changed. */
class CheckedStore implements DurableStore {
  readonly kind: DurableStore['kind'];
  readonly #backend: StoreBackend;
  /** The setting that says where the store is. */
  readonly #setting: string;
  readonly #sealer: Sealer | null;
  readonly #log: Logger;
  #fault: string | null = null;
  #isNewer = false;
  #isChecked = false;
  #checking: Promise<string | null> | null = null;
  /** Documents of `META` that the store does not have yet. */
  #missing: readonly DocumentChange[] = [];

  constructor(
    backend: StoreBackend,
    setting: string,
    { masterKey, log }: Pick<OpenStoreOptions, 'masterKey' | 'log'>,
  ) {
    this.kind = backend.kind;
    this.#backend = backend;
    this.#setting = setting;
    this.#sealer = masterKey === null ? null : createSealer(masterKey);
    this.#log = log;
  }

  start(): this {
    this.#backend.watch(META, () => {
      this.#isChecked = false;
      this.check().catch(() => {});
    });
    return this;
  }

  /** @returns the fault of the store */
  check(): Promise<string | null> {
    this.#checking ??= this.#look().finally(() => {
      this.#checking = null;
    });
    return this.#checking;
  }

  isUp(): boolean {
    return this.#backend.isUp();
  }

  fault(): string | null {
    return this.#fault;
  }

  read: DurableStore['read'] = (collection) => this.#backend.read(collection);

  write: DurableStore['write'] = async (collection, changes) => {
    if (changes.length > MAX_CHANGES) throw new RangeError('too many changes for one write');
    await this.#checked();
    await this.#writeMissing();
    if (this.#fault !== null) throw new StoreUnavailableError(this.#fault);
    await this.#backend.write(collection, changes);
  };

  next: DurableStore['next'] = async (sequence, count) => {
    await this.#refuseIfNewer();
    return this.#backend.next(sequence, count);
  };

  add: DurableStore['add'] = async (...addition) => {
    await this.#refuseIfNewer();
    await this.#backend.add(...addition);
  };

  rows: DurableStore['rows'] = (collection) => this.#backend.rows(collection);

  watch: DurableStore['watch'] = (collection, changed) => this.#backend.watch(collection, changed);

  close(): Promise<void> {
    return this.#backend.close();
  }

  async #checked(): Promise<void> {
    if (!this.#isChecked || this.#checking !== null) await this.check();
  }

  async #refuseIfNewer(): Promise<void> {
    await this.#checked();
    if (this.#isNewer) throw new StoreUnavailableError(this.#fault ?? undefined);
  }

  async #look(): Promise<string | null> {
    // A change during the check sets it back to false.
    this.#isChecked = true;
    try {
      const documents = await this.#backend.read(META);
      const known = new Map(documents.map(({ name, text }) => [name, text]));
      this.#found(this.#faultOf(known));
      this.#missing = this.#fault === null ? this.#missingIn(known) : [];
      // Written at once, so that an instance with another key is refused even before anything is sealed.
      if (this.#sealer !== null) await this.#writeMissing();
    } catch (error) {
      this.#isChecked = false;
      throw error;
    }
    return this.#fault;
  }

  #faultOf(known: ReadonlyMap<string, string>): string | null {
    const format = known.get(FORMAT_NAME) ?? '0';
    this.#isNewer = !(Number(format) <= FORMAT);
    if (this.#isNewer) {
      return `${this.#setting}: the store was written by a newer version (format ${format}, this one knows ${FORMAT}). Update this server.`;
    }
    const seal = known.get(SEAL_NAME);
    return seal === undefined ? null : this.#faultOfSeal(seal);
  }

  #faultOfSeal(seal: string): string | null {
    if (this.#sealer === null) {
      return `MASTER_KEY: is not set, and the store at ${this.#setting} holds what was sealed with one.`;
    }
    try {
      this.#sealer.open(seal, META, SEAL_NAME);
      return null;
    } catch {
      return `MASTER_KEY: does not open the store at ${this.#setting}, which was sealed with another one.`;
    }
  }

  #missingIn(known: ReadonlyMap<string, string>): readonly DocumentChange[] {
    const seal = this.#sealer?.seal(SEAL_NAME, META, SEAL_NAME);
    return [
      { name: FORMAT_NAME, text: String(FORMAT), ifVersion: 0 },
      ...(seal === undefined ? [] : [{ name: SEAL_NAME, text: seal, ifVersion: 0 }]),
    ].filter(({ name }) => !known.has(name));
  }

  /** If another instance was faster, its documents are checked instead. */
  async #writeMissing(): Promise<void> {
    if (this.#missing.length === 0) return;
    try {
      await this.#backend.write(META, this.#missing);
      this.#missing = [];
    } catch (error) {
      if (!(error instanceof StaleWriteError)) throw error;
      await this.#look();
    }
  }

  #found(fault: string | null): void {
    if (fault !== null && fault !== this.#fault)
      this.#log.error({ fault }, 'the store cannot be used');
    if (fault === null && this.#fault !== null) this.#log.info('the store can be used again');
    this.#fault = fault;
  }
}
