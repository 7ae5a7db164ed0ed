import { vi } from 'vitest';
import { startLoad } from './load.ts';
import type { Loads } from './loads.ts';
import { PATIENCE } from './server-group.ts';

/** How many ask at the same time. */
export const CALLERS = { kept: 6, fresh: 3 };

/** Chats that go on at one address until they are stopped, over kept connections and over fresh ones. */
export function startMixedLoad(url: string): Loads {
  const kept = startLoad({ url, callers: CALLERS.kept, connections: 'kept' });
  const fresh = startLoad({ url, callers: CALLERS.fresh, connections: 'fresh' });
  const answered = () => Math.min(kept.answered(), fresh.answered());
  return {
    async goOn(answers) {
      const wanted = answered() + answers;
      await vi.waitUntil(() => answered() >= wanted, PATIENCE);
    },
    stop: async () => [...(await kept.stop()), ...(await fresh.stop())],
  };
}
