import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Capacity, FairShare, type Sharer } from '../../src/pool/fair-share.ts';
import { google } from '../support/pool.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 10, 24, 20);
const TARGET = google('flash');

/** A target that answers so many requests in each minute, and nothing else. */
function shareOf(requests: number | null, more: Partial<Capacity> = {}) {
  let now = NOON;
  const capacity = { requests, tokens: null, dayRequests: null, ...more };
  const share = new FairShare({ minuteMs: MINUTE, capacityOf: () => capacity, changed: null });
  return {
    share,
    /** @returns how many of so many requests were admitted */
    ask(client: Sharer, count = 1): number {
      let admitted = 0;
      for (let asked = 0; asked < count; asked += 1) {
        if (share.admit(client, TARGET, now) === 0) admitted += 1;
      }
      return admitted;
    },
    waitOf: (client: Sharer) => share.admit(client, TARGET, now) - now,
    pass(ms: number) {
      now += ms;
    },
    now: () => now,
  };
}

const [one, other] = [
  { name: 'one', weight: 1 },
  { name: 'other', weight: 1 },
];

describe('shares of a target', () => {
  it('a client that is alone gets everything', () => {
    const { ask } = shareOf(10);
    expect(ask(one, 30)).toBe(30);
  });

  it('nothing is refused while no quota is known', () => {
    const { ask } = shareOf(null);
    expect([ask(one, 1000), ask(other, 1000), ask(one, 1000)]).toEqual([1000, 1000, 1000]);
  });

  it('what another wants by its last minute is kept for it, and no more', () => {
    const { ask, pass, waitOf } = shareOf(100);
    ask(one, 200);
    ask(other, 10);
    pass(30_000);
    ask(other, 10);
    pass(30_000);
    expect(ask(one, 200)).toBe(80);
    pass(15_000);
    expect(waitOf(one)).toBe(45_000);
    expect(ask(other, 200)).toBe(50);
  });

  it('a client that began in the middle of a minute is expected to go on at its rate', () => {
    const { ask, pass } = shareOf(100);
    ask(one, 200);
    pass(45_000);
    ask(other, 10);
    pass(15_000);
    expect(ask(one, 200)).toBe(60);
    expect(ask(other, 10)).toBe(10);
    pass(MINUTE);
    expect(ask(one, 200)).toBe(90);
  });

  it('one request just before the end of a minute makes ten expected, not a minute full', () => {
    const { ask, pass } = shareOf(100);
    ask(one, 200);
    pass(MINUTE - 1);
    ask(other);
    pass(1);
    expect(ask(one, 200)).toBe(90);
  });

  it('a refused request is wanted too', () => {
    const { ask, pass } = shareOf(100);
    ask(one, 100);
    ask(other, 50);
    pass(MINUTE);
    expect(ask(one, 100)).toBe(50);
    expect(ask(other, 100)).toBe(50);
  });

  it('who has not asked for a minute is guaranteed nothing', () => {
    const { ask, pass } = shareOf(100);
    ask(other, 50);
    pass(MINUTE);
    expect(ask(one, 200)).toBe(50);
    pass(MINUTE);
    expect(ask(one, 200)).toBe(200);
  });

  it('tokens are shared as requests are, as far as they are counted', () => {
    const { share, ask, pass, now } = shareOf(null, { tokens: 1000 });
    ask(other, 10);
    share.spend(other, TARGET, 1000, now());
    ask(one, 10);
    share.spend(one, TARGET, 5000, now());
    pass(MINUTE);
    expect(ask(one)).toBe(1);
    // Half of a thousand is its guarantee.
    share.spend(one, TARGET, 500, now());
    expect(ask(one)).toBe(0);
    expect(ask(other)).toBe(1);
  });

  it('a request for which no key was left does not count, but only in its own minute', () => {
    const { share, ask, pass, now } = shareOf(10);
    ask(one, 10);
    ask(other, 10);
    pass(MINUTE);
    expect([ask(one, 10), ask(other, 10)]).toEqual([5, 5]);
    share.giveBack(other, TARGET, now(), now());
    expect([ask(one, 10), ask(other, 10)]).toEqual([0, 1]);
    share.giveBack(other, TARGET, now() - 1, now());
    expect(ask(other)).toBe(0);
  });

  it("of a day's quota each keeps what it will want by the end of the day", () => {
    const { ask, pass } = shareOf(null, { dayRequests: 1000 });
    ask(other, 10);
    ask(one, 100);
    pass(MINUTE);
    ask(other, 10);
    // At ten a minute the other will want more than half.
    expect(ask(one, 1000)).toBeLessThan(600);
    expect(ask(other, 100)).toBe(100);
  });

  it('whoever asks as in the minute before gets at least its part, and all together no more than there is', () => {
    const client = fc.record({
      weight: fc.integer({ min: 1, max: 5 }),
      wants: fc.integer({ min: 1, max: 80 }),
    });
    fc.assert(
      fc.property(
        fc.array(client, { minLength: 2, maxLength: 6 }),
        fc.integer({ min: 10, max: 200 }),
        fc.array(fc.nat(), { maxLength: 500 }),
        (wishes, capacity, order) => {
          const clients = wishes.map((wish, index) => ({ ...wish, name: `c${index}` }));
          const got = gotInSecondMinute(clients, capacity, order);
          const weights = sum(clients.map(({ weight }) => weight));
          const wanted = sum(clients.map(({ wants }) => wants));
          for (const [index, { weight, wants }] of clients.entries()) {
            const part = Math.min(wants, Math.floor((capacity * weight) / weights));
            expect(got[index]).toBeGreaterThanOrEqual(part);
          }
          expect(sum(got)).toBeLessThanOrEqual(Math.min(wanted, capacity));
          if (wanted <= capacity) expect(sum(got)).toBe(wanted);
        },
      ),
    );
  });
});

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);

interface Wish extends Sharer {
  readonly wants: number;
}

/** Each asks as often as it wants in two minutes: in the second one in this order, then one after another. */
function gotInSecondMinute(clients: readonly Wish[], capacity: number, order: readonly number[]) {
  const { ask, pass } = shareOf(capacity);
  for (const client of clients) ask(client, client.wants);
  pass(MINUTE);
  const asks = clients.flatMap((client) => Array<Wish>(client.wants).fill(client));
  const got = new Map(clients.map((client) => [client, 0]));
  for (const number of order) {
    const [client] = asks.splice(number % Math.max(1, asks.length), 1);
    if (client !== undefined) got.set(client, (got.get(client) ?? 0) + ask(client));
  }
  for (const client of asks) got.set(client, (got.get(client) ?? 0) + ask(client));
  return [...got.values()];
}
