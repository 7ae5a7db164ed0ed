import { expect, it } from 'vitest';
import { nextPacificMidnight } from '../../src/shared/pacific-midnight.ts';

const HOUR = 3_600_000;

it.each([
  ['in winter', '2026-01-15T20:00:00Z', '2026-01-16T08:00:00Z'],
  ['in summer', '2026-07-15T20:00:00Z', '2026-07-16T07:00:00Z'],
  ['one millisecond before midnight', '2026-01-16T07:59:59.999Z', '2026-01-16T08:00:00Z'],
  ['at midnight itself, the next day', '2026-01-16T08:00:00Z', '2026-01-17T08:00:00Z'],
  ['on the day of 23 hours', '2026-03-08T09:00:00Z', '2026-03-09T07:00:00Z'],
  ['on the day of 25 hours', '2026-11-01T08:30:00Z', '2026-11-02T08:00:00Z'],
])('finds the next midnight in Los Angeles %s', (_, now, midnight) => {
  expect(new Date(nextPacificMidnight(Date.parse(now))).toISOString()).toBe(
    new Date(midnight).toISOString(),
  );
});

it('is always later than now, by 25 hours at most, all year round', () => {
  const start = Date.UTC(2026, 0, 1);
  for (let now = start; now < start + 370 * 24 * HOUR; now += 1.7 * HOUR) {
    const wait = nextPacificMidnight(now) - now;
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(25 * HOUR);
  }
});
