import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type DocumentChange,
  type DurableStore,
  StaleWriteError,
  StoreUnavailableError,
} from '../shared/durable-store.ts';

export interface StoredValuesOptions<Value> {
  readonly store: DurableStore;
  readonly collection: string;
  /** @returns null where this instance cannot read the text */
  readonly read: (name: string, text: string) => Value | null;
  readonly write: (name: string, value: Value) => string;
  /** Called after each read of the store and each change of this instance, with the names whose values have changed. */
  readonly changed: (names: readonly string[]) => void | Promise<void>;
  /** Called when the store cannot be read: the values stay as they are. `changed` follows. */
  readonly failed: (error: unknown) => void;
}

/** Null removes it. */
export type ValueChange<Value> = readonly [name: string, value: Value | null];

interface Kept<Value> {
  readonly text: string;
  readonly version: number;
  readonly value: Value | null;
}

/**
 * The documents of one collection of the durable store, in memory. It follows the store: the collection is read as a whole
 * when another instance has changed it, and never for a change of this instance.
 */
export class StoredValues<Value> {
  readonly #options: StoredValuesOptions<Value>;
  #kept = new Map<string, Kept<Value>>();
  /** Looks and changes run one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** A look that has not begun yet. */
  #nextLook: Promise<void> | null = null;
  #isStopped = false;

  constructor(options: StoredValuesOptions<Value>) {
    this.#options = options;
  }

  /** Reads the store, and follows it from now on. */
  follow(): Promise<void> {
    const { store, collection } = this.#options;
    store.watch(collection, () => void this.look());
    return this.look();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Null for a value that this instance cannot read; undefined for none. */
  get(name: string): Value | null | undefined {
    return this.#kept.get(name)?.value;
  }

  *entries(): Iterable<readonly [name: string, value: Value | null]> {
    for (const [name, { value }] of this.#kept) yield [name, value];
  }

  /** Reads the store. Calls before it begins share one look. */
  look(): Promise<void> {
    this.#nextLook ??= this.#inTurn(async () => {
      this.#nextLook = null;
      if (this.#isStopped) return;
      const changed = await this.#read().catch((error: unknown) => {
        this.#options.failed(error);
        return [];
      });
      await this.#options.changed(changed);
    });
    return this.#nextLook;
  }

  /**
   * Writes all of these changes, or none.
   *
   * @param plan is called again after another instance was faster
   * @throws what `plan` throws; StaleWriteError when another instance was faster each time; StoreUnavailableError
   */
  change(
    plan: () => readonly ValueChange<Value>[] | Promise<readonly ValueChange<Value>[]>,
  ): Promise<void> {
    return this.#inTurn(async () => {
      const changes = await this.#write(plan, TRIES);
      await this.#options.changed(changes.map(([name]) => name));
    }).catch((error: unknown) => {
      // It may have been written.
      if (error instanceof StoreUnavailableError) void this.look();
      throw error;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /** @returns the names whose values have changed */
  async #read(): Promise<readonly string[]> {
    const { store, collection, read } = this.#options;
    const before = this.#kept;
    const kept = new Map<string, Kept<Value>>();
    const changed: string[] = [];
    await inTurns(await store.read(collection), ({ name, text, version }) => {
      const known = before.get(name);
      // A document that was removed and made again may have the same version.
      const isSame = known?.text === text;
      kept.set(name, { text, version, value: isSame ? known.value : read(name, text) });
      if (!isSame) changed.push(name);
    });
    for (const name of before.keys()) if (!kept.has(name)) changed.push(name);
    this.#kept = kept;
    return changed;
  }

  async #write(
    plan: Parameters<StoredValues<Value>['change']>[0],
    tries: number,
  ): Promise<readonly ValueChange<Value>[]> {
    const { store, collection, changed } = this.#options;
    const changes = await plan();
    try {
      const documents = await this.#documentsOf(changes);
      if (documents.length > 0) await store.write(collection, documents);
      for (const [index, document] of documents.entries()) {
        this.#keep(document, changes[index]?.[1] ?? null);
      }
      return changes;
    } catch (error) {
      if (!(error instanceof StaleWriteError) || tries === 1) throw error;
      await changed(await this.#read());
      return this.#write(plan, tries - 1);
    }
  }

  async #documentsOf(changes: readonly ValueChange<Value>[]): Promise<readonly Document[]> {
    const documents: Document[] = [];
    await inTurns(changes, ([name, value]) => {
      const text = value === null ? null : this.#options.write(name, value);
      documents.push({ name, text, ifVersion: this.#kept.get(name)?.version ?? 0 });
    });
    return documents;
  }

  #keep({ name, text, ifVersion }: Document, value: Value | null): void {
    if (text === null) this.#kept.delete(name);
    else this.#kept.set(name, { text, version: ifVersion + 1, value });
  }
}

type Document = DocumentChange & Required<Pick<DocumentChange, 'ifVersion'>>;

/** How often a change is tried: another instance may change the same document at the same time. */
const TRIES = 5;

/** How many values are handled before other work has its turn: a few milliseconds. */
const PER_TURN = 250;

/** Other work has its turn in between: there may be thousands. */
export async function inTurns<T>(values: Iterable<T>, act: (value: T) => void): Promise<void> {
  let acted = 0;
  for (const value of values) {
    act(value);
    acted += 1;
    if (acted % PER_TURN === 0) await nextTurn();
  }
}
