import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Scope } from '../../src/pool/scope.ts';
import { createPublisher } from '../../src/sharing/publisher.ts';
import type { RecordUpdate } from '../../src/sharing/redis-store.ts';
import { FakeRecordStore } from '../support/fake-record-store.ts';

function scopeOfKey(): Scope {
  const scope = new Scope();
  scope.dependents.push({ scopeChanged() {} });
  return scope;
}

/** With a store that is up, and refuses the first publications. */
function startPublisher(refusals: number) {
  const published: (readonly RecordUpdate[])[] = [];
  const publisher = createPublisher({
    store: {
      ...new FakeRecordStore({ now: Date.now }).storeOf(0),
      async publish(updates) {
        published.push(updates);
        if (published.length <= refusals) throw new Error('refused');
        return updates.map(({ record }) => record);
      },
    },
    updateOf: () => ({ name: 'key:x', record: '1|0|0|', endsProbe: false, keepMs: 0 }),
    merged: () => {},
  });
  return { publisher, published };
}

it('what is refused once is published again at once', async () => {
  const { publisher, published } = startPublisher(1);
  publisher.add(scopeOfKey());
  await publisher.flush();
  expect([published.length, publisher.backlog]).toEqual([2, 0]);
});

it('what is refused twice waits for the next change, and goes with it', async () => {
  const { publisher, published } = startPublisher(2);
  publisher.add(scopeOfKey());
  await publisher.flush();
  await nextTurn();
  expect([published.length, publisher.backlog]).toEqual([2, 1]);
  publisher.add(scopeOfKey());
  await publisher.flush();
  expect(published.map((updates) => updates.length)).toEqual([1, 1, 2]);
  expect(publisher.backlog).toBe(0);
});

it('what belongs to no key any more is not published', async () => {
  const { publisher, published } = startPublisher(0);
  const scope = scopeOfKey();
  publisher.add(scope);
  scope.dependents.length = 0;
  await publisher.flush();
  expect([published, publisher.backlog]).toEqual([[], 0]);
});
