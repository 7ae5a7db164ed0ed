import { describe, expect, it } from 'vitest';
import type { EndedTrace } from '../../src/failover/trace.ts';
import { createUsageStats } from '../../src/observability/usage.ts';
import { type DurableStore, StoreUnavailableError } from '../../src/shared/durable-store.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { createMemoryStore } from '../../src/sharing/memory-store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { attemptOf, requestOf } from '../support/records.ts';
import { flow } from '../support/start-app.ts';

const SECOND = 1000;
const DAY = 86_400_000;
const MIDNIGHT = Date.UTC(2026, 10, 25);
const TOKENS = {
  inputTokens: 10,
  outputTokens: 5,
  totalTokens: 15,
  cachedTokens: 4,
  thoughtTokens: 2,
};
const PRICES = {
  currency: 'USD',
  models: new Map([['flash', { input: 1, output: 10, cached: 0.1, thoughts: 20, request: 0.5 }]]),
};

const answered = (startedAt: number, more: Partial<EndedTrace> = {}, key = 'google') =>
  requestOf({
    startedAt,
    ms: 0,
    attempts: [attemptOf({ key, startedAt, usage: TOKENS })],
    ...more,
  });

function start(clock: FakeClock, store: DurableStore = createMemoryStore(clock.now)) {
  const lines: string[] = [];
  const log = createLogger({
    level: 'debug',
    redact: (text) => text,
    destination: { write: (line: string) => void lines.push(line) },
  });
  const usage = createUsageStats({ store, clock, log, prices: PRICES });
  const end = (request: EndedTrace) => usage.sink.requestEnded?.(request);
  const totals = async () => (await usage.report({ by: [] })).totals;
  return { usage, store, end, totals, lines };
}

/** Its next additions fail. Some had been added all the same: only the answer got lost. */
function failingStore(clock: FakeClock) {
  const memory = createMemoryStore(clock.now);
  const batches = new Set<string | undefined>();
  const store = {
    ...memory,
    failures: [] as ('before' | 'after')[],
    async add(...[collection, rows, expiresAt, batch]: Parameters<DurableStore['add']>) {
      const failure = store.failures.shift();
      if (failure !== 'before' && !batches.has(batch)) {
        batches.add(batch);
        await memory.add(collection, rows, expiresAt);
      }
      if (failure !== undefined) throw new StoreUnavailableError('gone');
    },
  };
  return store;
}

const settled = (clock: FakeClock) => flow(clock, new Promise((done) => setImmediate(done)), 0);

it('counts a request in the UTC day in which it ended', async () => {
  const clock = createFakeClock(MIDNIGHT - SECOND);
  const { usage, end } = start(clock);
  end(answered(MIDNIGHT - 1));
  end(answered(MIDNIGHT - 2, { ms: 2, attempts: [attemptOf({ startedAt: MIDNIGHT - 2, ms: 2 })] }));
  clock.set(MIDNIGHT + SECOND);
  const { rows, from, to } = await usage.report({ by: ['day'] });
  expect([from, to]).toEqual(['2026-10-27', '2026-11-25']);
  expect(rows).toMatchObject([
    { day: '2026-11-24', requests: 1, attempts: 1, inputTokens: 10 },
    { day: '2026-11-25', requests: 1, attempts: 1, inputTokens: 0 },
  ]);
});

it('goes on with what was stored, after a restart too; thirty days later it is gone', async () => {
  const clock = createFakeClock(MIDNIGHT);
  const { store, usage, end } = start(clock);
  end(answered(MIDNIGHT, { client: 'shop' }));
  await usage.stop();
  expect(clock.pendingTimers()).toBe(0);
  const next = start(clock, store);
  next.end(answered(MIDNIGHT + SECOND, { client: 'shop' }));
  expect((await next.usage.report({ by: ['client'] })).rows).toMatchObject([
    { client: 'shop', requests: 2, inputTokens: 20 },
  ]);
  await next.usage.stop();
  clock.set(MIDNIGHT + 30 * DAY - 1);
  expect(await next.totals()).toMatchObject({ requests: 2 });
  const from = { from: '2026-11-01', to: '2027-01-30', by: [] };
  clock.set(MIDNIGHT + 31 * DAY);
  next.end(answered(clock.now()));
  clock.advance(5 * SECOND);
  await settled(clock);
  expect((await next.usage.report(from)).totals).toMatchObject({ requests: 1 });
});

it('counts for the metrics since the start, whatever is stored; the 1,001st client counts as other', async () => {
  const clock = createFakeClock(MIDNIGHT);
  const { usage, end, totals } = start(clock);
  for (let client = 0; client < 1002; client += 1)
    end(answered(MIDNIGHT, { client: `c${client}` }));
  await totals();
  clock.advance(5 * SECOND);
  await settled(clock);
  for (const client of ['c0', 'c1001']) end(answered(clock.now(), { client }));
  const counted = [...usage.totals()].map(({ client, model, numbers }) => [
    client,
    model,
    numbers.requests,
    numbers.inputTokens,
  ]);
  expect(counted).toHaveLength(1001);
  expect(counted[0]).toEqual(['c0', 'flash', 2, 20]);
  expect(counted[1]).toEqual(['c1', 'flash', 1, 10]);
  expect(counted.at(-1)).toEqual(['other', 'flash', 3, 30]);
});

