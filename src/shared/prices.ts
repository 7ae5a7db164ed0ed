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

export function costOfTokens(price: ModelPrice, usage: Omit<Usage, 'totalTokens'>): number {
  const { inputTokens, outputTokens, cachedTokens, thoughtTokens } = usage;
  const cost =
    (inputTokens - cachedTokens) * price.input +
    cachedTokens * price.cached +
    (outputTokens - thoughtTokens) * price.output +
    thoughtTokens * price.thoughts;
  return Math.max(0, cost) / PRICED_TOKENS;
}
