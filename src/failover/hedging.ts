import type { Target } from '../shared/target.ts';

/**
 * When a request gets a second attempt beside one that is slow: the first of the two to speak is kept. For each
 * target, and apart for answers that come whole.
 */
export interface Hedging {
  /** Milliseconds after which an attempt without a first chunk is slow. */
  delayMs(target: Target, comesWhole: boolean): number;
  /** Whether the budget allows one more. */
  hasLeft(target: Target, comesWhole: boolean): boolean;
  take(target: Target, comesWhole: boolean): void;
  /** A first chunk has come after this time. */
  answered(target: Target, comesWhole: boolean, firstMs: number): void;
  /** Whether no recent answer took nearly as long. */
  isOutlier(target: Target, comesWhole: boolean, ageMs: number): boolean;
}

/** Hedges are at most this share of the answers, so that a slow provider is not asked twice as much. */
const SHARE = 0.05;
/** What a quiet time saves, and what there is at the start. */
const MAX_SAVED = 10;
/** No attempt is slow before. */
export const LEAST_MS = 2000;
/** Of the usual time to the first chunk. */
const TIMES_USUAL = 3;

/** Nothing is known of the model yet: it may be one that thinks for two minutes. */
const UNKNOWN_MS = Number.POSITIVE_INFINITY;
const TIMES_SLOWEST = 2;

export function createHedging(): Hedging {
  const streamed = new Map<Target, Latency>();
  const whole = new Map<Target, Latency>();
  const latencyOf = (target: Target, comesWhole: boolean): Latency => {
    const known = comesWhole ? whole : streamed;
    let latency = known.get(target);
    if (latency === undefined) {
      latency = new Latency();
      known.set(target, latency);
    }
    return latency;
  };
  return {
    delayMs: (target, comesWhole) => latencyOf(target, comesWhole).delayMs,
    hasLeft: (target, comesWhole) => latencyOf(target, comesWhole).budget >= 1,
    take(target, comesWhole) {
      latencyOf(target, comesWhole).budget -= 1;
    },
    answered: (target, comesWhole, firstMs) => latencyOf(target, comesWhole).add(firstMs),
    isOutlier: (target, comesWhole, ageMs) =>
      ageMs > latencyOf(target, comesWhole).slowestMs * TIMES_SLOWEST,
  };
}

const MAX_SAMPLES = 64;
/** Once so many are known, the percentiles are taken anew for each fourth sample. */
const MANY = 8;

/** The latest times to the first chunk. */
class Latency {
  budget = MAX_SAVED;
  delayMs = UNKNOWN_MS;
  slowestMs = Number.POSITIVE_INFINITY;
  readonly #samples = new Float64Array(MAX_SAMPLES);
  #added = 0;

  add(firstMs: number): void {
    this.budget = Math.min(this.budget + SHARE, MAX_SAVED);
    this.#samples[this.#added % MAX_SAMPLES] = firstMs;
    this.#added += 1;
    if (this.#added > MANY && this.#added % 4 !== 0) return;
    const sorted = this.#samples.slice(0, Math.min(this.#added, MAX_SAMPLES)).sort();
    this.slowestMs = sorted.at(-1) ?? Number.POSITIVE_INFINITY;
    const usualMs = sorted[sorted.length >> 1] ?? UNKNOWN_MS;
    this.delayMs = Math.max(LEAST_MS, TIMES_USUAL * usualMs);
  }
}
