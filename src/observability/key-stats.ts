import type { AttemptTrace } from '../failover/trace.ts';
import type { FailureKind } from '../shared/failure.ts';
import { LatencySamples } from './latency.ts';

/** What became of the calls with one key since the start of the process. */
export interface KeyStats {
  readonly calls: number;
  readonly successes: number;
  readonly failures: Readonly<Partial<Record<FailureKind, number>>>;
  /** Milliseconds until the first chunk of each recent answer, in any order. */
  readonly firstMs: readonly number[];
  readonly lastError: LastError | null;
}

export interface LastError {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: FailureKind;
  readonly model: string;
  /** The provider's message, without any key. */
  readonly message: string;
  /** The HTTP status; null when the provider did not answer. */
  readonly status: number | null;
}

/** The stats of every key, by its id. */
export interface StatsByKey {
  attemptEnded(attempt: AttemptTrace): void;
  of(id: string, now: number): KeyStats;
}

interface Counts {
  calls: number;
  successes: number;
  readonly failures: Partial<Record<FailureKind, number>>;
  readonly latency: LatencySamples;
  lastError: LastError | null;
}

export function createKeyStats(): StatsByKey {
  const byKey = new Map<string, Counts>();
  return {
    attemptEnded(attempt) {
      const counts = byKey.get(attempt.key) ?? noCounts();
      byKey.set(attempt.key, counts);
      add(counts, attempt);
    },
    of(id, now) {
      const { latency, ...counts } = byKey.get(id) ?? noCounts();
      return { ...counts, firstMs: latency.recent(now) };
    },
  };
}

const noCounts = (): Counts => ({
  calls: 0,
  successes: 0,
  failures: {},
  latency: new LatencySamples(),
  lastError: null,
});

function add(counts: Counts, attempt: AttemptTrace): void {
  const { outcome, firstMs, startedAt, ms, model } = attempt;
  const at = startedAt + ms;
  counts.calls += 1;
  if (firstMs !== null) counts.latency.add(at, firstMs);
  if (outcome.kind === 'success') {
    counts.successes += 1;
    return;
  }
  const { kind, message, status = null } = outcome;
  counts.failures[kind] = (counts.failures[kind] ?? 0) + 1;
  if (!BLAMELESS.has(kind)) counts.lastError = { at, kind, model, message, status };
}

/** Failures that are no fault of the key or its provider. */
const BLAMELESS: ReadonlySet<FailureKind> = new Set([
  'request_fault',
  'content_blocked',
  'client_gone',
]);
