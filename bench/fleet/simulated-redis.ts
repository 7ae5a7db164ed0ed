import type { Clock } from '../../src/shared/clock.ts';
import type { RecordStore } from '../../src/sharing/record-store.ts';
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
