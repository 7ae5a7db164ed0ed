/**
 * Keeps what outlives the process: keys and clients that were made at run time, usage, incidents. It is in Redis, else in
 * a file, else in memory until the restart. Texts are opaque to it; its callers seal secrets.
 */
export interface DurableStore {
  /** `memory`: everything is lost at the restart. */
  readonly kind: 'redis' | 'file' | 'memory';
  /** Whether a call is likely to succeed now. */
  isUp(): boolean;
  /**
   * Why this instance may only read: the store was written with another `MASTER_KEY`, or by a newer version. A sentence for
   * people; null where it may write.
   */
  fault(): string | null;
  /** All documents of a collection. */
  read(collection: string): Promise<readonly StoredDocument[]>;
  /**
   * Writes all of these changes, or none.
   *
   * @param changes each of another document; at most `MAX_CHANGES`, which takes Redis up to a tenth of a second
   * @throws StaleWriteError when a document has another version by now; StoreUnavailableError when the store does not
   *   answer, and it may or may not have been written then, or when it has a `fault`
   */
  write(collection: string, changes: readonly DocumentChange[]): Promise<void>;
  /**
   * The next numbers of a sequence, from 1. No number is given twice, neither after a restart nor to another instance.
   *
   * @param count how many. Default: one
   * @returns the first of them
   */
  next(sequence: string, count?: number): Promise<number>;
  /**
   * Adds to the numbers of some rows, all or none; more than two thousand numbers are added in several parts. The collection
   * expires at `expiresAt`.
   *
   * @param batch an id of these rows: a second call with it within ten minutes adds only what the first did not, so that a
   *   failed call can be repeated
   */
  add(
    collection: string,
    rows: readonly NumberRow[],
    expiresAt: number,
    batch?: string,
  ): Promise<void>;
  /** All rows of a collection. */
  rows(collection: string): Promise<readonly NumberRow[]>;
  /**
   * @param changed called within a second when another instance may have changed documents of the collection, and when the
   *   store answers again after an outage. Read after this call, so that no change is missed
   */
  watch(collection: string, changed: () => void): void;
  close(): Promise<void>;
}

export const MAX_CHANGES = 10_000;

export interface StoredDocument {
  readonly name: string;
  readonly text: string;
  /** 1 for a new document; each change adds 1. */
  readonly version: number;
}

export interface DocumentChange {
  readonly name: string;
  /** Null removes the document. */
  readonly text: string | null;
  /** The version that the document must have; 0: it must not exist. Default: any. */
  readonly ifVersion?: number;
  /** Milliseconds since the epoch. Default: it is kept until it is removed. */
  readonly expiresAt?: number;
}

export interface NumberRow {
  readonly name: string;
  /** Whole numbers, by field. The name of a field has no line break. */
  readonly numbers: Readonly<Record<string, number>>;
}

/** How long the id of a batch is kept, in milliseconds. */
export const KEEP_BATCH_MS = 600_000;

/** The settings by which changes of the keys outlive the process: `MASTER_KEY`, and one of the others. */
export const STORE_SETTINGS = ['MASTER_KEY', 'REDIS_URL', 'DATA_DIR'] as const;
export type StoreSetting = (typeof STORE_SETTINGS)[number];

/** A store without the check of its version and of the `MASTER_KEY`. */
export type StoreBackend = Omit<DurableStore, 'fault'>;

/** Another instance was faster. */
export class StaleWriteError extends Error {
  override readonly name = 'StaleWriteError';
}

export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}
