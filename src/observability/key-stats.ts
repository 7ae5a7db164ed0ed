import type { AttemptTrace } from '../failover/trace.ts';
import type { FailureKind } from '../shared/failure.ts';

/** The calls with one key since the start of the process. */
export interface KeyStats {
  readonly calls: number;
  readonly successes: number;
  readonly failures: Readonly<Partial<Record<FailureKind, number>>>;
  /** Null when there was no answer in the last minutes. */
  readonly latency: Latency | null;
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

/** Milliseconds until the first chunk of an answer. */
interface Latency {
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** The number of answers that this is about. */
  readonly answers: number;
}

/** The stats of every key, by its id. */
export function createKeyStats() {
  const byKey = new Map<string, Counts>();
  return {
    attemptEnded(attempt: AttemptTrace): void {
      const counts = byKey.get(attempt.key) ?? noCounts();
      byKey.set(attempt.key, counts);
      add(counts, attempt);
    },
    of(id: string, now: number): KeyStats {
      const { firstMs, ...counts } = byKey.get(id) ?? noCounts();
      return { ...counts, latency: firstMs.latency(now) };
    },
  };
}

interface Counts {
  calls: number;
  successes: number;
  readonly failures: Partial<Record<FailureKind, number>>;
  readonly firstMs: LatencySamples;
  lastError: LastError | null;
}

const noCounts = (): Counts => ({
  calls: 0,
  successes: 0,
  failures: {},
  firstMs: new LatencySamples(),
  lastError: null,
});

function add(counts: Counts, attempt: AttemptTrace): void {
  const { outcome, firstMs, startedAt, ms, target } = attempt;
  const at = startedAt + ms;
  counts.calls += 1;
  if (firstMs !== null) counts.firstMs.add(at, firstMs);
  if (outcome.kind === 'success') {
    counts.successes += 1;
    return;
  }
  const { kind, message, status = null } = outcome;
  counts.failures[kind] = (counts.failures[kind] ?? 0) + 1;
  if (!BLAMELESS.has(kind)) counts.lastError = { at, kind, model: target.label, message, status };
}

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

  latency(now: number): Latency | null {
    const isRecent = (_: number, index: number) => (this.#at[index] ?? 0) > now - LATENCY_WINDOW_MS;
    const sorted = this.#ms.filter(isRecent).sort();
    if (sorted.length === 0) return null;
    const p50Ms = percentile(sorted, 0.5);
    return { p50Ms, p95Ms: percentile(sorted, 0.95), answers: sorted.length };
  }
}

/** The smallest value that so large a share does not exceed. */
const percentile = (sorted: Float64Array, share: number): number =>
  sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
