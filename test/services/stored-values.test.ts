import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { StoredValues } from '../../src/services/stored-values.ts';
import {
  type DurableStore,
  StaleWriteError,
  StoreUnavailableError,
} from '../../src/shared/durable-store.ts';
import { createMemoryStore } from '../../src/sharing/memory-store.ts';

const COLLECTION = 'numbers';

/** Numbers that follow the store, and the names of those that have changed. */
async function following(store: DurableStore) {
  const changed: string[] = [];
  const values = new StoredValues<number>({
    store,
    collection: COLLECTION,
    read: (_, text) => (text === 'strange' ? null : Number(text)),
    write: (_, value) => String(value),
    changed: (names) => void changed.push(...names),
    failed() {},
  });
  await values.follow();
  return Object.assign(values, { changed });
}

const all = (values: StoredValues<number>) => Object.fromEntries(values.entries());

it('own changes are known without another look at the store', async () => {
  const store = createMemoryStore(Date.now);
  const read = vi.spyOn(store, 'read');
  const values = await following(store);
  for (const value of [1, 2, 3]) await values.change(() => [['one', value]]);
  await values.change(() => [
    ['two', 2],
    ['three', 3],
  ]);
  await values.change(() => [['three', null]]);
  await values.change(() => [['three', 33]]);
  await values.change(() => [['two', null]]);
  expect(all(values)).toEqual({ one: 3, three: 33 });
  expect(read).toHaveBeenCalledOnce();
  const names = ['one', 'one', 'one', 'two', 'three', 'three', 'three', 'two'];
  expect(values.changed).toEqual(names);
  expect(all(await following(store))).toEqual({ one: 3, three: 33 });
});

it('changes of two instances, made at the same time, are all kept', async () => {
  const store = createMemoryStore(Date.now);
  const both = await Promise.all([following(store), following(store)]);
  const addOne = (values: StoredValues<number>) =>
    values.change(() => [['sum', (values.get('sum') ?? 0) + 1]]);
  await Promise.all([...both, ...both, ...both].map(addOne));
  await Promise.all(both.map((values) => values.look()));
  for (const values of both) expect(all(values)).toEqual({ sum: 6 });
});

it('a change that another instance is faster than each time fails', async () => {
  const store = createMemoryStore(Date.now);
  const values = await following(store);
  const overtaken = values.change(async () => {
    await store.write(COLLECTION, [{ name: 'one', text: '7' }]);
    return [['one', 1]];
  });
  await expect(overtaken).rejects.toThrow(StaleWriteError);
  await values.look();
  expect(all(values)).toEqual({ one: 7 });
});

it('a change is not undone by a look that began before it', async () => {
  const store = createMemoryStore(Date.now);
  const values = await following(store);
  const { read } = store;
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  vi.spyOn(store, 'read').mockImplementationOnce(async (collection) => {
    const documents = await read(collection);
    await answered;
    return documents;
  });
  const both = [values.look(), values.change(() => [['one', 1]])];
  await nextTurn();
  answer();
  await Promise.all(both);
  expect(all(values)).toEqual({ one: 1 });
});

it('a document that was removed and made again is read, although its version is the same', async () => {
  const store = createMemoryStore(Date.now);
  const values = await following(store);
  await values.change(() => [['one', 1]]);
  await store.write(COLLECTION, [{ name: 'one', text: null }]);
  await store.write(COLLECTION, [{ name: 'one', text: '2' }]);
  await store.write(COLLECTION, [{ name: 'two', text: 'strange' }]);
  await values.look();
  expect(all(values)).toEqual({ one: 2, two: null });
});

it('what was written although the store has not answered is found', async () => {
  const store = createMemoryStore(Date.now);
  const values = await following(store);
  const { write } = store;
  vi.spyOn(store, 'write').mockImplementationOnce(async (...change) => {
    await write(...change);
    throw new StoreUnavailableError('no answer');
  });
  const failed = values.change(() => [['one', 1]]);
  await expect(failed).rejects.toThrow(StoreUnavailableError);
  await vi.waitFor(() => expect(all(values)).toEqual({ one: 1 }));
});
