import { MINUTE, type Scenario } from './scenario.ts';

/** When each request comes, in milliseconds since the epoch: a Poisson process, the same for a seed. */
export function arrivalsOf({ startsAt, load, seed }: Scenario): readonly number[] {
  const random = createRandom(seed);
  const arrivals: number[] = [];
  let phaseStart = startsAt;
  for (const { minutes, perMinute } of load) {
    const phaseEnd = phaseStart + minutes * MINUTE;
    const gap = () => (-Math.log(1 - random()) * MINUTE) / perMinute;
    for (let at = phaseStart + gap(); at < phaseEnd; at += gap()) arrivals.push(at);
    phaseStart = phaseEnd;
  }
  return arrivals;
}

/** Mulberry32: from 0 to 1, the same sequence for the same seed. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
