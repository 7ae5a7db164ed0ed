import { describe, expect, it, vi } from 'vitest';
import {
  type DurableStore,
  StaleWriteError,
  StoreUnavailableError,
} from '../../src/shared/durable-store.ts';
import { ifInstalled } from '../support/installed.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';
import { emptyFolder, openedStore, type StorePlace } from '../support/stores.ts';

const SOON = { timeout: 2000, interval: 10 };
const LATER = Date.now() + 3_600_000;

const sorted = async <T extends { readonly name: string }>(things: Promise<readonly T[]>) =>
  (await things).toSorted((a, b) => (a.name < b.name ? -1 : 1));

/** What holds for every backend. */
function keepsTheContract(place: () => Promise<StorePlace>): void {
  const open = async (): Promise<DurableStore> => openedStore(await place());

  it('holds what was written, with a version that grows, until it is removed', async () => {
    const store = await open();
    expect(await store.read('keys')).toEqual([]);
    const strange = 'line\nbreak "quotes" \\ : 7:8: é 🙂 \u0001';
    await store.write('keys', [
      { name: 'one', text: 'first' },
      { name: "'; DROP TABLE documents; --", text: strange },
    ]);
    await store.write('keys', [{ name: 'one', text: 'second' }]);
    await store.write('clients', [{ name: 'one', text: 'of another collection' }]);
    expect(await sorted(store.read('keys'))).toEqual([
      { name: "'; DROP TABLE documents; --", text: strange, version: 1 },
      { name: 'one', text: 'second', version: 2 },
    ]);
    await store.write('keys', [{ name: 'one', text: null }]);
    expect(await store.read('keys')).toHaveLength(1);
    await store.write('keys', [{ name: 'one', text: 'new' }]);
    expect(await sorted(store.read('keys'))).toMatchObject([{}, { text: 'new', version: 1 }]);
  });

  it('writes nothing of a write with one stale change', async () => {
    const store = await open();
    await store.write('keys', [{ name: 'one', text: 'first', ifVersion: 0 }]);
    const stale = [
      { name: 'other', text: 'x' },
      { name: 'one', text: 'second', ifVersion: 0 },
    ];
    await expect(store.write('keys', stale)).rejects.toThrow(new StaleWriteError('one'));
    const missing = [{ name: 'missing', text: null, ifVersion: 1 }];
    await expect(store.write('keys', missing)).rejects.toThrow(StaleWriteError);
    expect(await store.read('keys')).toEqual([{ name: 'one', text: 'first', version: 1 }]);
    await store.write('keys', [{ name: 'one', text: 'second', ifVersion: 1 }]);
    expect(await store.read('keys')).toEqual([{ name: 'one', text: 'second', version: 2 }]);
    expect(store.isUp()).toBe(true);
  });

  it('forgets a document and a collection of numbers when they expire', async () => {
    const store = await open();
    const expiresAt = Date.now() + 300;
    await store.write('incidents', [
      { name: 'short', text: 'x', expiresAt },
      { name: 'long', text: 'y', expiresAt: LATER },
    ]);
    await store.add('usage:1', [{ name: 'a', numbers: { tokens: 1 } }], expiresAt);
    await store.add('usage:2', [{ name: 'a', numbers: { tokens: 2 } }], LATER);
    expect(await store.read('incidents')).toHaveLength(2);
    expect(await store.rows('usage:1')).toHaveLength(1);
    await vi.waitFor(async () => {
      expect(await store.read('incidents')).toEqual([{ name: 'long', text: 'y', version: 1 }]);
      expect(await store.rows('usage:1')).toEqual([]);
    }, SOON);
    await store.write('incidents', [{ name: 'short', text: 'again', ifVersion: 0 }]);
    await store.add('usage:1', [{ name: 'a', numbers: { tokens: 5 } }], LATER);
    expect(await store.rows('usage:1')).toEqual([{ name: 'a', numbers: { tokens: 5 } }]);
    expect(await store.rows('usage:2')).toEqual([{ name: 'a', numbers: { tokens: 2 } }]);
  });

  it('adds to numbers, and a batch only once', async () => {
    const store = await open();
    const rows = [
      { name: 'a b', numbers: { requests: 1, tokens: 10 } },
      { name: 'c', numbers: { requests: 2 } },
    ];
    await store.add('usage', rows, LATER);
    await store.add('usage', rows, LATER, 'batch-1');
    await store.add('usage', rows, LATER, 'batch-1');
    await store.add('usage', [{ name: 'c', numbers: { requests: -1 } }], LATER, 'batch-2');
    expect(await sorted(store.rows('usage'))).toEqual([
      { name: 'a b', numbers: { requests: 2, tokens: 20 } },
      { name: 'c', numbers: { requests: 3 } },
    ]);
  });

  it('gives the numbers of a sequence once each', async () => {
    const store = await open();
    const numbers = await Promise.all(Array.from({ length: 20 }, () => store.next('keys')));
    expect(new Set(numbers).size).toBe(20);
    expect(await store.next('keys', 10)).toBe(21);
    expect(await store.next('keys')).toBe(31);
    expect(await store.next('others')).toBe(1);
  });

  it('takes ten thousand documents and numbers at once', async () => {
    const store = await open();
    const names = Array.from({ length: 10_000 }, (_, index) => `name-${index}`);
    const text = 'x'.repeat(300);
    await store.write(
      'keys',
      names.map((name) => ({ name, text })),
    );
    await store.add(
      'usage',
      names.map((name) => ({ name, numbers: { requests: 1 } })),
      LATER,
    );
    expect(new Set((await store.read('keys')).map(({ name }) => name)).size).toBe(10_000);
    expect(await store.rows('usage')).toHaveLength(10_000);
  });
}

