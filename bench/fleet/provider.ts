import type { Clock } from '../../src/shared/clock.ts';

const MINUTE_MS = 60_000;

/** Keys that have so many answers a minute each. */
export interface Provider {
  readonly calls: number;
  readonly refused: number;
  /** How often a key had nothing left, counted once for each minute. */
  readonly spent: number;
  /** @returns null when it answers, else the milliseconds until the key may be used again */
  call(key: string): number | null;
}

export function createProvider(clock: Clock, limitOf: (key: string) => number): Provider {
  let minute = -1;
  let used = new Map<string, number>();
  const refusedKeys = new Set<string>();
  const counts = { calls: 0, refused: 0, spent: 0 };

  function enterMinute(now: number): void {
    const current = Math.floor(now / MINUTE_MS);
    if (current === minute) return;
    minute = current;
    used = new Map();
    refusedKeys.clear();
  }

  return {
    get calls() {
      return counts.calls;
    },
    get refused() {
      return counts.refused;
    },
    get spent() {
      return counts.spent;
    },
    call(key) {
      const now = clock.now();
      enterMinute(now);
      counts.calls += 1;
      const before = used.get(key) ?? 0;
      if (before < limitOf(key)) {
        used.set(key, before + 1);
        return null;
      }
      counts.refused += 1;
      if (!refusedKeys.has(key)) counts.spent += 1;
      refusedKeys.add(key);
      return MINUTE_MS - (now % MINUTE_MS);
    },
  };
}
