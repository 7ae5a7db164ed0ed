import {
  type AttemptTrace,
  hasSteppedIn,
  type RequestEnd,
  type RequestTrace,
} from '../failover/trace.ts';
import { isoTime } from '../shared/clock.ts';
import { type Overview, type RequestReport, reportedEnd } from './reports.ts';

const MAX_REQUESTS = 50;
const MAX_ATTEMPTS = 10;
const MINUTE_MS = 60_000;
const KEPT_MINUTES = 60;

/** The requests of the last hour by minute, and the latest ones with their last attempts. */
export interface RecentRequests {
  requestEnded(request: RequestTrace): void;
  /** Our own limit for one address has refused a request. */
  turnedAway(now: number): void;
  /** Sixty minutes, oldest first; the present one is the last. */
  minutes(now: number): Overview['minutes'];
  /** Newest first. */
  latest(): RequestReport[];
}

export function createRecentRequests(): RecentRequests {
  /** By minute since the epoch, modulo an hour. */
  const minutes = new Map<number, Minute>();
  const latest: RequestReport[] = [];
  const minuteOf = (at: number): Minute => {
    const start = startOfMinute(at);
    const known = minutes.get(slotOf(start));
    if (known?.start === start) return known;
    const fresh = emptyMinute(start);
    minutes.set(slotOf(start), fresh);
    return fresh;
  };
  return {
    requestEnded(request) {
      if (request.end === null) return;
      count(request.end, request, minuteOf(request.startedAt + request.ms));
      latest.push(reportRequest(request.end, request));
      if (latest.length > 2 * MAX_REQUESTS) latest.splice(0, MAX_REQUESTS);
    },
    turnedAway(now) {
      minuteOf(now).turnedAway += 1;
    },
    minutes(now) {
      const first = startOfMinute(now) - (KEPT_MINUTES - 1) * MINUTE_MS;
      return Array.from({ length: KEPT_MINUTES }, (_, index) => {
        const at = first + index * MINUTE_MS;
        const known = minutes.get(slotOf(at));
        const { start, ...counts } = known?.start === at ? known : emptyMinute(at);
        return { at: isoTime(start), ...counts };
      });
    },
    latest: () => latest.slice(-MAX_REQUESTS).reverse(),
  };
}

/** The requests that ended within one minute. */
interface Minute extends Omit<Overview['minutes'][number], 'at'> {
  /** Milliseconds since the epoch. */
  readonly start: number;
}

const startOfMinute = (at: number) => at - (at % MINUTE_MS);
const slotOf = (start: number) => (start / MINUTE_MS) % KEPT_MINUTES;

const emptyMinute = (start: number): Minute => ({
  start,
  requests: 0,
  answered: 0,
  fallbacks: 0,
  refused: 0,
  brokenOff: 0,
  turnedAway: 0,
});

function count({ kind }: RequestEnd, request: RequestTrace, minute: Minute): void {
  minute.requests += 1;
  if (kind === 'refused') minute.refused += 1;
  if (kind === 'broken_off' || kind === 'internal_error') minute.brokenOff += 1;
  if (kind !== 'answered') return;
  minute.answered += 1;
  if (hasSteppedIn(request)) minute.fallbacks += 1;
}

function reportRequest(end: RequestEnd, request: RequestTrace): RequestReport {
  const { requestId, targets, operation, startedAt, ms, waitedMs, attempts } = request;
  return {
    requestId,
    service: targets[0].provider,
    operation,
    at: isoTime(startedAt + ms),
    ms,
    waitedMs,
    end: reportedEnd(end.kind),
    code: end.kind === 'refused' ? end.code : null,
    attemptsInAll: attempts.length,
    attempts: attempts.slice(-MAX_ATTEMPTS).map(reportAttempt),
  };
}

function reportAttempt(attempt: AttemptTrace) {
  const { key, target, outcome, isProbe, parked, ms, firstMs, usage } = attempt;
  return {
    key,
    model: target.label,
    outcome: outcome.kind,
    message: outcome.kind === 'success' ? null : outcome.message,
    isTrial: isProbe,
    parkedUntil: parked === null ? null : isoTime(parked.until),
    ms,
    firstMs,
    tokens: usage?.totalTokens ?? null,
  };
}
