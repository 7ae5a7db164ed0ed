import { expect, it } from 'vitest';
import { goodFor } from '../../src/observability/good-for.ts';
import { createFakeClock } from '../support/fake-clock.ts';

function countingFor(ms: number) {
  const clock = createFakeClock();
  let count = 0;
  const kept = goodFor(ms, clock.now, () => {
    count += 1;
    return count;
  });
  return { clock, kept };
}

it('gives all the same answer until its time has passed', () => {
  const { clock, kept } = countingFor(1000);
  expect([kept.get(), kept.get()]).toEqual([1, 1]);
  clock.advance(999);
  expect(kept.get()).toBe(1);
  clock.advance(1);
  expect([kept.get(), kept.get()]).toEqual([2, 2]);
});

it('makes a new one when it was told to forget', () => {
  const { kept } = countingFor(1000);
  kept.get();
  kept.forget();
  expect([kept.get(), kept.get()]).toEqual([2, 2]);
});

it('does not go on with an old one when the clock is set back', () => {
  const { clock, kept } = countingFor(1000);
  kept.get();
  clock.set(clock.now() - 1);
  expect(kept.get()).toBe(2);
});
