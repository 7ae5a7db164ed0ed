import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { KeyPool } from '../../src/pool/key-pool.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { Secret } from '../../src/shared/secret.ts';
import { Sharing } from '../../src/sharing/sharing.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { FakeRecordStore } from '../support/fake-record-store.ts';
import { failed, google, HOUR } from '../support/pool.ts';

const KEYS: readonly ApiKey[] = [
  { id: 'a', provider: 'google', project: 'a', secret: new Secret('a', 'text-of-a') },
];

/** Two instances with one key, which is spent; its cooldown has just passed. */
async function startTwo() {
  const clock = createFakeClock(Date.UTC(2026, 10, 24, 18));
  const answers = { areLate: false };
  const shared = new FakeRecordStore({
    now: clock.now,
    async send(act) {
      const answer = act();
      if (answers.areLate) await nextTurn();
      return answer;
    },
  });
  const startInstance = (index: number): Asker => {
    const store = shared.storeOf(index);
    const sharing = new Sharing({ store, keys: KEYS, cooldownMs: HOUR, clock });
    const { peers } = sharing;
    const pool = new KeyPool({
      keys: KEYS,
      targets: [google('flash')],
      cooldownMs: HOUR,
      now: clock.now,
      peers,
    });
    void sharing.join(pool, { opened: () => {}, changed: () => {} });
    return { lease: () => pool.lease(google('flash')) };
  };
  const [one, other] = [startInstance(0), startInstance(1)];
  one.lease()?.report(failed.day);
  await nextTurn();
  clock.advance(HOUR);
  return { clock, shared, one, other, answers };
}

interface Asker {
  lease(): ReturnType<KeyPool['lease']>;
}

/** The first lease asks; the answer is there a moment later. */
async function leaseAsked(asker: Asker) {
  const lease = asker.lease();
  await nextTurn();
  return lease ?? asker.lease();
}

it('a probe that lasts longer than a claim stays the only one', async () => {
  const { clock, one, other } = await startTwo();
  const probe = await leaseAsked(one);
  expect(probe?.isProbe).toBe(true);
  for (let second = 0; second < 30; second += 1) {
    clock.advance(1000);
    await nextTurn();
    expect([second, await leaseAsked(other)]).toEqual([second, null]);
  }
  probe?.report({ kind: 'success' });
  await nextTurn();
  expect((await leaseAsked(other))?.isProbe).toBe(false);
});

it('an instance that gets no request for its probe for two seconds gives it back', async () => {
  const { clock, one, other } = await startTwo();
  expect(one.lease()).toBeNull();
  await nextTurn();
  expect(await leaseAsked(other)).toBeNull();
  clock.advance(1999);
  await nextTurn();
  expect(await leaseAsked(other)).toBeNull();
  clock.advance(1);
  await nextTurn();
  expect((await leaseAsked(other))?.isProbe).toBe(true);
});

it('a probe under way stays the only one when every record is published again', async () => {
  const { shared, one, other } = await startTwo();
  expect((await leaseAsked(one))?.isProbe).toBe(true);
  shared.forgetRecords();
  await nextTurn();
  expect(await leaseAsked(other)).toBeNull();
});

it('a process that stalled past the limit still reads the answer that has arrived', async () => {
  const { clock, one, other, answers } = await startTwo();
  expect((await leaseAsked(one))?.isProbe).toBe(true);
  answers.areLate = true;
  expect(other.lease()).toBeNull();
  // Its timers come first, then what has arrived.
  clock.advance(250);
  expect(other.lease()).toBeNull();
  await nextTurn();
  clock.advance(1);
  expect(other.lease()).toBeNull();
});
