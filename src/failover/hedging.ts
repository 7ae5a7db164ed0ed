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

/**
 * Hedges are at most this share of the answers, so that a slow provider is not asked twice as much. An attempt with a
 * key that was found slow meanwhile gets one even if nothing is left: then it is the key, not the provider.
 */
const SHARE = 0.05;
/** What a quiet time saves, and what there is at the start. */
const MAX_SAVED = 10;
/** No attempt is slow before. */
export const LEAST_MS = 2000;
/** Of the usual time to the first chunk. */
const TIMES_USUAL = 2.5;

/** Nothing is known of the model yet: it may be one that thinks for two minutes. */
const UNKNOWN_MS = Number.POSITIVE_INFINITY;
const TIMES_SLOWEST = 2;

export function createHedging(): Hedging {
  const streamed = new Map<Target, Latency>();
  const whole = new Map<Target, Latency>();
  const latencyOf = (target: Target, comesWhole: boolean): Latency => {
    const known = comesWhole ? whole : streamed;
    const latency = known.get(target) ?? newLatency();
    known.set(target, latency);
    return latency;
  };
  return {
    delayMs: (target, comesWhole) => latencyOf(target, comesWhole).delayMs,
    hasLeft: (target, comesWhole) => latencyOf(target, comesWhole).budget >= 1,
    take(target, comesWhole) {
      const latency = latencyOf(target, comesWhole);
      latency.budget = Math.max(0, latency.budget - 1);
    },
    answered(target, comesWhole, firstMs) {
      const latency = (comesWhole ? whole : streamed).get(target) ?? latencyOf(target, comesWhole);
      latency.budget = Math.min(latency.budget + SHARE, MAX_SAVED);
      latency.samples[latency.added % MAX_SAMPLES] = firstMs;
      latency.added += 1;
      if (latency.added <= MANY || latency.added % 4 === 0) takePercentiles(latency);
    },
    isOutlier: (target, comesWhole, ageMs) =>
      ageMs > latencyOf(target, comesWhole).slowestMs * TIMES_SLOWEST,
  };
}

const MAX_SAMPLES = 64;
/** Once so many are known, the percentiles are taken anew for each fourth sample. */
const MANY = 8;

/** The latest times to the first chunk, and what follows from them. */
interface Latency {
  budget: number;
  delayMs: number;
  slowestMs: number;
  readonly samples: Float64Array;
  added: number;
}

const newLatency = (): Latency => ({
  budget: MAX_SAVED,
  delayMs: UNKNOWN_MS,
  slowestMs: Number.POSITIVE_INFINITY,
  samples: new Float64Array(MAX_SAMPLES),
  added: 0,
});

function takePercentiles(latency: Latency): void {
  const sorted = latency.samples.slice(0, Math.min(latency.added, MAX_SAMPLES)).sort();
  latency.slowestMs = sorted.at(-1) ?? Number.POSITIVE_INFINITY;
  const usualMs = sorted[sorted.length >> 1] ?? UNKNOWN_MS;
  latency.delayMs = Math.max(LEAST_MS, TIMES_USUAL * usualMs);
}
