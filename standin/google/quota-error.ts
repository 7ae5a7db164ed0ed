import type { QuotaWindows } from '../quota-window.ts';
import type { Reply } from '../reply.ts';
import { type GoogleCallFacts, googleError, help, retryInfo } from './error.ts';
import type { Violation } from './quota.ts';

const SECOND_MS = 1_000;
/** The longest of the short delays that Google named beside a spent day. */
const LONGEST_LIE_SECONDS = 41;

/**
 * Google's 429 of a spent quota. Beside a minute's violation the delay is honest; beside a day's,
 * or where there is no quota at all, it is short and helps nobody, just as Google's own.
 */
export function quotaError(
  violations: readonly Violation[],
  { model, windows, now }: GoogleCallFacts,
  retryAfterMs: number = defaultRetryMs(violations, windows, now),
): Reply {
  return googleError(429, 'RESOURCE_EXHAUSTED', messageOf(violations, model, retryAfterMs), [
    quotaFailure(violations, model),
    help('Learn more about Gemini API quotas', 'https://ai.google.dev/gemini-api/docs/rate-limits'),
    retryInfo(retryDelay(retryAfterMs, windows.speed)),
  ]);
}

function defaultRetryMs(
  violations: readonly Violation[],
  windows: QuotaWindows,
  now: number,
): number {
  const isHonest = violations.every(({ period, limit }) => period === 'minute' && limit > 0);
  return isHonest ? Math.ceil(windows.minuteEnd(now) - now) : lieMs(now) / windows.speed;
}

/** From 0 to 41 s, by the time of day, so that a test sees the same every time. */
const lieMs = (now: number) =>
  (Math.floor(now / SECOND_MS) % (LONGEST_LIE_SECONDS + 1)) * SECOND_MS;

function messageOf(violations: readonly Violation[], model: string, retryAfterMs: number): string {
  const lines = violations.map(
    ({ metric, limit }) =>
      `* Quota exceeded for metric: ${metric}, limit: ${limit}, model: ${model}`,
  );
  return [
    'You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ',
    ...lines,
    `Please retry in ${spokenDelay(retryAfterMs)}.`,
  ].join('\n');
}

const quotaFailure = (violations: readonly Violation[], model: string) => ({
  '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
  violations: violations.map(({ metric, quotaId, limit }) => ({
    quotaMetric: metric,
    quotaId,
    quotaDimensions: { location: 'global', model },
    ...(limit === 0 ? {} : { quotaValue: String(limit) }),
  })),
});

/** Exact: "45.81s", below a second "812ms". */
const spokenDelay = (ms: number) => (ms < SECOND_MS ? `${ms}ms` : `${ms / SECOND_MS}s`);

/** Cut off to whole seconds, as in most bodies seen: "26s" beside "26.66s" in the message; exact where time runs faster. */
const retryDelay = (ms: number, speed: number) =>
  speed === 1 ? `${Math.floor(ms / SECOND_MS)}s` : `${ms / SECOND_MS}s`;
