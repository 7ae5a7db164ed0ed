import { type RedisReply, RedisStore } from 'rate-limit-redis';
import type { Counter, SharedStore, TextStore } from '../../shared/shared-store.ts';
import type { RedisLink } from './redis-link.ts';

/** @param prefix before every name there */
export const createRedisCommon = (link: RedisLink, prefix: string): SharedStore => ({
  texts: createShelf(link, `${prefix}shelf:`),
  counter: (name) => createCounter(link, `${prefix}limit:${name}:`),
});

function createShelf(link: RedisLink, prefix: string): TextStore {
  return {
    async put(name, text, ms) {
      await link.run((client) => client.set(prefix + name, text, 'PX', ms));
    },
    get: (name) => link.run((client) => client.get(prefix + name)),
    async take(name, ms) {
      const answer = await link.run((client) => client.set(prefix + name, '1', 'PX', ms, 'NX'));
      return answer === 'OK';
    },
    async remove(name) {
      await link.run((client) => client.del(prefix + name));
    },
  };
}

/** The limiter's own store; one that was begun while there was no Redis never gets well, and is begun anew. */
function createCounter(link: RedisLink, prefix: string): Counter {
  const stores = new Map<number, Promise<RedisStore>>();

  async function begin(windowMs: number): Promise<RedisStore> {
    const store = new RedisStore({
      prefix,
      sendCommand: (command: string, ...rest: string[]) =>
        link.run((client) => client.call(command, ...rest) as Promise<RedisReply>),
    });
    await store.init({ windowMs } as Parameters<RedisStore['init']>[0]);
    return store;
  }

  function storeFor(windowMs: number): Promise<RedisStore> {
    const known = stores.get(windowMs);
    if (known !== undefined) return known;
    const store = begin(windowMs);
    stores.set(windowMs, store);
    store.catch(() => stores.delete(windowMs));
    return store;
  }

  return {
    async hit(name, windowMs) {
      const store = await storeFor(windowMs);
      const { totalHits, resetTime } = await store.increment(name).catch((error: unknown) => {
        stores.delete(windowMs);
        throw error;
      });
      return { total: totalHits, leftMs: (resetTime?.getTime() ?? 0) - Date.now() };
    },
  };
}
