import type { AttemptTrace, EndedTrace, RequestEnd, TraceSink } from '../failover/trace.ts';
import type { Parked } from '../pool/lease.ts';
import { provedBy, verdictOf } from '../pool/verdicts.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import { PLAIN } from '../shared/request-shape.ts';
import { createFailureGroups, type FailureGroups } from './failure-groups.ts';
import { type KeptRequest, keepRequest, LatestRequests } from './kept-requests.ts';
import { type Counted, MinuteCounts, type Span } from './minute-counts.ts';
import type { KeyReport } from './reports.ts';

/**
 * The calls with each key since the start, the requests of the last day by minute, the failures of the last hour, and
 * the latest requests.
 */
export interface Stats extends TraceSink {
  requestEnded(request: EndedTrace): void;
  requestHadTrouble(request: EndedTrace): void;
  attemptFailed(attempt: AttemptTrace): void;
  ofKey(id: string, now: number): KeyStats;
  /**
   * Whether an attempt that began at this time or later has shown the state of the key: it works, or it
   * is parked for a reason that is shown anyway.
   */
  hasSettledSince(id: string, at: number): boolean;
  /** How many requests a provider has answered since the start. */
  answersOf(provider: ProviderName): number;
  /** Our own limit for one address has refused a request. */
  turnedAway(now: number): void;
  /** A client was over its budget or its share. */
  overBudget(now: number): void;
  /** Of the last 24 hours, as `MinuteCounts` has them. */
  periods(span: Span): ReturnType<MinuteCounts['periods']>;
  readonly failures: Pick<FailureGroups, 'list'>;
  /** Newest first, with their last attempts. */
  latest(): readonly KeptRequest[];
  /**
   * The latest request with this id; null when it is forgotten. Those that had trouble are remembered longer, and the
   * latest of each group of failures as long as the group.
   */
  find(requestId: string): KeptRequest | null;
}

export type KeyStats = Pick<
  KeyReport,
  'calls' | 'successes' | 'failures' | 'latency' | 'lastError'
>;

const MAX_LATEST = 50;
const MAX_TROUBLED = 500;

export function createStats(): Stats {
  const byKey = new Map<string, KeyCounts>();
  const minutes = new MinuteCounts();
  const failures = createFailureGroups();
  const latest = new LatestRequests(MAX_LATEST);
  const troubled = new LatestRequests(MAX_TROUBLED);
  const answers = new Map<ProviderName, number>();
  const answersOf = (provider: ProviderName) => answers.get(provider) ?? 0;
  const countAttempt = (attempt: AttemptTrace) => {
    let counts = byKey.get(attempt.key);
    if (counts === undefined) {
      counts = noCounts();
      byKey.set(attempt.key, counts);
    }
    const { outcome, firstMs, startedAt, ms, usage } = attempt;
    counts.calls += 1;
    if (usage !== null) minutes.add(startedAt + ms, 'tokens', usage.totalTokens);
    if (firstMs !== null) counts.firstMs.add(startedAt + ms, firstMs);
    if (outcome.kind !== 'success') countFailure(outcome, attempt, counts);
    else {
      counts.successes += 1;
      counts.settledAt = Math.max(counts.settledAt, startedAt);
    }
  };
  return {
    attemptFailed: countAttempt,
    requestEnded(request) {
      if (request.success !== null) countAttempt(request.success);
      countRequest(request, minutes);
      latest.add(keepRequest(request));
      if (request.end.kind !== 'answered') return;
      const [{ provider }] = request.targets;
      answers.set(provider, answersOf(provider) + 1);
    },
    requestHadTrouble(request) {
      const kept = keepRequest(request);
      troubled.add(kept);
      failures.add(kept);
    },
    answersOf,
    ofKey(id, now) {
      const { firstMs, settledAt: _, ...counts } = byKey.get(id) ?? noCounts();
      return { ...counts, latency: firstMs.latency(now) };
    },
    hasSettledSince: (id, at) => (byKey.get(id)?.settledAt ?? 0) >= at,
    turnedAway: (now) => minutes.add(now, 'turnedAway'),
    overBudget: (now) => minutes.add(now, 'overBudget'),
    periods: (span) => minutes.periods(span),
    failures,
    latest: () => latest.list(),
    find(requestId) {
      const isAsked = ({ request }: KeptRequest) => request.requestId === requestId;
      return (
        latest.list().find(isAsked) ??
        troubled.list().find(isAsked) ??
        failures.requests().findLast(isAsked) ??
        null
      );
    },
  };
}

/** Counts a request in the minute of its end. */
function countRequest(request: EndedTrace, minutes: MinuteCounts): void {
  const { startedAt, ms, end, failovers, operation, success } = request;
  const at = startedAt + ms;
  const outcome = COUNTED_AS[end.kind];
  minutes.add(at, 'requests');
  if (outcome !== undefined) minutes.add(at, outcome);
  if (outcome === 'answered' && failovers > 0) minutes.add(at, 'fallbacks');
  // An answer in the protocol of Gemini may come whole, and has no first words then.
  if (success === null || success.firstMs === null || operation !== 'chat') return;
  minutes.addFirstWords(at, success.startedAt + success.firstMs - startedAt);
}

/** A fault of the request, and a client that left, count as requests only. */
const COUNTED_AS: Partial<Record<RequestEnd['kind'], Counted>> = {
  answered: 'answered',
  refused: 'refused',
  broken_off: 'brokenOff',
  internal_error: 'brokenOff',
};

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
