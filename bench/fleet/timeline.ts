import type { Clock } from '../../src/shared/clock.ts';

/** Time that jumps from one thing to the next, in whole milliseconds. */
export interface Timeline extends Clock {
  /** Until then, with everything that is due on the way and whatever it awaits. */
  play(untilMs: number): Promise<void>;
}

interface Due {
  isWanted: boolean;
  readonly callback: () => void;
}

export function createTimeline(startMs: number): Timeline {
  let now = startMs;
  const due = new Map<number, Due[]>();

  async function runDue(): Promise<void> {
    for (let some = due.get(now); some !== undefined; some = due.get(now)) {
      due.delete(now);
      for (const { isWanted, callback } of some) if (isWanted) callback();
      // Every promise that has been settled has its say first.
      await new Promise(setImmediate);
    }
  }

  return {
    now: () => now,
    after(delayMs, callback) {
      const at = now + Math.max(Math.ceil(delayMs), 0);
      const one: Due = { isWanted: true, callback };
      const others = due.get(at);
      if (others === undefined) due.set(at, [one]);
      else others.push(one);
      return {
        cancel() {
          one.isWanted = false;
        },
      };
    },
    async play(untilMs) {
      for (; now < untilMs; now += 1) await runDue();
    },
  };
}
