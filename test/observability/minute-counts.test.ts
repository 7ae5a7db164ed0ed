import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MinuteCounts, mergePeriods, p95Of } from '../../src/observability/stats.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 10, 24, 12);
const NOW = NOON / MINUTE;
const DAY = 1440;

const only = (minute: number) => ({ from: minute, to: minute + 1, step: 1 });

it('a minute is known for a day, and its place is empty for the same minute of the next', () => {
  const minutes = new MinuteCounts();
  minutes.add(NOON, 'requests', 5);
  minutes.addFirstWords(NOON, 100);
  for (let i = 1; i < DAY; i += 1) minutes.add(NOON + i * MINUTE, 'requests');
  expect(minutes.periods(only(NOW))).toMatchObject([{ minute: NOW, requests: 5 }]);
  minutes.add(NOON + (DAY + 1) * MINUTE, 'requests');
  const two = minutes.periods({ from: NOW + DAY, to: NOW + DAY + 2, step: 2 });
  expect(two).toMatchObject([{ requests: 1, firstWords: [] }]);
  minutes.add(NOON + DAY * MINUTE, 'requests');
  expect(minutes.periods(only(NOW))).toEqual([]);
  expect(minutes.periods(only(NOW + DAY))).toMatchObject([{ requests: 1, firstWords: [] }]);
});

it('several minutes are added up, and a period without anything is left out', () => {
  const minutes = new MinuteCounts();
  minutes.add(NOON, 'refused', 2);
  minutes.add(NOON + 3 * MINUTE, 'refused', 3);
  minutes.add(NOON + 8 * MINUTE, 'tokens', 5_000_000_000);
  const span = { from: NOW, to: NOW + 9, step: 4 };
  expect(minutes.periods(span)).toMatchObject([
    { minute: NOW, refused: 5, tokens: 0 },
    { minute: NOW + 8, refused: 0, tokens: 5_000_000_000 },
  ]);
  expect(mergePeriods([minutes.periods(span)], span).map(({ refused }) => refused)).toEqual([
    ...[5, 0, 0],
  ]);
});

it('the p95 of any answers is at most a tenth off, also when several instances have measured them', () => {
  const ms = fc.integer({ min: 1, max: 900_000 });
  const answers = fc.array(ms, { minLength: 1, maxLength: 300 });
  const measured = fc.tuple(answers, fc.integer({ min: 1, max: 4 }));
  fc.assert(
    fc.property(measured, ([times, instances]) => {
      const all = Array.from({ length: instances }, () => new MinuteCounts());
      times.forEach((time, index) => {
        all[index % instances]?.addFirstWords(NOON + (index % 7) * MINUTE, time);
        all[index % instances]?.add(NOON + (index % 7) * MINUTE, 'requests');
      });
      const span = { from: NOW, to: NOW + 7, step: 7 };
      const [merged] = mergePeriods(
        all.map((one) => one.periods(span)),
        span,
      );
      const exact = times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.95) - 1] ?? 0;
      const found = merged === undefined ? null : p95Of(merged);
      // Whole milliseconds: half of one may be lost.
      expect(Math.abs((found ?? 0) - exact)).toBeLessThanOrEqual(exact * 0.1 + 0.5);
    }),
  );
});
