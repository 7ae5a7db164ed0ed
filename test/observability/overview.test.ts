import { expect, it } from 'vitest';
import { createOverview } from '../../src/observability/admin-view.ts';
import { createInstances } from '../../src/observability/instances.ts';
import { createStats } from '../../src/observability/stats.ts';
import { createPool, google, SESSION } from '../support/pool.ts';
import { requestOf } from '../support/records.ts';

function createCountedOverview() {
  const { pool, clock } = createPool(['google-1']);
  let made = 0;
  const { inspection } = pool;
  const startedAt = clock.now();
  const stats = createStats();
  const overview = createOverview({
    inspection,
    targets: [google('flash'), SESSION],
    mode: 'live',
    redis: null,
    usage: { today: async () => ({ tokensToday: 0, costToday: null, currency: null }) },
    startedAt,
    instances: createInstances({
      ...{ instance: 'one', questions: null, redis: null, prices: null, measuresProcess: false },
      ...{ stats, services: ['google', 'anam'], inspection, clock, startedAt },
    }),
    verdict: () => ({ look: 'good', situations: [] }),
    clock,
    unprovenKeys: () => {
      made += 1;
      return [];
    },
  });
  return { overview, clock, stats, made: () => made };
}

it('is made once a second, however often it is asked for, and its time is the present', async () => {
  const { overview, clock, made } = createCountedOverview();
  await overview.get();
  clock.advance(999);
  expect((await overview.get()).now).toBe(new Date(clock.now()).toISOString());
  expect(made()).toBe(1);
  clock.advance(1);
  await overview.get();
  expect(made()).toBe(2);
});

it('is made once for all who ask while it is made', async () => {
  const { overview, made } = createCountedOverview();
  await Promise.all([overview.get(), overview.get()]);
  expect(made()).toBe(1);
});

it('is made again when it was forgotten', async () => {
  const { overview, made } = createCountedOverview();
  await overview.get();
  overview.forget();
  await overview.get();
  expect(made()).toBe(2);
});

it('is made again when the clock was set back', async () => {
  const { overview, clock, made } = createCountedOverview();
  await overview.get();
  clock.set(clock.now() - 1);
  await overview.get();
  expect(made()).toBe(2);
});

it('has 100 percent only where all were answered', async () => {
  const { overview, clock, stats } = createCountedOverview();
  const percentAfter = async (answered: number, refused: number) => {
    const startedAt = clock.now();
    const end = { kind: 'refused', code: 'all_keys_exhausted', retryAfterMs: null } as const;
    for (let i = 0; i < answered; i += 1) stats.requestEnded?.(requestOf({ startedAt }));
    for (let i = 0; i < refused; i += 1) stats.requestEnded?.(requestOf({ startedAt, end }));
    overview.forget();
    return (await overview.get()).totals.successPercent;
  };
  expect(await percentAfter(2, 0)).toBe(100);
  expect(await percentAfter(0, 1)).toBe(66.7);
  expect(await percentAfter(3000, 0)).toBe(99.9);
});