it.each([
  ['without a trace', 'before'],
  ['after it had added the rows', 'after'],
] as const)('keeps what the store refuses %s, and counts it once', async (_, failure) => {
  const clock = createFakeClock(MIDNIGHT);
  const store = failingStore(clock);
  const { end, totals, lines } = start(clock, store);
  store.failures.push(failure, failure);
  for (let flush = 1; flush <= 3; flush += 1) {
    end(answered(clock.now()));
    clock.advance(5 * SECOND);
    await settled(clock);
  }
  expect(store.failures).toEqual([]);
  const [row] = await store.rows('usage:2026-11-25');
  expect(row?.numbers).toEqual({
    requests: 3,
    answered: 3,
    attempts: 3,
    inputTokens: 30,
    outputTokens: 15,
    cachedTokens: 12,
    thoughtTokens: 6,
  });
  expect(await totals()).toMatchObject({ requests: 3, inputTokens: 30 });
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual([
    'usage cannot be stored; it is kept in memory and tried again',
    'usage is stored again',
  ]);
  clock.advance(60 * SECOND);
  await settled(clock);
  expect(clock.pendingTimers()).toBe(0);
});

it('has what a store out of reach could not take', async () => {
  const clock = createFakeClock(MIDNIGHT);
  const store = failingStore(clock);
  const { end, totals } = start(clock, store);
  store.failures.push('before');
  end(answered(MIDNIGHT));
  clock.advance(5 * SECOND);
  await settled(clock);
  end(answered(clock.now()));
  expect(await totals()).toMatchObject({ requests: 2, inputTokens: 20 });
});

it('counts nothing twice or not at all while it is read and stored at the same time', async () => {
  const clock = createFakeClock(MIDNIGHT);
  const { end, totals } = start(clock);
  for (let round = 1; round <= 20; round += 1) {
    end(answered(MIDNIGHT));
    const before = totals();
    clock.advance(5 * SECOND);
    expect([(await before).requests, (await totals()).requests]).toEqual([round, round]);
  }
});

it('holds a bounded number of rows: further keys are other, and in the end further clients', async () => {
  const clock = createFakeClock(MIDNIGHT);
  const { end, usage } = start(clock);
  for (let index = 0; index < 50_000; index += 1) end(answered(MIDNIGHT, {}, `google-${index}`));
  for (let index = 0; index < 1500; index += 1) {
    end(answered(MIDNIGHT, { client: `client-${index}` }, 'google-new'));
  }
  end(answered(MIDNIGHT, {}, 'google-7'));
  const byClient = await usage.report({ by: ['client'] });
  expect(byClient.totals.requests).toBe(51_501);
  expect(byClient.rows).toHaveLength(1002);
  expect(byClient.rows.find(({ client }) => client === 'other')?.requests).toBe(500);
  const byKey = await usage.report({ by: ['day', 'key'] });
  expect([byKey.rows.length, byKey.isCut, byKey.totals.requests]).toEqual([10_000, true, 51_501]);
});

describe('costs', () => {
  it('are those of each kind of token, and of each answered request', async () => {
    const clock = createFakeClock(MIDNIGHT);
    const { end, usage } = start(clock);
    end(answered(MIDNIGHT));
    const refused = { kind: 'refused', code: 'all_keys_exhausted', retryAfterMs: null } as const;
    end(requestOf({ startedAt: MIDNIGHT, attempts: [], end: refused }));
    const { rows, totals, currency, unpricedModels } = await usage.report({ by: ['key'] });
    // 6 × 1 + 4 × 0.1 + 3 × 10 + 2 × 20 millionths, and half a dollar for the answer.
    expect(totals.cost).toBeCloseTo(0.500076, 6);
    expect([currency, unpricedModels]).toEqual(['USD', []]);
    expect(rows).toMatchObject([
      { key: 'google', requests: 1, answered: 1 },
      { key: 'none', requests: 1, answered: 0, attempts: 0, cost: 0 },
    ]);
  });

  it('of today are read again after half a minute, and begin anew at midnight', async () => {
    const clock = createFakeClock(MIDNIGHT - 60 * SECOND);
    const { end, usage } = start(clock);
    expect(await usage.today()).toEqual({ tokensToday: 0, costToday: 0, currency: 'USD' });
    end(answered(clock.now()));
    expect(await usage.today()).toMatchObject({ tokensToday: 0 });
    clock.advance(30 * SECOND);
    expect(await usage.today()).toEqual({ tokensToday: 15, costToday: 0.5000764, currency: 'USD' });
    clock.set(MIDNIGHT);
    expect(await usage.today()).toMatchObject({ tokensToday: 0, costToday: 0 });
  });

  it('of today are unknown until the store was read, and then stay known while it fails', async () => {
    const clock = createFakeClock(MIDNIGHT - 120 * SECOND);
    const memory = createMemoryStore(clock.now);
    let isDown = true;
    const rows: DurableStore['rows'] = async (collection) => {
      if (isDown) throw new StoreUnavailableError('gone');
      return memory.rows(collection);
    };
    const { end, usage } = start(clock, { ...memory, rows });
    const UNKNOWN = { tokensToday: null, costToday: null, currency: 'USD' };
    end(answered(clock.now()));
    expect(await usage.today()).toEqual(UNKNOWN);
    clock.advance(30 * SECOND);
    isDown = false;
    expect(await usage.today()).toMatchObject({ tokensToday: 15 });
    isDown = true;
    clock.advance(30 * SECOND);
    expect(await usage.today()).toMatchObject({ tokensToday: 15 });
    clock.set(MIDNIGHT);
    expect(await usage.today()).toEqual(UNKNOWN);
    clock.advance(30 * SECOND);
    isDown = false;
    expect(await usage.today()).toMatchObject({ tokensToday: 0, costToday: 0 });
  });
});
