import { type Finding, rateLimited } from '../failure-rules.ts';
import { PREPAID_CREDIT, SPEND_CAP, SPEND_RATE } from './gemini-money-phrases.ts';
import { type GeminiRefusal, type GeminiRule, hasReason, isPage, says } from './gemini-refusal.ts';
import { type GoogleError, violations } from './google-error.ts';

const NO_CAPACITY: Finding = { kind: 'upstream_down', timedOut: false };
const NO_QUOTA: Finding = { kind: 'model_unavailable', whose: 'project' };

/** Google's window for a spend rate; it clears by itself. */
const SPEND_WINDOW_MS = 600_000;

const A_DAY = /PerDay/;
const A_MINUTE = /PerMinute/;
const INPUT_TOKENS = /InputTokens/;
const NAMES_CAUSE = /\bquota exceeded for (?:quota )?metric\b|\bretry in \d/i;
const MODEL_CAPACITY = /^MODEL_CAPACITY_EXHAUSTED$/;
const CAPACITY_TEXT = /\bno capacity available\b/i;
/** "limit: 0", but neither "limit: 0.5" nor "limit: 05". */
const LIMIT_ZERO = /\blimit:\s*0(?!\w|\.\d)/i;

/**
 * RESOURCE_EXHAUSTED. The details come first, the message after them; of the details, no quota at
 * all comes before a spent one, and the longest period governs.
 * Money comes without a QuotaFailure, so for money the message decides, whatever RetryInfo says
 * beside it; but the spend rate, which clears by itself, comes before what only its owner can mend.
 */
export const GEMINI_QUOTA_RULES: readonly GeminiRule[] = [
  // Google's front end doubts our address ("automated queries"): no key's quota.
  { when: isPage, failure: NO_CAPACITY },
  { when: hasNoQuotaForAnyModel, failure: { kind: 'key_rejected' } },
  { when: hasReason(MODEL_CAPACITY), failure: NO_CAPACITY },
  { when: hasNoQuotaForThisModel, failure: NO_QUOTA },
  // The RetryInfo beside a day's quota is not honest: it is ignored.
  { when: namesQuota(A_DAY), failure: { kind: 'quota_exhausted' } },
  {
    when: namesQuota(A_MINUTE),
    failure: ({ retryHintMs, error }) => ({ ...rateLimited(retryHintMs), ...tokenLimitIn(error) }),
  },
  { when: says(CAPACITY_TEXT), failure: NO_CAPACITY },
  { when: says(LIMIT_ZERO), failure: NO_QUOTA },
  {
    when: says(SPEND_RATE),
    failure: ({ retryHintMs }) => rateLimited(retryHintMs ?? SPEND_WINDOW_MS),
  },
  { when: says(PREPAID_CREDIT, SPEND_CAP), failure: { kind: 'out_of_credit' } },
  { when: namesSomeCause, failure: ({ retryHintMs }) => rateLimited(retryHintMs) },
  {
    when: () => true,
    failure: ({ retryHintMs }) => ({ ...rateLimited(retryHintMs), isUnexplained: true }),
  },
];

/** A quota, a reason, a time to come back, or the sentence that names a metric. */
function namesSomeCause({ error }: GeminiRefusal): boolean {
  return error.details.length > 0 || NAMES_CAUSE.test(error.message);
}

/** The smallest limit on input tokens, where nothing but such limits was reached. */
function tokenLimitIn(error: GoogleError): { readonly inputTokenLimit?: number } {
  const reached = violations(error);
  const limits = reached.map(({ quotaValue }) => Number(quotaValue));
  const isReadable = limits.every((limit) => Number.isFinite(limit) && limit > 0);
  const isOfTokens = reached.every(({ quotaId }) => INPUT_TOKENS.test(quotaId));
  return isReadable && isOfTokens ? { inputTokenLimit: Math.min(...limits) } : {};
}

function hasNoQuotaForAnyModel({ error }: GeminiRefusal): boolean {
  return error.details.some(
    (detail) =>
      detail.type === 'ErrorInfo' &&
      detail.reason === 'RATE_LIMIT_EXCEEDED' &&
      isZero(detail.metadata.quota_limit_value),
  );
}

function hasNoQuotaForThisModel({ error }: GeminiRefusal): boolean {
  return violations(error).some(({ quotaValue }) => quotaValue === undefined || isZero(quotaValue));
}

function namesQuota(period: RegExp) {
  return ({ error }: GeminiRefusal): boolean =>
    violations(error).some(({ quotaId }) => period.test(quotaId));
}

const isZero = (value: unknown) => value === 0 || (typeof value === 'string' && /^0+$/.test(value));
