import type { Failure } from '../shared/failure.ts';
import type { Redact } from '../shared/redact.ts';
import { withoutLastWord } from './whole-words.ts';

/** What a rule finds: a failure that has not been described yet. */
export type Finding = WithoutDescription<Failure>;

type WithoutDescription<F> = F extends Failure ? Omit<F, 'message' | 'status'> : never;

/** One row of a classifier's table; of the rows that hold, the first decides. */
export interface Rule<Refusal> {
  when(refusal: Refusal): boolean;
  readonly failure: Finding | ((refusal: Refusal) => Finding);
}

/** @returns what the first rule that holds says, else `otherwise`. */
export function decide<Refusal>(
  rules: readonly Rule<Refusal>[],
  refusal: Refusal,
  otherwise: Finding,
): Finding {
  const rule = rules.find(({ when }) => when(refusal));
  if (rule === undefined) return otherwise;
  return typeof rule.failure === 'function' ? rule.failure(refusal) : rule.failure;
}

/** Completes a finding with the provider's own words, fit for the log. */
export function describeFailure(
  finding: Finding,
  text: string,
  redact: Redact,
  status?: number,
): Failure {
  const message = toLogText(text, redact) || `HTTP ${status ?? 'error'}`;
  return status === undefined ? { ...finding, message } : { ...finding, message, status };
}

/** A provider's zero is no hint to act on at once; nor is a millisecond, or one request could storm a key. */
const INSTEAD_OF_ZERO_MS = 1000;
const MIN_RETRY_MS = 500;

/** @param retryAfterMs the provider's hint; none leaves the time open. */
export function rateLimited(
  retryAfterMs: number | undefined,
): Extract<Finding, { kind: 'rate_limited' }> {
  if (retryAfterMs === undefined) return { kind: 'rate_limited' };
  const believedMs = retryAfterMs > 0 ? Math.max(retryAfterMs, MIN_RETRY_MS) : INSTEAD_OF_ZERO_MS;
  return { kind: 'rate_limited', retryAfterMs: believedMs };
}

const MAX_LENGTH = 300;
/** More is not looked at: what is folded and redacted is seldom cut to less than a tenth. */
const ENOUGH = 4000;
const BLANKS_AND_CONTROLS = /[\s\p{Cc}]+/gu;

/** Redacts what folding may have joined, and before it cuts: no half of a key survives the edge. */
function toLogText(text: string, redact: Redact): string {
  const enough = text.length > ENOUGH ? withoutLastWord(text.slice(0, ENOUGH)) : text;
  const line = redact(enough.replace(BLANKS_AND_CONTROLS, ' ').trim());
  return line.length <= MAX_LENGTH ? line : `${line.slice(0, MAX_LENGTH - 1)}…`;
}
