import type { Clock, Timer } from '../shared/clock.ts';

export interface Alarm {
  /** Sees to it that it rings at this moment, in milliseconds since the epoch, or before. */
  ringBy(at: number): void;
  cancel(): void;
}

/** One timer for the earliest of many moments; it rings once. */
export function createAlarm(clock: Clock, callback: () => void): Alarm {
  let timer: Timer | null = null;
  let ringsAt = Number.POSITIVE_INFINITY;
  function cancel(): void {
    timer?.cancel();
    timer = null;
    ringsAt = Number.POSITIVE_INFINITY;
  }
  return {
    cancel,
    ringBy(at: number): void {
      if (at >= ringsAt) return;
      timer?.cancel();
      ringsAt = at;
      timer = clock.after(at - clock.now(), () => {
        cancel();
        callback();
      });
    },
  };
}
