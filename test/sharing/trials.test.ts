import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { KeyPool } from '../../src/pool/key-pool.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { Secret } from '../../src/shared/secret.ts';
import type { Exchange, ExchangeListener, News } from '../../src/sharing/exchange.ts';
import { Sharing } from '../../src/sharing/sharing.ts';
import { Board } from '../support/board.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { failed, HOUR } from '../support/pool.ts';

const KEYS: readonly ApiKey[] = [
  { id: 'a', service: 'google', project: 'a', secret: new Secret('a', 'text-of-a') },
];

/** Two processes with one key, which is spent; its cooldown has just passed. */
async function startTwo() {
  const clock = createFakeClock(Date.UTC(2026, 10, 24, 18));
  const board = new Board(clock.now);
  const answers = { areLate: false };
  const listeners = new Map<number, ExchangeListener>();
  const pass = (news: News | null, teller: number) => {
    if (news !== null) listeners.get(1 - teller)?.heard(news);
  };
  const exchangeOf = (me: number): Exchange => ({
    isUp: () => true,
    clockAhead: () => 0,
    listen: (listener) => void listeners.set(me, listener),
    tell: async (reports) =>
      reports.map((report) => {
        const { record, news } = board.tell(report, me);
        pass(news, me);
        return record;
      }),
    claim: async (scopes, holdMs) => {
      const answer = board.claim(scopes, me, holdMs);
      if (answers.areLate) await nextTurn();
      return answer;
    },
    async *all() {},
  });
  const startProcess = (me: number): Asker => {
    const sharing = new Sharing({ exchange: exchangeOf(me), keys: KEYS, cooldownMs: HOUR, clock });
    const models = { google: ['flash'], anam: ['session'] };
    const { peers } = sharing;
    const pool = new KeyPool({ keys: KEYS, models, cooldownMs: HOUR, now: clock.now, peers });
    void sharing.join(pool.knowledge, { opened: () => {}, changed: () => {} });
    return { lease: () => pool.lease('google', 'flash') };
  };
  const [one, other] = [startProcess(0), startProcess(1)];
  one.lease()?.report(failed.day);
  await nextTurn();
  clock.advance(HOUR);
  const arriveAnew = () => {
    for (const listener of listeners.values()) listener.arrived();
  };
  return { clock, one, other, answers, arriveAnew };
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

it('a trial that lasts for longer than a claim is held by itself stays the only one', async () => {
  const { clock, one, other } = await startTwo();
  const trial = await leaseAsked(one);
  expect(trial?.isProbe).toBe(true);
  for (let second = 0; second < 30; second += 1) {
    clock.advance(1000);
    await nextTurn();
    expect([second, await leaseAsked(other)]).toEqual([second, null]);
  }
  trial?.report({ kind: 'success' });
  await nextTurn();
  expect((await leaseAsked(other))?.isProbe).toBe(false);
});

it('who may try a key, but gets no request for two seconds, leaves it to the others', async () => {
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

it('a trial under way stays the only one when everything is told anew', async () => {
  const { one, other, arriveAnew } = await startTwo();
  expect((await leaseAsked(one))?.isProbe).toBe(true);
  arriveAnew();
  await nextTurn();
  expect(await leaseAsked(other)).toBeNull();
});

it('a process that was held up past the limit still hears the answer that is waiting for it', async () => {
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
