import type { Clock } from '../../src/shared/clock.ts';

/**
 * Time that runs `speed` times faster than real time, from `startsAt`. Every duration that is kept by
 * this clock shrinks alike; only the machine's own latency does not. A timer never fires early.
 */
export function createScaledClock(startsAt: number, speed: number): Clock {
  const realStart = performance.now();
  const now = () => Math.floor(startsAt + (performance.now() - realStart) * speed);
  return {
    now,
    after(delayMs, callback) {
      const dueAt = now() + delayMs;
      let timer = setTimeout(fire, realMs(delayMs));
      // Node counts from the start of the turn, so its timers may end before their time.
      function fire(): void {
        const left = dueAt - now();
        if (left <= 0) callback();
        else timer = setTimeout(fire, realMs(left));
      }
      return { cancel: () => clearTimeout(timer) };
    },
  };

  function realMs(delayMs: number): number {
    return Math.min(Math.ceil(Math.max(delayMs, 0) / speed), LONGEST_DELAY_MS);
  }
}

const LONGEST_DELAY_MS = 2 ** 31 - 1;
