import { hasSteppedIn, type RequestTrace } from '../failover/trace.ts';

/** What became of the requests that ended within one minute. */
interface Counts {
  /** The beginning of the minute, in milliseconds since the epoch. */
  at: number;
  requests: number;
  answered: number;
  /** Answered requests that needed another key or model than the first. */
  fallbacks: number;
  refused: number;
  /** Answers that broke off, and requests that met a bug of ours. */
  brokenOff: number;
  /** Requests refused by our own limit for one address; `requests` does not include them. */
  turnedAway: number;
}

export type Minute = Readonly<Counts>;

/** The last hour, minute by minute. */
export interface Minutes {
  requestEnded(request: RequestTrace): void;
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
    list(now) {
      const first = beginningOf(now) - (KEPT - 1) * MINUTE_MS;
      return Array.from({ length: KEPT }, (_, index) => {
        const at = first + index * MINUTE_MS;
        const known = kept.get((at / MINUTE_MS) % KEPT);
        return known?.at === at ? { ...known } : nothingAt(at);
      });
    },
  };
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
