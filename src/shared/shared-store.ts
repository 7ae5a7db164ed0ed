/** What instances share through Redis besides the health of keys. Every call may answer late, or fail. */
export interface SharedStore {
  readonly texts: TextStore;
  counter(name: string): Counter;
}

/** State of the connection to Redis. `refusing`: it answers, but is full, a replica, or denies access. */
export const REDIS_STATES = ['connecting', 'connected', 'unreachable', 'refusing'] as const;
export type RedisState = (typeof REDIS_STATES)[number];

/** Short texts by name, each with a time to live. */
export interface TextStore {
  put(name: string, text: string, ms: number): Promise<void>;
  /** @returns null when it was never there or has expired */
  get(name: string): Promise<string | null>;
  /** @returns false when the name was taken already */
  take(name: string, ms: number): Promise<boolean>;
  remove(name: string): Promise<void>;
}

/** Counts hits by address, each within a window that begins with its first hit and ends in `leftMs`. */
export interface Counter {
  /** @param address of a client, which the store holds as a keyed hash only */
  hit(
    address: string,
    windowMs: number,
  ): Promise<{ readonly total: number; readonly leftMs: number }>;
}
