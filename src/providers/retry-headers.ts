import type { ProviderAnswer } from './provider.ts';

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
 * @returns milliseconds from `now`, which may be zero or less; `undefined` when unsaid or unreadable.
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
 * @returns milliseconds, which may be zero or less; `undefined` when unsaid or unreadable.
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