/** What holds where two processes share a store that outlives them. */
function isShared(newPlace: () => Promise<StorePlace>): void {
  it('lets another instance follow within a second, and gives it other numbers', async () => {
    const place = await newPlace();
    const [one, other] = [await openedStore(place), await openedStore(place)];
    const [changed, changedHere, ofClients] = [vi.fn(), vi.fn(), vi.fn()];
    one.watch('keys', changedHere);
    other.watch('keys', changed);
    other.watch('clients', ofClients);
    await other.read('keys');
    const ms = [];
    for (const text of ['first', 'second', 'third']) {
      changed.mockClear();
      const written = Date.now();
      await one.write('keys', [{ name: 'one', text }]);
      await vi.waitFor(() => expect(changed).toHaveBeenCalled(), { timeout: 3000, interval: 5 });
      ms.push(Date.now() - written);
      expect(await other.read('keys')).toMatchObject([{ text }]);
    }
    expect(Math.max(...ms)).toBeLessThan(1500);
    // Who wrote it knows it, and other collections have not changed.
    expect(changedHere).not.toHaveBeenCalled();
    expect(ofClients).not.toHaveBeenCalled();
    const numbers = await Promise.all(
      [one, other, one, other].map((store) => store.next('sequence')),
    );
    expect(numbers.toSorted()).toEqual([1, 2, 3, 4]);
  });

  it('lets one of two instances change a version', async () => {
    const place = await newPlace();
    const stores = await Promise.all([openedStore(place), openedStore(place), openedStore(place)]);
    const writes = stores.map((store, index) =>
      store.write('keys', [{ name: 'one', text: String(index), ifVersion: 0 }]),
    );
    const outcomes = await Promise.allSettled(writes);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const [document] = await stores[0].read('keys');
    expect(outcomes[Number(document?.text)]?.status).toBe('fulfilled');
    await Promise.all(
      stores.map((store) => store.add('sums', [{ name: 'a', numbers: { n: 1 } }], LATER)),
    );
    expect(await stores[1].rows('sums')).toEqual([{ name: 'a', numbers: { n: 3 } }]);
  });

  it('keeps everything after the instance has stopped', async () => {
    const place = await newPlace();
    const before = await openedStore(place);
    await before.write('keys', [{ name: 'one', text: 'x' }]);
    await before.add('sums', [{ name: 'a', numbers: { n: 1 } }], LATER);
    await before.next('sequence');
    await before.close();
    const after = await openedStore(place);
    expect(await after.read('keys')).toEqual([{ name: 'one', text: 'x', version: 1 }]);
    expect(await after.rows('sums')).toEqual([{ name: 'a', numbers: { n: 1 } }]);
    expect(await after.next('sequence')).toBe(2);
  });

  it('refuses writes when its other instances turn to another version, and says so once', async () => {
    const place = await newPlace();
    const [old, newer] = [await openedStore(place), await openedStore(place)];
    await old.write('keys', [{ name: 'one', text: 'x' }]);
    await newer.write('meta', [{ name: 'format', text: '2' }]);
    await vi.waitFor(() => expect(old.fault()).toMatch(/newer version \(format 2/), SOON);
    const write = old.write('keys', [{ name: 'one', text: 'y' }]);
    await expect(write).rejects.toThrow(StoreUnavailableError);
    await expect(old.next('keys')).rejects.toThrow(/newer version/);
    await expect(old.add('sums', [], LATER)).rejects.toThrow(/newer version/);
    expect(await old.read('keys')).toMatchObject([{ text: 'x' }]);
    expect(old.logs.filter(({ level }) => level === 50)).toHaveLength(1);
    await expect(openedStore(place)).rejects.toThrow(/newer version/);
  });
}

describe('a store in memory', () => {
  keepsTheContract(async () => ({}));
});

describe('a store in a file', () => {
  keepsTheContract(async () => ({ dataDir: await emptyFolder() }));
  isShared(async () => ({ dataDir: await emptyFolder() }));
});

ifInstalled(REDIS_SERVER, 'a store in Redis', () => {
  keepsTheContract(async () => ({ redisUrl: (await startRedis()).url }));
  isShared(async () => ({ redisUrl: (await startRedis()).url }));
});
