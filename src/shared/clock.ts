/** Time as a value that is passed in: only `main.ts` knows the real one. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `callback` once, `delayMs` from now, unless the timer is cancelled first. */
  after(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

export const MINUTE_MS = 60_000;
export const DAY_MS = 86_400_000;

/** The longest delay that Node's timers take; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const createSystemClock = (): Clock => ({
  now: Date.now,
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS));
    return { cancel: () => clearTimeout(timer) };
  },
});

/** @param at milliseconds since the epoch */
export const isoTime = (at: number): string => new Date(at).toISOString();

/** The promise's value, or `otherwise` when it fails or takes longer. */
export function atMost<T>(ms: number, clock: Clock, promise: Promise<T>, otherwise: T): Promise<T> {
  return new Promise((resolve) => {
    const limit = clock.after(ms, () => resolve(otherwise));
    const settle = (value: T) => {
      limit.cancel();
      resolve(value);
    };
    promise.then(settle, () => settle(otherwise));
  });
}
