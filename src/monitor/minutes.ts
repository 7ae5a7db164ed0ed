import { z } from 'zod';
import { hasSteppedIn, type RequestRecord } from '../service/observer.ts';

/** What became of the requests that ended within one minute. */
export const minute = z.object({
  /** Its beginning, in milliseconds since the epoch. */
  at: z.number(),
  requests: z.number(),
  answered: z.number(),
  /** Of the answered ones, those by another key or model than the first. */
  fallbacks: z.number(),
  refused: z.number(),
  /** Or ended by a bug of ours. */
  brokenOff: z.number(),
  /** Not among `requests`: refused by our own limit for one address, before any key was looked for. */
  turnedAway: z.number(),
});

type Counts = z.output<typeof minute>;
export type Minute = Readonly<Counts>;

/** The last hour, minute by minute. */
export interface Minutes {
  requestEnded(request: RequestRecord): void;
  /** Our own limit for one address has refused a request. */
  turnedAway(now: number): void;
  /** Oldest first, the present one last, each minute of the hour in it. */
  list(now: number): readonly Minute[];
}

const MINUTE_MS = 60_000;
const KEPT = 60;

export function createMinutes(): Minutes {
  /** By their place in the hour. */
  const kept = new Map<number, Counts>();
  const minuteOf = (at: number): Counts => {
    const beginning = beginningOf(at);
    const place = (beginning / MINUTE_MS) % KEPT;
    const known = kept.get(place);
    if (known?.at === beginning) return known;
    const fresh = nothingAt(beginning);
    kept.set(place, fresh);
    return fresh;
  };
  return {
    requestEnded(request) {
      const { startedAt, ms, end } = request;
      const minute = minuteOf(startedAt + ms);
      minute.requests += 1;
      if (end.kind === 'refused') minute.refused += 1;
      if (end.kind === 'broken_off' || end.kind === 'bug') minute.brokenOff += 1;
      if (end.kind !== 'answered') return;
      minute.answered += 1;
      if (hasSteppedIn(request)) minute.fallbacks += 1;
    },
    turnedAway(now) {
      minuteOf(now).turnedAway += 1;
    },
    list: (now) => addMinutes([...kept.values()], now),
  };
}

/** The hour until now, of what several have counted, in any order: oldest first, each of its minutes in it. */
export function addMinutes(counted: readonly Minute[], now: number): Minute[] {
  const first = beginningOf(now) - (KEPT - 1) * MINUTE_MS;
  const hour = Array.from({ length: KEPT }, (_, index) => nothingAt(first + index * MINUTE_MS));
  for (const one of counted) {
    const sum = hour[(one.at - first) / MINUTE_MS];
    if (sum !== undefined) add(sum, one);
  }
  return hour;
}

function add(sum: Counts, one: Minute): void {
  sum.requests += one.requests;
  sum.answered += one.answered;
  sum.fallbacks += one.fallbacks;
  sum.refused += one.refused;
  sum.brokenOff += one.brokenOff;
  sum.turnedAway += one.turnedAway;
}

const beginningOf = (at: number) => at - (at % MINUTE_MS);

const nothingAt = (at: number): Counts => ({
  at,
  requests: 0,
  answered: 0,
  fallbacks: 0,
  refused: 0,
  brokenOff: 0,
  turnedAway: 0,
});
