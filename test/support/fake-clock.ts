import type { Clock } from '../../src/shared/clock.ts';

export interface FakeClock extends Clock {
  /** Moves time on and fires what falls due on the way, in time order. */
  advance(ms: number): void;
  /** Moves time to this moment: forward like `advance`, backward without firing anything. */
  set(ms: number): void;
  pendingTimers(): number;
}

interface Pending {
  readonly at: number;
  readonly callback: () => void;
}

const NOON = Date.UTC(2026, 10, 2, 12);

/** @param startMs Default: noon UTC on an ordinary Monday. */
export function createFakeClock(startMs = NOON): FakeClock {
  let now = startMs;
  const pending = new Set<Pending>();
  const fire = (timer: Pending) => {
    pending.delete(timer);
    now = Math.max(now, timer.at);
    timer.callback();
  };
  const set = (ms: number) => {
    for (let timer = firstDue(pending, ms); timer; timer = firstDue(pending, ms)) fire(timer);
    now = ms;
  };
  return {
    now: () => now,
    after(delayMs, callback) {
      const timer = { at: now + Math.max(delayMs, 0), callback };
      pending.add(timer);
      return { cancel: () => void pending.delete(timer) };
    },
    advance: (ms) => set(now + ms),
    set,
    pendingTimers: () => pending.size,
  };
}

/** Of two that fall due together, the one that was set first. */
function firstDue(pending: Set<Pending>, until: number): Pending | undefined {
  let first: Pending | undefined;
  for (const timer of pending) {
    if (timer.at <= until && (first === undefined || timer.at < first.at)) first = timer;
  }
  return first;
}
