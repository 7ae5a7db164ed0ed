import type { Usage } from './failure.ts';

/** What the operator pays. */
export interface Prices {
  /** Three letters, such as `USD`. */
  readonly currency: string;
  readonly models: ReadonlyMap<string, ModelPrice>;
}

/** Of a million tokens, except `request`: of each answered request. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly thoughts: number;
  readonly request: number;
}

const PRICED_TOKENS = 1e6;

/** @param answered the number of answered requests */
export function costOf(
  price: ModelPrice,
  usage: Omit<Usage, 'totalTokens'>,
  answered: number,
): number {
  const { inputTokens, outputTokens, cachedTokens, thoughtTokens } = usage;
  const ofTokens =
    (inputTokens - cachedTokens) * price.input +
    cachedTokens * price.cached +
    (outputTokens - thoughtTokens) * price.output +
    thoughtTokens * price.thoughts;
  return Math.max(0, ofTokens) / PRICED_TOKENS + answered * price.request;
}

/** Sums of fractions have meaningless last digits. */
export const withoutNoise = (cost: number): number => Math.round(cost * 1e9) / 1e9;
