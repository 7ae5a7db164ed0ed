import { MINUTE, type Scenario } from './scenario.ts';

export interface Question {
  readonly message: string;
  /** Asked in Gemini's own protocol, with search grounding. */
  readonly isSearch: boolean;
}

export interface Arrival extends Question {
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** The plain requests: a Poisson process, the same for a seed. */
export function arrivalsOf({ startsAt, load, seed, messageLength }: Scenario): readonly Arrival[] {
  const random = createRandom(seed);
  const arrivals: Arrival[] = [];
  const message = () => {
    if (messageLength === undefined) return MESSAGE;
    const { least, most } = messageLength;
    return messageOf(least + Math.floor(random() * (most - least + 1)));
  };
  let phaseStart = startsAt;
  for (const { minutes, perMinute } of load) {
    const phaseEnd = phaseStart + minutes * MINUTE;
    const gap = () => (-Math.log(1 - random()) * MINUTE) / perMinute;
    for (let at = phaseStart + gap(); at < phaseEnd; at += gap()) {
      arrivals.push({ at, message: message(), isSearch: false });
    }
    phaseStart = phaseEnd;
  }
  return arrivals;
}

/** At even distances. Each message has a length of its own, by which the stand-in tells its calls. */
export function specialArrivalsOf({ startsAt, load, special }: Scenario): readonly Arrival[] {
  if (special === undefined) return [];
  const { everyMs, length, isSearch = false } = special;
  const lasts = load.reduce((sum, { minutes }) => sum + minutes * MINUTE, 0);
  return Array.from({ length: Math.floor(lasts / everyMs) }, (_, index) => ({
    at: startsAt + index * everyMs,
    message: messageOf(length + index),
    isSearch,
  }));
}

const MESSAGE = 'What makes a good understudy?';
const messageOf = (length: number) => MESSAGE.padEnd(length, ' And what else?');

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
