import { expect, test } from 'vitest';
import { createFakeClock } from './fake-clock.ts';

test('a timer is still pending one millisecond before its time and fires at it', () => {
  const clock = createFakeClock(0);
  const fired: number[] = [];
  clock.after(100, () => fired.push(clock.now()));
  clock.advance(99);
  expect(fired).toEqual([]);
  clock.advance(1);
  expect(fired).toEqual([100]);
  expect(clock.pendingTimers()).toBe(0);
});

test('timers fire in time order, those of one moment as they were set, and may set others', () => {
  const clock = createFakeClock(0);
  const fired: string[] = [];
  clock.after(20, () => fired.push('late'));
  clock.after(10, () => {
    fired.push('early');
    clock.after(5, () => fired.push(`between, at ${clock.now()}`));
  });
  clock.after(20, () => fired.push('later'));
  clock.advance(30);
  expect(fired).toEqual(['early', 'between, at 15', 'late', 'later']);
  expect(clock.now()).toBe(30);
});

test('a cancelled timer never fires, and time that is set backward fires nothing', () => {
  const clock = createFakeClock(1_000);
  const fired: string[] = [];
  clock.after(10, () => fired.push('cancelled')).cancel();
  clock.after(10, () => fired.push('kept'));
  clock.set(500);
  expect([clock.now(), fired]).toEqual([500, []]);
  clock.set(1_010);
  expect(fired).toEqual(['kept']);
});
