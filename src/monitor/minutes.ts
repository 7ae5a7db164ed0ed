import { hasSteppedIn, type RequestRecord } from '../service/observer.ts';

/** What became of the requests that ended within one minute. */
export interface Minute {
  /** Its beginning, in milliseconds since the epoch. */
  readonly at: number;
  readonly requests: number;
  readonly answered: number;
  /** Of the answered ones, those by another key or model than the first. */
  readonly fallbacks: number;
  readonly refused: number;
  /** Or ended by a bug of ours. */
  readonly brokenOff: number;
}

/** The last hour, minute by minute. */
export interface Minutes {
  requestEnded(request: RequestRecord): void;
  /** Oldest first, the present one last, each minute of the hour in it. */
  list(now: number): readonly Minute[];
}

const MINUTE_MS = 60_000;
const KEPT = 60;

type Counts = { -readonly [K in keyof Minute]: Minute[K] };

export function createMinutes(): Minutes {
  const kept: Counts[] = [];
  const minuteOf = (at: number): Counts => {
    const beginning = beginningOf(at);
    const place = (beginning / MINUTE_MS) % KEPT;
    const known = kept[place];
    if (known?.at === beginning) return known;
    const fresh = nothingAt(beginning);
    kept[place] = fresh;
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
    list(now) {
      const present = beginningOf(now);
      return Array.from({ length: KEPT }, (_, index) => {
        const at = present - (KEPT - 1 - index) * MINUTE_MS;
        const known = kept[(at / MINUTE_MS) % KEPT];
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
});
