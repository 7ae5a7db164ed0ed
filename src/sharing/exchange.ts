/** Where processes with the same keys leave what they know of them. */
export interface Exchange {
  /** Whether it can be expected to answer at once. */
  isUp(): boolean;
  /** How far its clock is ahead of ours, in whole milliseconds. */
  clockAhead(): number;
  /** @param listener of everything that comes from there; there is one */
  listen(listener: ExchangeListener): void;
  /**
   * Leaves reports, which are merged with what is there; the others hear of what that changes.
   *
   * @returns the records as they are now, in the order of the reports
   */
  tell(reports: readonly Report[]): Promise<readonly string[]>;
  /** Asks whether this process may be the one to try; either all of the scopes, or none. */
  claim(scopes: readonly Named[], holdMs: number): Promise<ClaimAnswer>;
  /** All there is, some at a time. */
  all(): AsyncIterable<readonly Named[]>;
}

export interface ExchangeListener {
  /** What another process has told. */
  heard(news: News): void;
  /** It is there, or there anew: what each side knows the other may not. */
  arrived(): void;
  /** It cannot be had; it may arrive later. */
  failed(): void;
}

/** What is known of one scope. */
export interface Named {
  readonly name: string;
  /** See `scope-record.ts`. */
  readonly record: string;
}

export interface Report extends Named {
  /** Whether a trial of ours is over with this. */
  readonly frees: boolean;
  /** How long it is kept after its time has passed. */
  readonly outlivesMs: number;
}

export interface News extends Named {
  /** Whether a trial is over with this. */
  readonly isTrialOver: boolean;
}

export type ClaimAnswer =
  | { readonly isGranted: true }
  | {
      readonly isGranted: false;
      /** When to ask again, at most. */
      readonly retryMs: number;
      /** What is known of the scopes: one may have been opened or parked meanwhile. */
      readonly records: readonly Named[];
    };
