/** Milliseconds until the first piece of an answer, of the last minutes. */
export interface Latency {
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** Of how many answers. */
  readonly answers: number;
}

const LATENCY_WINDOW_MS = 300_000;
const MAX_SAMPLES = 64;

/** The latest answers of one key: the newest few, and none older than five minutes. */
export class LatencySamples {
  /** Plain numbers, since there may be thousands of keys. */
  readonly #at = new Float64Array(MAX_SAMPLES);
  readonly #ms = new Float64Array(MAX_SAMPLES);
  #next = 0;

  add(at: number, ms: number): void {
    this.#at[this.#next] = at;
    this.#ms[this.#next] = ms;
    this.#next = (this.#next + 1) % MAX_SAMPLES;
  }

  /** In milliseconds, in no order. */
  recent(now: number): number[] {
    const isRecent = (_: number, index: number) => (this.#at[index] ?? 0) > now - LATENCY_WINDOW_MS;
    return [...this.#ms.filter(isRecent)];
  }
}

/**
 * @param recent in milliseconds, in any order
 * @returns null when there was no answer of late
 */
export function latencyOf(recent: readonly number[]): Latency | null {
  if (recent.length === 0) return null;
  const sorted = recent.toSorted((a, b) => a - b);
  const [p50Ms, p95Ms] = [percentile(sorted, 0.5), percentile(sorted, 0.95)];
  return { p50Ms, p95Ms, answers: recent.length };
}

/** The smallest value that so large a share does not exceed. */
const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
