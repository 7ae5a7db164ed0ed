import type { Scope } from './scope.ts';

/** What all parts of one pool share: the time, the order of events, and the effects of a changed scope. */
export interface PoolContext {
  /** The longest that anything is parked, in milliseconds. */
  readonly cooldownMs: number;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Numbers an event: the time, or a little more where two events share a millisecond. */
  nextEvent(): number;
  /** Later events of this pool come after this event of another instance. */
  mergeEvent(event: number): void;
  /** Must follow each change of a scope. */
  changed(scope: Scope): void;
  /** The same, for a change that other instances must know of. */
  found(scope: Scope): void;
}

/** The smallest difference that a double can hold beside the milliseconds since the epoch. */
const STEP_MS = 2 ** -12;

export function createPoolContext(
  cooldownMs: number,
  now: () => number,
  publish: (scope: Scope) => void,
): PoolContext {
  let last = 0;
  const changed = (scope: Scope) => {
    const at = now();
    for (const dependent of scope.dependents) dependent.scopeChanged(at);
  };
  return {
    cooldownMs,
    now,
    nextEvent() {
      last = Math.max(now(), last + STEP_MS);
      return last;
    },
    mergeEvent(event) {
      last = Math.max(last, event);
    },
    changed,
    found(scope) {
      changed(scope);
      if (scope.subject !== null) publish(scope);
    },
  };
}
