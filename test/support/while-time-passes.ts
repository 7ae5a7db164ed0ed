import { setTimeout as delay } from 'node:timers/promises';
import type { FakeClock } from './fake-clock.ts';

/**
 * Runs what reads an answer through a client of its own, while fake time goes on by itself, so that
 * the pauses of a stand-in pass.
 *
 * @param stepMs of fake time, for each millisecond of real time
 */
export async function whileTimePasses<T>(
  clock: FakeClock,
  work: Promise<T>,
  stepMs = 10,
): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) {
    await delay(1);
    if (!isOver) clock.advance(stepMs);
  }
  return work;
}
