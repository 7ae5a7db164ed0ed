import type { Scope } from '../pool/scope.ts';
import type { RecordStore, RecordUpdate } from './redis-store.ts';

/** Publishes scopes that changed here. Its queue holds scopes, not messages: each once, however often it changes. */
export interface Publisher {
  /** How many scopes are not published yet. */
  readonly backlog: number;
  add(scope: Scope): void;
  /** Publishes the scope again if its record is being sent: that record lacks what was merged since. Call it after each such merge. */
  addIfUnderWay(scope: Scope): void;
  /** Resolves when nothing is left to publish, or when the store fails. */
  flush(): Promise<void>;
}

export interface PublisherOptions {
  readonly store: RecordStore;
  updateOf(scope: Scope): RecordUpdate;
  /** The store's record after the merge differs from the one that was published. */
  merged(scope: Scope, record: string): void;
}

const BATCH = 500;
/** A script that Redis has forgotten is sent in full the second time; what fails twice in a row would fail again. */
const MAX_FAILURES = 2;

export function createPublisher({ store, updateOf, merged }: PublisherOptions): Publisher {
  const queue = new Set<Scope>();
  /** Scopes whose records the store has not confirmed yet. */
  const underWay = new Set<Scope>();
  let publishing: Promise<void> | null = null;

  async function publishAll(): Promise<void> {
    // Changes of the same moment share a batch.
    await null;
    let failures = 0;
    try {
      while (queue.size > 0 && store.isUp() && failures < MAX_FAILURES) {
        failures = (await publishBatch()) ? 0 : failures + 1;
      }
    } finally {
      // In the same turn as the last look at the queue: a later change must begin another run.
      publishing = null;
    }
  }

  async function publishBatch(): Promise<boolean> {
    const scopes = takeBatch(queue);
    if (scopes.length === 0) return true;
    const updates = scopes.map(updateOf);
    for (const scope of scopes) underWay.add(scope);
    try {
      const records = await store.publish(updates);
      underWay.clear();
      scopes.forEach((scope, index) => {
        const record = records[index];
        if (record !== undefined && record !== updates[index]?.record) merged(scope, record);
      });
      return true;
    } catch {
      underWay.clear();
      // The store reports the failure itself. The scopes go out when it is back, or with the next change.
      for (const scope of scopes) queue.add(scope);
      return false;
    }
  }

  function flush(): Promise<void> {
    publishing ??= publishAll();
    return publishing;
  }

  function add(scope: Scope): void {
    queue.add(scope);
    void flush();
  }

  return {
    get backlog() {
      return queue.size;
    },
    add,
    addIfUnderWay(scope) {
      if (underWay.has(scope)) add(scope);
    },
    flush,
  };
}

/** Without scopes that no key has any more: a new text of the same key, or a key with the same project, has others. */
function takeBatch(queue: Set<Scope>): readonly Scope[] {
  const batch: Scope[] = [];
  for (const scope of queue) {
    queue.delete(scope);
    if (scope.dependents.length > 0 && batch.push(scope) === BATCH) break;
  }
  return batch;
}
