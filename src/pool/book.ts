import type { Scope } from './scope.ts';

/** What all parts of a pool write in. */
export interface Book {
  readonly cooldownMs: number;
  now(): number;
  /** Leases, openings and findings are ordered by this number: the time, and a little more where two share one. */
  nextEvent(): number;
  /** Something has happened elsewhere: whatever happens here from now on comes after it. */
  heardOf(event: number): void;
  /** A scope has changed: everybody whom it concerns is put where they belong now. */
  changed(scope: Scope): void;
  /** The same, through what was found here: other processes hear of it too. */
  found(scope: Scope): void;
}

export interface BookOptions {
  readonly cooldownMs: number;
  readonly now: () => number;
  readonly tell: (scope: Scope) => void;
}

/** The smallest difference that the milliseconds since the epoch still have room for. */
const STEP_MS = 2 ** -12;

export function createBook({ cooldownMs, now, tell }: BookOptions): Book {
  let last = 0;
  const changed = (scope: Scope) => {
    const at = now();
    for (const entry of scope.candidates) entry.set.place(entry, at);
  };
  return {
    cooldownMs,
    now,
    nextEvent() {
      last = Math.max(now(), last + STEP_MS);
      return last;
    },
    heardOf(event) {
      last = Math.max(last, event);
    },
    changed,
    found(scope) {
      changed(scope);
      if (scope.subject !== null) tell(scope);
    },
  };
}
