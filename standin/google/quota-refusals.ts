import { htmlReply, type Reply } from '../reply.ts';
import {
  CONSUMER,
  errorInfo,
  GOOGLE_API,
  type GoogleCallFacts,
  googleError,
  help,
} from './error.ts';
import type { GoogleRefusalKind, QuotaSpent } from './fault.ts';
import { requestsPerDay, requestsPerMinute, tokensPerMinute, type Violation } from './quota.ts';
import { quotaError } from './quota-error.ts';

const EXHAUSTED = 'RESOURCE_EXHAUSTED';

/** What each fault of a spent window names as exceeded. */
const SPENT = {
  minute_spent: [requestsPerMinute(10)],
  tokens_per_minute_spent: [tokensPerMinute(250_000)],
  day_spent: [requestsPerDay(20)],
  both_spent: [requestsPerDay(20), requestsPerMinute(10)],
} satisfies Record<QuotaSpent['kind'], readonly Violation[]>;

/** 429 of a window that is spent because a fault says so. */
export const quotaSpent = (fault: QuotaSpent, call: GoogleCallFacts): Reply =>
  quotaError(SPENT[fault.kind], call, fault.retryAfterMs);

/** Refusals about quota, money and capacity: all of them 429. */
export const GOOGLE_QUOTA_REFUSALS = {
  limit_zero: (call) =>
    quotaError([requestsPerDay(0), requestsPerMinute(0), tokensPerMinute(0)], call),
  quota_zero: () => quotaZero(),
  exhausted_no_details: () =>
    googleError(429, EXHAUSTED, 'Resource has been exhausted (e.g. check quota).'),
  spend_rate: () =>
    googleError(
      429,
      EXHAUSTED,
      'You have exceeded your spend-based rate limit. Please try again later. Learn more at https://ai.google.dev/gemini-api/docs/rate-limits.',
    ),
  prepay_empty: () =>
    googleError(
      429,
      EXHAUSTED,
      'Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.',
    ),
  spend_cap: () =>
    googleError(
      429,
      EXHAUSTED,
      'Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap. Spend cap exceeded.',
    ),
  capacity: ({ model }) =>
    googleError(429, EXHAUSTED, `No capacity available for model ${model} on the server`, [
      errorInfo('MODEL_CAPACITY_EXHAUSTED', { model }),
    ]),
  html_429: () =>
    htmlReply(
      429,
      'Sorry...',
      "We're sorry... but your computer or network may be sending automated queries. To protect our users, we can't process your request right now.",
    ),
} satisfies Partial<Record<GoogleRefusalKind, (call: GoogleCallFacts) => Reply>>;

const quotaZero = () =>
  googleError(
    429,
    EXHAUSTED,
    `Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit per minute for a region' of service '${GOOGLE_API}' for consumer 'project_number:100000000001'.`,
    [
      errorInfo('RATE_LIMIT_EXCEEDED', {
        quota_location: 'us-west4',
        quota_limit: 'GenerateContentRequestsPerMinutePerProjectPerRegion',
        quota_limit_value: '0',
        quota_metric: `${GOOGLE_API}/generate_content_requests`,
        consumer: CONSUMER,
      }),
      help(
        'Request a higher quota limit.',
        'https://cloud.google.com/docs/quotas/help/request_increase',
      ),
    ],
  );
