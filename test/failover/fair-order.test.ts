import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CandidateSearch } from '../../src/failover/candidate-search.ts';
import { createWaitQueue } from '../../src/failover/wait-queue.ts';
import type { Sharer } from '../../src/pool/fair-share.ts';
import type { Lease } from '../../src/pool/lease.ts';
import { createPool, failed, google } from '../support/pool.ts';

const SECOND = 1000;
const one: Sharer = { name: 'one', weight: 1 };
const other: Sharer = { name: 'other', weight: 1 };
const heavy: Sharer = { name: 'heavy', weight: 3 };

interface Asked {
  readonly model?: string;
  readonly forSeconds?: number;
}

/** A queue for one key that returns after a second for `flash` and after three for `pro`. */
function createQueue(maxWaiting = 1000) {
  const { pool, clock, lease } = createPool(['google-1'], ['flash', 'pro']);
  lease('flash').report(failed.minute(SECOND));
  lease('pro').report(failed.minute(3 * SECOND));
  const queue = createWaitQueue(clock, maxWaiting);
  const admitted: string[] = [];
  const refused: string[] = [];
  const leases: Lease[] = [];
  const counts = new Map<string, number>();

  /** Its name is that of the client, numbered: `one 1`, `one 2`, … */
  function ask(client: Sharer | null, { model = 'flash', forSeconds = 5 }: Asked = {}): string {
    const by = client?.name ?? 'web';
    const number = (counts.get(by) ?? 0) + 1;
    counts.set(by, number);
    const name = `${by} ${number}`;
    const until = clock.now() + forSeconds * SECOND;
    const leave = (leased: Lease | null) => {
      if (leased !== null) leases.push(leased);
      (leased === null ? refused : admitted).push(name);
    };
    const search = new CandidateSearch(pool, { targets: [google(model)] });
    queue.wait(search, { until, outcomeUntil: until + 20 * SECOND }, leave, client);
    return name;
  }

  function askTimes(times: number, client: Sharer | null, asked?: Asked): void {
    for (let sent = 0; sent < times; sent += 1) ask(client, asked);
  }

  /** Lets the requests leave that are due. */
  async function look() {
    await Promise.resolve();
    return { admitted: admitted.splice(0), refused: refused.splice(0) };
  }

  /** @returns the requests that are admitted for it, two for each proof */
  async function prove(times = 1): Promise<readonly string[]> {
    for (let proof = 0; proof < times; proof += 1) queue.keyProved(google('flash'));
    return (await look()).admitted;
  }

  /** The key returns, and answers its probe. */
  async function open() {
    clock.advance(SECOND);
    const left = await look();
    leases[0]?.report({ kind: 'success' });
    return left;
  }

  return { clock, queue, ask, askTimes, look, prove, open };
}

interface Party {
  readonly client: Sharer;
  /** The oldest first. */
  readonly waiting: string[];
  served: number;
}

interface Arrival {
  readonly by: number;
  readonly times: number;
}

/** Two clients; how far the first was ahead when both began to wait. */
interface Pair {
  readonly first: Party;
  readonly second: Party;
  leadBefore: number;
}

const bothWait = ({ first, second }: Pair) => first.waiting.length * second.waiting.length > 0;
const leadIn = ({ first, second }: Pair) =>
  first.served / first.client.weight - second.served / second.client.weight;

/** Clients that ask and are admitted. It fails where one gets ahead of another while both wait. */
function createParties(weights: readonly number[], ask: (client: Sharer) => string) {
  const parties = weights.map(
    (weight, index): Party => ({ client: { name: `c${index}`, weight }, waiting: [], served: 0 }),
  );
  const pairs = parties.flatMap((first, index) =>
    parties.slice(index + 1).map((second): Pair => ({ first, second, leadBefore: 0 })),
  );
  const beginPairs = () => {
    for (const pair of pairs) if (!bothWait(pair)) pair.leadBefore = leadIn(pair);
  };
  return {
    arrive({ by, times }: Arrival) {
      const { client, waiting } = parties[by] ?? expect.fail('no such client');
      beginPairs();
      for (let sent = 0; sent < times; sent += 1) waiting.push(ask(client));
    },
    serve(admitted: readonly string[]) {
      for (const name of admitted) {
        const party =
          parties.find(({ waiting }) => waiting[0] === name) ?? expect.fail(`${name} overtook`);
        party.served += 1;
        for (const pair of pairs.filter(bothWait)) {
          const { first, second } = pair;
          const most = 1 / first.client.weight + 1 / second.client.weight;
          expect(Math.abs(leadIn(pair) - pair.leadBefore)).toBeLessThan(most + 1e-9);
        }
        party.waiting.shift();
        beginPairs();
      }
    },
  };
}

