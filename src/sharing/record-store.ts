/** The shared store, as far as it holds what instances know of the scopes of their keys. */
export interface RecordStore {
  /** Whether a command is likely to be answered at once. */
  isUp(): boolean;
  /** The offset of its clock from ours, in whole milliseconds; positive when it is ahead. */
  clockOffset(): number;
  /** @param listener receives every event from the store; there is one */
  listen(listener: RecordStoreListener): void;
  /**
   * Merges records into those in the store, and notifies the other instances of what that changes.
   *
   * @returns the merged records, in the order of the updates
   */
  publish(updates: readonly RecordUpdate[]): Promise<readonly string[]>;
  /** Claims the probe of all of these scopes, or of none. */
  claim(scopes: readonly NamedRecord[], holdMs: number): Promise<ClaimAnswer>;
  /** All records, in batches. */
  all(): AsyncIterable<readonly NamedRecord[]>;
}

export interface RecordStoreListener {
  /** Another instance has published. */
  changed(change: RecordChange): void;
  /** The store is connected, perhaps empty or another one: both sides may lack what the other knows. */
  connected(): void;
  /** The store cannot be used; it may be connected later. */
  failed(): void;
}

/** What is known of one scope. */
export interface NamedRecord {
  readonly name: string;
  /** See `scope-record.ts`. */
  readonly record: string;
}

export interface RecordUpdate extends NamedRecord {
  /** Whether this ends a probe of ours. */
  readonly endsProbe: boolean;
  /** How long the record is kept after its own time has passed. */
  readonly keepMs: number;
}

export interface RecordChange extends NamedRecord {
  /** Whether another instance's probe has ended. */
  readonly endsProbe: boolean;
}

export type ClaimAnswer =
  | { readonly isGranted: true }
  | {
      readonly isGranted: false;
      /** When to ask again, at the latest. */
      readonly retryMs: number;
      /** The records of the scopes: another instance may have opened or parked one. */
      readonly records: readonly NamedRecord[];
    };
