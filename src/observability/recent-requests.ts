import { type AttemptTrace, hasSteppedIn, type RequestTrace } from '../failover/trace.ts';
import { isoTime } from '../shared/clock.ts';
import type { Overview, RequestReport } from './reports.ts';

const MAX_REQUESTS = 50;
const MAX_ATTEMPTS = 10;

interface RememberedRequest extends RequestTrace {
  readonly attemptsInAll: number;
}

/** The latest requests, each with its last attempts; times are ISO 8601 in UTC. */
export function createLatestRequests() {
  const kept: RememberedRequest[] = [];
  return {
    requestEnded(request: RequestTrace): void {
      const { attempts } = request;
      const attemptsInAll = attempts.length;
      kept.push({ ...request, attempts: attempts.slice(-MAX_ATTEMPTS), attemptsInAll });
      if (kept.length > 2 * MAX_REQUESTS) kept.splice(0, MAX_REQUESTS);
    },
    /** Newest first. */
    list: () => kept.slice(-MAX_REQUESTS).reverse().map(reportRequest),
  };
}

function reportRequest(request: RememberedRequest): RequestReport {
  const { requestId, targets, operation, startedAt, ms, waitedMs, end, attemptsInAll } = request;
  return {
    requestId,
    service: targets[0].provider,
    operation,
    at: isoTime(startedAt + ms),
    ms,
    waitedMs,
    end: end.kind,
    code: end.kind === 'refused' ? end.code : null,
    attemptsInAll,
    attempts: request.attempts.map(reportAttempt),
  };
}

function reportAttempt(attempt: AttemptTrace) {
  const { key, target, outcome, isProbe, parked, ms, firstMs, usage } = attempt;
  return {
    key,
    model: target.label,
    outcome: outcome.kind,
    message: outcome.kind === 'success' ? null : outcome.message,
    // The public name from before "probe" became the word.
    isTrial: isProbe,
    parkedUntil: parked === null ? null : isoTime(parked.until),
    ms,
    firstMs,
    tokens: usage?.totalTokens ?? null,
  };
}

const MINUTE_MS = 60_000;
const KEPT_MINUTES = 60;

/** The requests of the last hour, minute by minute. */
export function createMinutes() {
  /** By minute since the epoch, modulo an hour. */
  const kept = new Map<number, Minute>();
  const minuteOf = (at: number): Minute => {
    const start = startOfMinute(at);
    const known = kept.get(slotOf(start));
    if (known?.at === start) return known;
    const fresh = emptyMinute(start);
    kept.set(slotOf(start), fresh);
    return fresh;
  };
  return {
    requestEnded(request: RequestTrace): void {
      const { startedAt, ms, end } = request;
      const minute = minuteOf(startedAt + ms);
      minute.requests += 1;
      if (end.kind === 'refused') minute.refused += 1;
      if (end.kind === 'broken_off' || end.kind === 'internal_error') minute.brokenOff += 1;
      if (end.kind !== 'answered') return;
      minute.answered += 1;
      if (hasSteppedIn(request)) minute.fallbacks += 1;
    },
    turnedAway(now: number): void {
      minuteOf(now).turnedAway += 1;
    },
    /** Sixty minutes, oldest first; the present one is the last. */
    list(now: number): Readonly<Minute>[] {
      const first = startOfMinute(now) - (KEPT_MINUTES - 1) * MINUTE_MS;
      return Array.from({ length: KEPT_MINUTES }, (_, index) => {
        const start = first + index * MINUTE_MS;
        const known = kept.get(slotOf(start));
        return known?.at === start ? { ...known } : emptyMinute(start);
      });
    },
  };
}

/** The requests that ended within one minute, which began at this time since the epoch. */
interface Minute extends Omit<Overview['minutes'][number], 'at'> {
  readonly at: number;
}

const startOfMinute = (at: number) => at - (at % MINUTE_MS);
const slotOf = (start: number) => (start / MINUTE_MS) % KEPT_MINUTES;

const emptyMinute = (at: number): Minute => ({
  at,
  requests: 0,
  answered: 0,
  fallbacks: 0,
  refused: 0,
  brokenOff: 0,
  turnedAway: 0,
});
