import { expect, it } from 'vitest';
import { createOverview } from '../../src/observability/admin-view.ts';
import { createStats } from '../../src/observability/stats.ts';
import { createPool, google, SESSION } from '../support/pool.ts';

function createCountedOverview() {
  const { pool, clock } = createPool(['google-1']);
  let made = 0;
  const overview = createOverview({
    inspection: pool.inspection,
    targets: [google('flash'), SESSION],
    mode: 'live',
    redis: null,
    stats: createStats(),
    verdict: () => ({ look: 'good', situations: [] }),
    clock,
    unprovenKeys: () => {
      made += 1;
      return [];
    },
  });
  return { overview, clock, made: () => made };
}

it('is made once a second, however often it is asked for, and its time is the present', () => {
  const { overview, clock, made } = createCountedOverview();
  overview.get();
  clock.advance(999);
  expect(overview.get().now).toBe(new Date(clock.now()).toISOString());
  expect(made()).toBe(1);
  clock.advance(1);
  overview.get();
  expect(made()).toBe(2);
});

it('is made again when it was forgotten', () => {
  const { overview, made } = createCountedOverview();
  overview.get();
  overview.forget();
  overview.get();
  expect(made()).toBe(2);
});

it('is made again when the clock was set back', () => {
  const { overview, clock, made } = createCountedOverview();
  overview.get();
  clock.set(clock.now() - 1);
  overview.get();
  expect(made()).toBe(2);
});
