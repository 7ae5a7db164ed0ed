import { type AttemptTrace, type RequestTrace, successIn } from '../failover/trace.ts';
import { provedBy, verdictOf } from '../pool/verdicts.ts';
import { isoTime } from '../shared/clock.ts';
import type { FailureKind } from '../shared/failure.ts';
import { PLAIN } from '../shared/request-shape.ts';
import type { KeyReport } from './reports.ts';

/** The calls with one key since the start of the process. */
export type KeyStats = Pick<
  KeyReport,
  'calls' | 'successes' | 'failures' | 'latency' | 'lastError'
>;

export interface AllKeyStats {
  attemptFailed(attempt: AttemptTrace): void;
  requestEnded(request: RequestTrace): void;
  of(id: string, now: number): KeyStats;
  /**
   * Whether an attempt that began at this time or later has shown the state of the key: it works, or it
   * is parked for a reason that is shown anyway.
   */
  hasSettledSince(id: string, at: number): boolean;
}

export function createKeyStats(): AllKeyStats {
  const byKey = new Map<string, Counts>();
  const attemptEnded = (attempt: AttemptTrace) => {
    const counts = byKey.get(attempt.key) ?? noCounts();
    byKey.set(attempt.key, counts);
    add(counts, attempt);
  };
  return {
    attemptFailed: attemptEnded,
    requestEnded(request) {
      const success = successIn(request.attempts);
      if (success !== null) attemptEnded(success);
    },
    of(id, now) {
      const { firstMs, settledAt: _, ...counts } = byKey.get(id) ?? noCounts();
      return { ...counts, latency: firstMs.latency(now) };
    },
    hasSettledSince: (id, at) => (byKey.get(id)?.settledAt ?? 0) >= at,
  };
}

interface Counts extends Omit<KeyStats, 'latency'> {
  readonly firstMs: LatencySamples;
  /** When the last attempt began that settled the key; 0 for none. */
  settledAt: number;
}

const noCounts = (): Counts => ({
  calls: 0,
  successes: 0,
  failures: {},
  firstMs: new LatencySamples(),
  lastError: null,
  settledAt: 0,
});

function add(counts: Counts, attempt: AttemptTrace): void {
  const { outcome, firstMs, startedAt, ms, target } = attempt;
  const at = startedAt + ms;
  counts.calls += 1;
  if (firstMs !== null) counts.firstMs.add(at, firstMs);
  if (settles(attempt)) counts.settledAt = Math.max(counts.settledAt, startedAt);
  if (outcome.kind === 'success') {
    counts.successes += 1;
    return;
  }
  const { kind, message, status = null } = outcome;
  counts.failures[kind] = (counts.failures[kind] ?? 0) + 1;
  if (BLAMELESS.has(kind)) return;
  counts.lastError = { at: isoTime(at), kind, model: target.label, message, status };
}

const settles = ({ outcome, parked }: AttemptTrace) =>
  outcome.kind === 'success' ||
  (parked === null
    ? provedBy(outcome, verdictOf(outcome, PLAIN)) !== 'nothing'
    : parked.scope !== 'project_model_feature');

/** Failures that are no fault of the key or its provider. */
const BLAMELESS: ReadonlySet<FailureKind> = new Set([
  'not_owned',
  'request_fault',
  'content_blocked',
  'deadline_exceeded',
  'client_gone',
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
