import { MemoryStore, type Options } from 'express-rate-limit';
import type { Common, Counter, Shelf } from '../../shared/common.ts';

/** More is not kept: the oldest is forgotten. */
const MAX_TEXTS = 10_000;
const MAX_LENGTH = 32_000_000;

/** What workers have in common, in the memory of their primary. */
export function createMemoryCommon(now: () => number): Common {
  const counters = new Map<string, Counter>();
  return {
    shelf: createShelf(now),
    counter(name) {
      const known = counters.get(name) ?? createCounter(now);
      counters.set(name, known);
      return known;
    },
  };
}

function createShelf(now: () => number): Shelf {
  const kept = new Map<string, { readonly text: string; readonly until: number }>();
  let length = 0;
  const drop = (name: string) => {
    length -= kept.get(name)?.text.length ?? 0;
    kept.delete(name);
  };
  const put = (name: string, text: string, ms: number) => {
    drop(name);
    kept.set(name, { text, until: now() + ms });
    length += text.length;
    for (const [oldest, { until }] of kept) {
      if (until > now() && kept.size <= MAX_TEXTS && length <= MAX_LENGTH) return;
      drop(oldest);
    }
  };
  const find = (name: string) => {
    const found = kept.get(name);
    return found !== undefined && found.until > now() ? found.text : null;
  };
  return {
    put: async (name, text, ms) => put(name, text, ms),
    get: async (name) => find(name),
    async take(name, ms) {
      if (find(name) !== null) return false;
      put(name, '1', ms);
      return true;
    },
    giveBack: async (name) => drop(name),
  };
}

function createCounter(now: () => number): Counter {
  const stores = new Map<number, MemoryStore>();
  const storeFor = (windowMs: number) => {
    const known = stores.get(windowMs);
    if (known !== undefined) return known;
    const store = new MemoryStore();
    store.init({ windowMs } as Options);
    stores.set(windowMs, store);
    return store;
  };
  return {
    async hit(name, windowMs) {
      const { totalHits, resetTime } = await storeFor(windowMs).increment(name);
      return { total: totalHits, leftMs: (resetTime?.getTime() ?? 0) - now() };
    },
  };
}
