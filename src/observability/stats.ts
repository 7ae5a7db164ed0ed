import type { AttemptTrace, EndedTrace, RequestEnd, TraceSink } from '../failover/trace.ts';
import type { Parked } from '../pool/lease.ts';
import { provedBy, verdictOf } from '../pool/verdicts.ts';
import { isoTime } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import { PLAIN } from '../shared/request-shape.ts';
import { type KeyReport, type Overview, type RequestReport, reportedEnd } from './reports.ts';

/** The calls with each key since the start, the requests of the last hour by minute, and the latest ones. */
export interface Stats extends TraceSink {
  requestEnded(request: EndedTrace): void;
  attemptFailed(attempt: AttemptTrace): void;
  ofKey(id: string, now: number): KeyStats;
  /**
   * Whether an attempt that began at this time or later has shown the state of the key: it works, or it
   * is parked for a reason that is shown anyway.
   */
  hasSettledSince(id: string, at: number): boolean;
  /** Our own limit for one address has refused a request. */
  turnedAway(now: number): void;
  /** A client was over its budget or its share. */
  overBudget(now: number): void;
  /** Sixty minutes, oldest first; the present one is the last. */
  minutes(now: number): Overview['minutes'];
  /** Newest first, with their last attempts. */
  latest(): RequestReport[];
}

export type KeyStats = Pick<
  KeyReport,
  'calls' | 'successes' | 'failures' | 'latency' | 'lastError'
>;

const MAX_REQUESTS = 50;
const MAX_ATTEMPTS = 10;
const MINUTE_MS = 60_000;
const KEPT_MINUTES = 60;

export function createStats(): Stats {
  const byKey = new Map<string, KeyCounts>();
  /** By minute since the epoch, modulo an hour. */
  const minutes = new Map<number, Minute>();
  /** A ring. */
  const latest: EndedRequest[] = [];
  let ended = 0;
  const countAttempt = (attempt: AttemptTrace) => {
    let counts = byKey.get(attempt.key);
    if (counts === undefined) {
      counts = noCounts();
      byKey.set(attempt.key, counts);
    }
    const { outcome, firstMs, startedAt, ms } = attempt;
    counts.calls += 1;
    if (firstMs !== null) counts.firstMs.add(startedAt + ms, firstMs);
    if (outcome.kind !== 'success') countFailure(outcome, attempt, counts);
    else {
      counts.successes += 1;
      counts.settledAt = Math.max(counts.settledAt, startedAt);
    }
  };
  const minuteOf = (at: number): Minute => {
    const number = Math.floor(at / MINUTE_MS);
    let minute = minutes.get(number % KEPT_MINUTES);
    if (minute?.number !== number) {
      minute = emptyMinute(number);
      minutes.set(number % KEPT_MINUTES, minute);
    }
    return minute;
  };
  return {
    attemptFailed: countAttempt,
    requestEnded(request) {
      const { attempts, success, end } = request;
      if (success !== null) countAttempt(success);
      const minute = minuteOf(request.startedAt + request.ms);
      const outcome = COUNTED_AS[end.kind];
      minute.requests += 1;
      if (outcome !== undefined) minute[outcome] += 1;
      if (outcome === 'answered' && request.failovers > 0) minute.fallbacks += 1;
      latest[ended % MAX_REQUESTS] = {
        // One that has tried thousands of keys is not kept whole.
        request: attempts.length > MAX_ATTEMPTS ? withLastAttempts(request) : request,
        attemptsInAll: attempts.length,
      };
      ended += 1;
    },
    ofKey(id, now) {
      const { firstMs, settledAt: _, ...counts } = byKey.get(id) ?? noCounts();
      return { ...counts, latency: firstMs.latency(now) };
    },
    hasSettledSince: (id, at) => (byKey.get(id)?.settledAt ?? 0) >= at,
    turnedAway(now) {
      minuteOf(now).turnedAway += 1;
    },
    overBudget(now) {
      minuteOf(now).overBudget += 1;
    },
    minutes(now) {
      const first = Math.floor(now / MINUTE_MS) - (KEPT_MINUTES - 1);
      return Array.from({ length: KEPT_MINUTES }, (_, index) => {
        const known = minutes.get((first + index) % KEPT_MINUTES);
        const { number, ...counts } =
          known?.number === first + index ? known : emptyMinute(first + index);
        return { at: isoTime(number * MINUTE_MS), ...counts };
      });
    },
    latest() {
      const next = ended % MAX_REQUESTS;
      return [...latest.slice(next), ...latest.slice(0, next)].reverse().map(reportRequest);
    },
  };
}

interface KeyCounts extends Omit<KeyStats, 'latency'> {
  readonly firstMs: LatencySamples;
  /** When the last attempt began that settled the key; 0 for none. */
  settledAt: number;
}

