import type { Clock } from '../../src/shared/clock.ts';
import type { RecordStore } from '../../src/sharing/redis-store.ts';
import { FakeRecordStore } from '../../test/support/fake-record-store.ts';

/** One way, in milliseconds. */
const WAY_MS = 1;

/** The fake store at a distance, with what Redis would count. */
export interface SimulatedRedis {
  /** Sent by all instances. */
  readonly commands: number;
  /** Sent to all instances: each receives every message, its own too. */
  readonly messages: number;
  storeOf(instance: number): RecordStore;
}

export function createSimulatedRedis(clock: Clock): SimulatedRedis {
  const counts = { commands: 0, messages: 0 };
  const store = new FakeRecordStore({
    now: clock.now,
    send(act, commands) {
      counts.commands += commands;
      return new Promise((resolve) => {
        clock.after(WAY_MS, () => {
          const answer = act();
          clock.after(WAY_MS, () => resolve(answer));
        });
      });
    },
    deliver(act) {
      counts.messages += 1;
      clock.after(WAY_MS, act);
    },
  });
  return {
    get commands() {
      return counts.commands;
    },
    get messages() {
      return counts.messages;
    },
    storeOf: (instance) => store.storeOf(instance),
  };
}

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
