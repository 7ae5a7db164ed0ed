import { vi } from 'vitest';
import { type Load, startLoad } from './load.ts';

/** Chats that go on at each of several instances until they are stopped. */
export interface Loads {
  /** Resolves once each instance has answered so many more. */
  goOn(answers: number): Promise<void>;
  /** @returns what went wrong, once all answers are here */
  stop(): Promise<readonly string[]>;
}

const CALLERS = 3;

export function startLoads(instances: readonly { readonly url: string }[]): Loads {
  const loads = instances.map(
    ({ url }): Load => startLoad({ url, callers: CALLERS, connections: 'kept' }),
  );
  return {
    async goOn(answers) {
      const wanted = loads.map((load) => load.answered() + answers);
      const isDone = () => loads.every((load, index) => load.answered() >= (wanted[index] ?? 0));
      await vi.waitUntil(isDone, { timeout: 20_000, interval: 10 });
    },
    stop: async () => (await Promise.all(loads.map((load) => load.stop()))).flat(),
  };
}