const noCounts = (): KeyCounts => ({
  calls: 0,
  successes: 0,
  failures: {},
  firstMs: new LatencySamples(),
  lastError: null,
  settledAt: 0,
});

function countFailure(failure: Failure, attempt: AttemptTrace, counts: KeyCounts): void {
  const { kind, message, status = null } = failure;
  // Another attempt was faster: that is no failure.
  if (kind === 'superseded') return;
  const { parked, startedAt, ms, target } = attempt;
  counts.failures[kind] = (counts.failures[kind] ?? 0) + 1;
  if (settles(failure, parked)) counts.settledAt = Math.max(counts.settledAt, startedAt);
  if (BLAMELESS.has(kind)) return;
  counts.lastError = { at: isoTime(startedAt + ms), kind, model: target.label, message, status };
}

const settles = (failure: Failure, parked: Parked | null) =>
  parked === null
    ? provedBy(failure, verdictOf(failure, PLAIN)) !== 'nothing'
    : parked.scope !== 'project_model_feature';

/** Failures that say nothing about the key or its provider. */
const BLAMELESS: ReadonlySet<FailureKind> = new Set([
  'not_owned',
  'request_fault',
  'content_blocked',
  'unusable_answer',
  'deadline_exceeded',
  'client_gone',
  'superseded',
  'internal_error',
]);

const LATENCY_WINDOW_MS = 300_000;
const MAX_SAMPLES = 64;

/** The latest answers of one key: the newest few, and none older than five minutes. */
class LatencySamples {
  /** Plain numbers, since there may be thousands of keys. */
  readonly #at = new Float64Array(MAX_SAMPLES);
  readonly #ms = new Float64Array(MAX_SAMPLES);
  #next = 0;

  add(at: number, ms: number): void {
    this.#at[this.#next] = at;
    this.#ms[this.#next] = ms;
    this.#next = (this.#next + 1) % MAX_SAMPLES;
  }

  latency(now: number): KeyReport['latency'] {
    const isRecent = (_: number, index: number) => (this.#at[index] ?? 0) > now - LATENCY_WINDOW_MS;
    const sorted = this.#ms.filter(isRecent).sort();
    if (sorted.length === 0) return null;
    const p50Ms = percentile(sorted, 0.5);
    return { p50Ms, p95Ms: percentile(sorted, 0.95), answers: sorted.length };
  }
}

/** The smallest value that this share of the samples does not exceed. */
const percentile = (sorted: Float64Array, share: number): number =>
  sorted[Math.ceil(sorted.length * share) - 1] ?? 0;

/** The requests that ended within one minute. */
interface Minute extends Omit<Overview['minutes'][number], 'at'> {
  /** Minutes since the epoch. */
  readonly number: number;
}

const emptyMinute = (number: number): Minute => ({
  number,
  requests: 0,
  answered: 0,
  fallbacks: 0,
  refused: 0,
  brokenOff: 0,
  turnedAway: 0,
  overBudget: 0,
});

/** A fault of the request, and a client that left, count as requests only. */
const COUNTED_AS: Partial<Record<RequestEnd['kind'], 'answered' | 'refused' | 'brokenOff'>> = {
  answered: 'answered',
  refused: 'refused',
  broken_off: 'brokenOff',
  internal_error: 'brokenOff',
};

interface EndedRequest {
  /** With its last attempts alone where it had many. */
  readonly request: EndedTrace;
  readonly attemptsInAll: number;
}

const withLastAttempts = (request: EndedTrace): EndedTrace => ({
  ...request,
  attempts: request.attempts.slice(-MAX_ATTEMPTS),
});

function reportRequest({ request, attemptsInAll }: EndedRequest): RequestReport {
  const { requestId, targets, operation, startedAt, ms, waitedMs, attempts, end } = request;
  return {
    requestId,
    service: targets[0].provider,
    operation,
    at: isoTime(startedAt + ms),
    ms,
    waitedMs,
    end: reportedEnd(end.kind),
    code: end.kind === 'refused' ? end.code : null,
    attemptsInAll,
    attempts: attempts.map(reportAttempt),
  };
}

function reportAttempt(attempt: AttemptTrace): RequestReport['attempts'][number] {
  const { key, target, otherModel, outcome, isProbe, isHedge, parked, ms, firstMs, usage } =
    attempt;
  return {
    key,
    model: target.label,
    responseModel: otherModel,
    outcome: outcome.kind,
    message: outcome.kind === 'success' ? null : outcome.message,
    isTrial: isProbe,
    isHedge,
    parkedUntil: parked === null ? null : isoTime(parked.until),
    parkedFeatures: [...(parked?.features ?? [])],
    ms,
    firstMs,
    tokens: usage?.totalTokens ?? null,
  };
}
