import type { Failure } from '../shared/failure.ts';
import { type Redact, withoutLastWord } from '../shared/redact.ts';
import type { ProviderAnswer } from './provider.ts';

/** What a rule finds: a failure without the provider's words. */
export type Finding = WithoutDescription<Failure>;

export const UPSTREAM_DOWN: Finding = { kind: 'upstream_down', timedOut: false };
export const TIMED_OUT: Finding = { kind: 'upstream_down', timedOut: true };

type WithoutDescription<F> = F extends Failure ? Omit<F, 'message' | 'status'> : never;

/** One row of a classifier's table; the first row that holds decides. */
export interface Rule<Refusal> {
  when(refusal: Refusal): boolean;
  readonly failure: Finding | ((refusal: Refusal) => Finding);
}

/** @returns the finding of the first rule that holds, else `otherwise`. */
export function decide<Refusal>(
  rules: readonly Rule<Refusal>[],
  refusal: Refusal,
  otherwise: Finding,
): Finding {
  const rule = rules.find(({ when }) => when(refusal));
  if (rule === undefined) return otherwise;
  return typeof rule.failure === 'function' ? rule.failure(refusal) : rule.failure;
}

/** Completes a finding with the provider's own words, redacted and shortened for the log. */
export function describeFailure(
  finding: Finding,
  text: string,
  redact: Redact,
  status?: number,
): Failure {
  const message = toLogText(text, redact) || `HTTP ${status ?? 'error'}`;
  return status === undefined ? { ...finding, message } : { ...finding, message, status };
}

/** Zero or a millisecond is not obeyed: one request could flood a key. */
const INSTEAD_OF_ZERO_MS = 1000;
const MIN_RETRY_MS = 500;

export function rateLimited(retryAfterMs: number | undefined): Finding & { kind: 'rate_limited' } {
  if (retryAfterMs === undefined) return { kind: 'rate_limited' };
  const believedMs = retryAfterMs > 0 ? Math.max(retryAfterMs, MIN_RETRY_MS) : INSTEAD_OF_ZERO_MS;
  return { kind: 'rate_limited', retryAfterMs: believedMs };
}

const MAX_LENGTH = 300;
/** Longer texts are cut first: folding and redaction seldom leave less than a tenth. */
const ENOUGH = 4000;
const BLANKS_AND_CONTROLS = /[\s\p{Cc}]+/gu;

/** Redacts after folding, which may join a key, and before cutting, which may leave half of one. */
function toLogText(text: string, redact: Redact): string {
  const enough = text.length > ENOUGH ? withoutLastWord(text.slice(0, ENOUGH)) : text;
  const line = redact(enough.replace(BLANKS_AND_CONTROLS, ' ').trim());
  return line.length <= MAX_LENGTH ? line : `${line.slice(0, MAX_LENGTH - 1)}…`;
}

const MARKUP = /^\s*<[!?a-z]/i;
const TITLE = /<title[^<>]*>([^<]*)</i;
const TAGS = /<[^<>]*>/g;

/** Whether a body is a page or XML: a server in between answered, not the API. */
export const isHtml = (body: string): boolean => MARKUP.test(body);

/** @returns the page's title where it has one, else its text. */
export function htmlToText(body: string): string {
  return TITLE.exec(body)?.[1]?.trim() || body.replace(TAGS, ' ');
}

type Headers = ProviderAnswer['headers'];

const MS_PER_SECOND = 1000;
const SECONDS = /^-?\d+(?:\.\d+)?$/;
/** Only RFC 9110's form: `Date.parse` would also find a date in `-5` or `soon 5`. */
const HTTP_DATE = /^[A-Za-z]{3,9}, .{9,20} \d\d:\d\d:\d\d GMT$/;
/** The combined header of the later drafts, `"minute";r=0;t=30` or `limit=6, remaining=0, reset=30`. */
const SPENT_POLICY_RESET = /\br=0\s*;\s*t=(\d+)/;
const ANY_POLICY_RESET = /\b(?:t|reset)=(\d+)/;

/**
 * `Retry-After`, in seconds or as an HTTP date.
 *
 * @param now milliseconds since the epoch
 * @returns milliseconds from `now`, which may be zero or less; `undefined` when absent or unreadable.
 */
export function readRetryAfterMs(headers: Headers, now: number): number | undefined {
  const text = headerText(headers, 'retry-after');
  if (text === undefined) return undefined;
  if (SECONDS.test(text)) return secondsToMs(text);
  return HTTP_DATE.test(text) ? finite(Date.parse(text) - now) : undefined;
}

/**
 * `RateLimit-Reset`, or the reset within the combined `RateLimit` header: seconds until the window
 * begins anew.
 *
 * @returns milliseconds, which may be zero or less; `undefined` when absent or unreadable.
 */
export function readRateLimitResetMs(headers: Headers): number | undefined {
  const reset = headerText(headers, 'ratelimit-reset');
  if (reset !== undefined && SECONDS.test(reset)) return secondsToMs(reset);
  const combined = headerText(headers, 'ratelimit') ?? '';
  const found = SPENT_POLICY_RESET.exec(combined) ?? ANY_POLICY_RESET.exec(combined);
  return found?.[1] === undefined ? undefined : secondsToMs(found[1]);
}

function headerText(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  const text = Array.isArray(value) ? value[0] : value;
  return typeof text === 'string' ? text.trim() : undefined;
}

const secondsToMs = (text: string) => finite(Math.round(Number(text) * MS_PER_SECOND));

const finite = (ms: number) => (Number.isFinite(ms) ? ms : undefined);