/** @param after null for a proof that the key works */
async function playAll(
  weights: readonly number[],
  before: readonly Arrival[],
  after: readonly (Arrival | null)[],
): Promise<void> {
  const { queue, ask, prove, open } = createQueue();
  const { arrive, serve } = createParties(weights, ask);
  for (const arrival of before) arrive(arrival);
  serve((await open()).admitted);
  for (const arrival of after) {
    const { size } = queue.waiters;
    if (arrival === null) {
      serve(await prove());
      expect(queue.waiters.size).toBe(Math.max(0, size - 2));
      // Where no other waits, a request would have a key at once.
    } else if (size > 0) arrive(arrival);
  }
}

describe('clients that wait together', () => {
  it('are served in rotation, although one has asked a hundred times before', async () => {
    const { askTimes, prove, open } = createQueue();
    askTimes(100, one);
    askTimes(2, other);
    askTimes(1, null);
    expect((await open()).admitted).toEqual(['one 1']);
    expect(await prove()).toEqual(['other 1', 'web 1']);
    expect(await prove(2)).toEqual(['one 2', 'other 2', 'one 3', 'one 4']);
  });

  it('are served by their weights, and one that comes later has gained nothing by that', async () => {
    const { askTimes, prove, open } = createQueue();
    askTimes(40, one);
    await open();
    expect(await prove(5)).toHaveLength(10);
    askTimes(40, heavy);
    const served = await prove(8);
    expect(served.filter((name) => name.startsWith('heavy'))).toHaveLength(12);
  });

  it('gain nothing by having waited for a model that no key could answer', async () => {
    const { askTimes, prove, open } = createQueue();
    askTimes(40, one);
    askTimes(1, other, { model: 'pro' });
    await open();
    await prove(10);
    askTimes(20, other);
    const served = await prove(4);
    expect(served.filter((name) => name.startsWith('other'))).toHaveLength(4);
  });

  it('never differ by more than one request of each for its weight, and each is served in its order', async () => {
    const arrival = fc.record({ by: fc.nat(4), times: fc.integer({ min: 1, max: 6 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 5, maxLength: 5 }),
        fc.array(arrival, { minLength: 1, maxLength: 8 }),
        fc.array(fc.option(arrival, { freq: 2 }), { minLength: 20, maxLength: 80 }),
        playAll,
      ),
    );
  });
});

describe('a full queue', () => {
  it('refuses the newest request of the client with the most for its weight', async () => {
    const { queue, askTimes, look } = createQueue(6);
    askTimes(3, one);
    askTimes(3, heavy);
    expect((await look()).refused).toEqual([]);
    askTimes(1, other);
    expect((await look()).refused).toEqual(['one 3']);
    // Two of one, three of heavy: less for its weight.
    askTimes(1, heavy);
    expect((await look()).refused).toEqual(['one 2']);
    expect(queue.waiters.size).toBe(6);
  });

  it('refuses the newcomer where others have no more for their weight', async () => {
    const { ask, askTimes, look } = createQueue(3);
    askTimes(1, one);
    askTimes(2, other);
    const newcomer = ask(one);
    expect((await look()).refused).toEqual([newcomer]);
  });

  it('keeps what it has where the newcomer does not wait', async () => {
    const { ask, askTimes, look } = createQueue(3);
    askTimes(3, one);
    const newcomer = ask(other, { forSeconds: 0.9 });
    expect((await look()).refused).toEqual([newcomer]);
  });
});
