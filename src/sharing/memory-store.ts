import {
  type DocumentChange,
  type DurableStore,
  KEEP_BATCH_MS,
  type NumberRow,
  StaleWriteError,
  type StoredDocument,
} from '../shared/durable-store.ts';

interface Kept extends StoredDocument {
  readonly expiresAt: number;
}

interface Sums {
  readonly rows: Map<string, Record<string, number>>;
  expiresAt: number;
}

/** Keeps everything until the process ends. */
export function createMemoryStore(now: () => number): DurableStore {
  const collections = new Map<string, Map<string, Kept>>();
  const sums = new Map<string, Sums>();
  const sequences = new Map<string, number>();
  /** When the id of a batch is forgotten. */
  const batches = new Map<string, number>();

  function documentsOf(collection: string): Map<string, Kept> {
    const documents = collections.get(collection) ?? new Map<string, Kept>();
    collections.set(collection, documents);
    for (const [name, { expiresAt }] of documents) if (expiresAt <= now()) documents.delete(name);
    return documents;
  }

  function apply(documents: Map<string, Kept>, { name, text, expiresAt }: DocumentChange): void {
    if (text === null) documents.delete(name);
    else {
      const version = (documents.get(name)?.version ?? 0) + 1;
      documents.set(name, { name, text, version, expiresAt: expiresAt ?? NEVER });
    }
  }

  function forgetExpired(): void {
    for (const [name, { expiresAt }] of sums) if (expiresAt <= now()) sums.delete(name);
    for (const [id, until] of batches) if (until <= now()) batches.delete(id);
  }

  function isRepeated(batch: string): boolean {
    const isKnown = batches.has(batch);
    if (!isKnown) batches.set(batch, now() + KEEP_BATCH_MS);
    return isKnown;
  }

  return {
    kind: 'memory',
    isUp: () => true,
    fault: () => null,
    async read(collection) {
      return [...documentsOf(collection).values()].map(({ expiresAt: _, ...document }) => document);
    },
    async write(collection, changes) {
      const documents = documentsOf(collection);
      const stale = changes.find(
        ({ name, ifVersion }) =>
          ifVersion !== undefined && ifVersion !== (documents.get(name)?.version ?? 0),
      );
      if (stale !== undefined) throw new StaleWriteError(stale.name);
      for (const change of changes) apply(documents, change);
    },
    async next(sequence, count = 1) {
      const last = sequences.get(sequence) ?? 0;
      sequences.set(sequence, last + count);
      return last + 1;
    },
    async add(collection, rows, expiresAt, batch) {
      forgetExpired();
      if (batch !== undefined && isRepeated(batch)) return;
      const kept = sums.get(collection) ?? { rows: new Map(), expiresAt };
      kept.expiresAt = expiresAt;
      sums.set(collection, kept);
      for (const row of rows) addTo(kept.rows, row);
    },
    async rows(collection) {
      const kept = sums.get(collection);
      if (kept === undefined || kept.expiresAt <= now()) return [];
      return [...kept.rows].map(([name, numbers]) => ({ name, numbers: { ...numbers } }));
    },
    // No other instance has it, and it never fails.
    watch() {},
    async close() {},
  };
}

const NEVER = Number.POSITIVE_INFINITY;

function addTo(rows: Map<string, Record<string, number>>, { name, numbers }: NumberRow): void {
  const sum = rows.get(name) ?? {};
  rows.set(name, sum);
  for (const [field, number] of Object.entries(numbers)) sum[field] = (sum[field] ?? 0) + number;
}
