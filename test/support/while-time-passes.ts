import { setTimeout as delay } from 'node:timers/promises';
import type { FakeClock } from './fake-clock.ts';

/**
 * Runs what reads an answer through a client of its own, while fake time goes on by itself: 10 ms for
 * each millisecond of real time, so that the pauses of a stand-in pass.
 */
export async function whileTimePasses<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) {
    await delay(1);
    if (!isOver) clock.advance(10);
  }
  return work;
}
