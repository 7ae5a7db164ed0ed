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
const NS_PER_MS = 1_000_000;

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: MS_PER_SECOND,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};

const PART = String.raw`\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns)`;

/** `41s`, `812ms`, `13h27m31.2s`: the text of a duration, for use inside a larger expression. */
export const DURATION_TEXT = `(?:${PART})+`;

const WHOLE_DURATION = new RegExp(`^(-?)(${DURATION_TEXT})$`);
const PARTS = /(\d+(?:\.\d+)?)([a-zµ]+)/g;

/**
 * Reads a duration as Google writes it: protobuf's JSON text (`"35.17s"`), Go's text
 * (`"13h27m31.2s"`, `"812ms"`) or the message itself (`{seconds, nanos}`, seconds often as text).
 *
 * @returns whole milliseconds, which may be zero or less; `undefined` for anything else.
 */
export function parseDurationMs(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? fromText(value.trim()) : fromMessage(value);
  return ms !== undefined && Number.isFinite(ms) ? Math.round(ms) : undefined;
}

function fromText(text: string): number | undefined {
  const [, sign, parts] = WHOLE_DURATION.exec(text) ?? [];
  if (parts === undefined) return undefined;
  const ms = [...parts.matchAll(PARTS)].reduce((sum, [, amount, unit]) => {
    return sum + Number(amount) * (MS_PER_UNIT[unit ?? ''] ?? Number.NaN);
  }, 0);
  return sign === '-' ? -ms : ms;
}

function fromMessage(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { seconds, nanos } = value as { seconds?: unknown; nanos?: unknown };
  if (seconds === undefined && nanos === undefined) return undefined;
  return toNumber(seconds) * MS_PER_SECOND + toNumber(nanos) / NS_PER_MS;
}

/** Protobuf's JSON leaves out what is zero, and writes 64-bit numbers as text. */
function toNumber(value: unknown): number {
  if (value === undefined) return 0;
  if (typeof value === 'number') return value;
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
}
