/** What processes that serve the same callers have in common. Everything of it may answer late, or fail. */
export interface Common {
  readonly shelf: Shelf;
  /** @param name of what is counted */
  counter(name: string): Counter;
}

/** How a process stands with Redis. `refusing`: it answers, but is full, a replica, or does not let us in. */
export type RedisState = 'connecting' | 'connected' | 'unreachable' | 'refusing';

/** Short texts by their names, each for a while. */
export interface Shelf {
  put(name: string, text: string, ms: number): Promise<void>;
  /** @returns null when there is none any more */
  get(name: string): Promise<string | null>;
  /** @returns whether nobody had taken it */
  take(name: string, ms: number): Promise<boolean>;
  giveBack(name: string): Promise<void>;
}

/** Counts, each within a window that begins with its first hit. */
export interface Counter {
  hit(name: string, windowMs: number): Promise<Hits>;
}

export interface Hits {
  readonly total: number;
  /** Until the window ends. */
  readonly leftMs: number;
}
