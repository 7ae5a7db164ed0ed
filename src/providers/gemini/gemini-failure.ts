import { DAY_MS } from '../../shared/clock.ts';
import type { Failure, QuotaLimit, QuotaName, Rejection } from '../../shared/failure.ts';
import {
  decide,
  describeFailure,
  type Finding,
  type Rule,
  rateLimited,
  readRetryAfterMs,
  TIMED_OUT,
  UPSTREAM_DOWN,
} from '../failure-rules.ts';
import type { ClassifyContext, ProviderAnswer } from '../provider.ts';
import {
  DURATION_TEXT,
  effectiveStatus,
  type GoogleError,
  parseDurationMs,
  parseGoogleError,
  type QuotaViolation,
  violations,
} from './google-error.ts';

/**
 * Classifies a refusal of Gemini's: any answer that is not 2xx, and an error within a 200 or its
 * stream, passed in as a 200 with that chunk as the body.
 *
 * `error.status` and `error.details` decide before the message, the message before HTTP's status:
 * one status covers a spent minute, a spent day and missing credit. Never throws.
 */
export function classifyGeminiAnswer(answer: ProviderAnswer, context: ClassifyContext): Failure {
  const error = parseGoogleError(answer.body);
  const status = effectiveStatus(error, answer.status);
  const retryHintMs = googlesHintMs(error) ?? readRetryAfterMs(answer.headers, context.now());
  const rules = RULES_BY_STATUS[status] ?? OTHER_RULES;
  const failure = describeFailure(
    decide(rules, { error, status, retryHintMs }, UPSTREAM_DOWN),
    describe(error),
    context.redact,
    isWithin(answer.status, 200) ? status : answer.status,
  );
  const implausible = implausibleIn(error, retryHintMs);
  return implausible === null ? failure : { ...failure, implausible };
}

function implausibleIn(error: GoogleError, retryHintMs = 0) {
  if (retryHintMs < 0 || retryHintMs > DAY_MS) return 'retry_hint';
  const isSized = violations(error).every(({ quotaValue = '0' }) => Number(quotaValue) >= 0);
  return isSized ? null : 'quota_size';
}

interface GeminiRefusal {
  readonly error: GoogleError;
  /** The effective status: see `effectiveStatus`. */
  readonly status: number;
  /** When to retry, by the error or a header; zero or less means now. */
  readonly retryHintMs: number | undefined;
}

type GeminiRule = Rule<GeminiRefusal>;

/** The ids of the quotas come first: the message begins with the same long sentence for each. */
function describe(error: GoogleError): string {
  const quotas = violations(error).map(({ quotaId }) => quotaId);
  return [...new Set(quotas), error.message].filter((words) => words !== '').join(': ');
}

const RETRY_IN = new RegExp(String.raw`\bretry in\s+(${DURATION_TEXT})`, 'i');

/** The larger of RetryInfo and the message's "Please retry in 45.81s": either may be cut short. */
function googlesHintMs({ details, message }: GoogleError): number | undefined {
  const hints = details.map((detail) =>
    detail.type === 'RetryInfo' ? detail.retryDelayMs : undefined,
  );
  const said = [...hints, parseDurationMs(RETRY_IN.exec(message)?.[1])].filter(
    (hint) => hint !== undefined,
  );
  return said.length === 0 ? undefined : Math.max(...said);
}

const MISCONFIGURED: Finding = { kind: 'misconfigured' };
const OUT_OF_CREDIT: Finding & { kind: 'out_of_credit' } = { kind: 'out_of_credit' };
/** A message may quote what the caller has sent: only a reason, a status or a whole sentence of Google's is sure. */
const PERHAPS_NO_CREDIT: typeof OUT_OF_CREDIT = { ...OUT_OF_CREDIT, mayConcernRequest: true };
const REQUEST_FAULT: Finding = { kind: 'request_fault' };
const NOT_ITS_RESOURCE: Finding = { kind: 'request_fault', about: 'resource' };
const NO_QUOTA: Finding = { kind: 'model_unavailable', whose: 'project', mayConcernRequest: true };
const NOT_FOR_THIS_KEY: Finding = { ...NO_QUOTA, whose: 'key' };

/** The key is unknown, its project is switched off, or it is restricted to other callers than us. */
const BAD_KEY =
  /^(?:API_KEY_INVALID|CONSUMER_SUSPENDED|CONSUMER_INVALID|SERVICE_DISABLED|API_KEY_(?:\w+_)?BLOCKED)$/;
const NO_BILLING = /^BILLING_DISABLED$/;
const MODEL_CAPACITY = /^MODEL_CAPACITY_EXHAUSTED$/;

/** By Google's reasons and sentences; the first that holds. */
const REJECTIONS: readonly (readonly [said: RegExp, rejection: Rejection])[] = [
  [/\breported as leaked\b/i, 'leaked'],
  [/\bAPI key expired\b/i, 'expired'],
  [/^CONSUMER_SUSPENDED$|\b(?:has been|is) suspended\b/i, 'suspended'],
  [/^API_KEY_(?:\w+_)?BLOCKED$|\brequests (?:from|to) .{1,300} (?:are|is) blocked\b/i, 'blocked'],
  [/^API_KEY_INVALID$|\bAPI key not (?:valid|found)\b/i, 'unknown'],
];

/*
 * A 400 often quotes the caller. So its text decides only as Google's own whole sentence, as seen in real
 * answers and at https://ai.google.dev/gemini-api/docs/troubleshooting.
 */
const KEY_INVALID =
  /^API key (?:not valid|not found|expired)\. Please (?:pass a valid|renew the) API key\.$/i;
const WRONG_LOCATION = /^User location is not supported for the API use\.$/i;
const NEEDS_PAID_PLAN = [
  /^Gemini API free tier is not available in your country\.(?: Please enable billing on your project in Google AI Studio\.)?$/i,
  /^User location is not supported for the API use without a billing account linked\.$/i,
];

/** It never has an ErrorInfo. */
const KEY_LEAKED = /^Your API key was reported as leaked\. Please use another API key\.$/i;
/** Leaked keys in other words, and the rest of `BAD_KEY` where it is left out. */
const KEY_REFUSED_TEXT = [
  /\breported as leaked\b/i,
  /\bdenied access\b/i,
  /\brestricted from your billing country\b/i,
  /\bdisabled in this account for violation of\b/i,
  /\bdoes(?:n.t| not) allow unregistered callers\b/i,
  /\b(?:has been|is) suspended\b/i,
  /\bhas not been used in project\b/i,
  /\brequests (?:from|to) .{1,300} (?:are|is) blocked\b/i,
];
/** Google's resource names, case-sensitive: an uploaded file, a cached content. */
const STORED_RESOURCE = /\bCachedContent\b|\bcachedContents\/|\bFile\b|\bfiles\//;

/** Seen as "spend cap" and as "monthly spending cap", with a link to `#project-spend-caps`. */
const SPEND_CAP = /\bspend(?:ing)?[ -]caps?\b/i;
/** A rolling window over what was spent: it clears by itself, unlike the other money refusals. */
const SPEND_RATE = /\bspend-based rate limit/i;
const SPEND_WINDOW_MS = 600_000;
const PREPAID_CREDIT =
  /\bprepa(?:y|yment|id) credits?\b|\bcredits? (?:is|are|have been) depleted\b/i;
/** Not "check your plan and billing details": every spent quota says that. */
const NEEDS_BILLING =
  /\bfree tier is not available\b|\benable billing\b|\bbilling (?:is )?required\b|\brequires billing\b/i;

const A_DAY = /PerDay/;
const A_MINUTE = /PerMinute/;
const INPUT_TOKENS = /InputTokens/;
const REQUESTS = /Requests/;
/** Of what is metered apart from plain answers. */
const OF_A_FEATURE = /search|grounding|maps|url_?context|code_?execution/i;
const NAMES_CAUSE = /\bquota exceeded for (?:quota )?metric\b|\bretry in \d/i;
const CAPACITY_TEXT = /\bno capacity available\b/i;
/** "limit: 0", but neither "limit: 0.5" nor "limit: 05". */
const LIMIT_ZERO = /\blimit:\s*0(?!\w|\.\d)/i;

const always = () => true;
const isPage = ({ error }: GeminiRefusal) => error.isHtml;
const isClientError = ({ status }: GeminiRefusal) => isWithin(status, 400);
const isNotGoogles = ({ error }: GeminiRefusal) => !error.isGoogles;

const pointsAtFields = ({ error }: GeminiRefusal) =>
  error.details.some(({ type }) => type === 'BadRequest');

/** A quota, a reason, a time to come back, or the sentence that names a metric. */
const namesSomeCause = ({ error }: GeminiRefusal) =>
  error.details.length > 0 || NAMES_CAUSE.test(error.message);

const hasNoQuotaForThisModel = ({ error }: GeminiRefusal) =>
  reachedIn(error).some(({ quotaValue }) => quotaValue === undefined || isZero(quotaValue));

/** By the effective status; the first rule that holds decides. */
const RULES_BY_STATUS: Readonly<Record<number, readonly GeminiRule[]>> = {
  // INVALID_ARGUMENT and FAILED_PRECONDITION: mostly the request's fault, but a bad key answers so too.
  400: [
    { when: isPage, failure: MISCONFIGURED },
    { when: hasReason(BAD_KEY), failure: keyRejected },
    { when: pointsAtFields, failure: REQUEST_FAULT },
    { when: says(KEY_INVALID), failure: keyRejected },
    { when: says(WRONG_LOCATION), failure: MISCONFIGURED },
    { when: says(...NEEDS_PAID_PLAN), failure: OUT_OF_CREDIT },
    { when: always, failure: REQUEST_FAULT },
  ],
  401: [{ when: always, failure: keyRejected }],
  402: [{ when: always, failure: { ...OUT_OF_CREDIT, of: 'billing' } }],
  // PERMISSION_DENIED: the key, its money, a resource of another project, or this key and model.
  403: [
    { when: hasReason(BAD_KEY), failure: keyRejected },
    { when: says(KEY_LEAKED), failure: keyRejected },
    { when: hasReason(NO_BILLING), failure: OUT_OF_CREDIT },
    // Before every other text: it quotes the name that the caller gave the file.
    { when: says(STORED_RESOURCE), failure: NOT_ITS_RESOURCE },
    { when: says(SPEND_CAP, NEEDS_BILLING), failure: PERHAPS_NO_CREDIT },
    {
      when: says(...KEY_REFUSED_TEXT),
      failure: (refusal) => ({ ...keyRejected(refusal), mayConcernRequest: true }),
    },
    { when: isNotGoogles, failure: MISCONFIGURED },
    { when: always, failure: NOT_FOR_THIS_KEY },
  ],
  // NOT_FOUND: a wrong address answers without Google's error; a model may be open to another key.
  404: [
    { when: isNotGoogles, failure: MISCONFIGURED },
    { when: says(STORED_RESOURCE), failure: NOT_ITS_RESOURCE },
    { when: always, failure: NOT_FOR_THIS_KEY },
  ],
  408: [{ when: always, failure: TIMED_OUT }],
  // RESOURCE_EXHAUSTED: details before the message; no quota at all before a spent one, and the longest
  // period governs. Money comes without a QuotaFailure, so there the message decides, whatever RetryInfo
  // says; the spend rate, which clears by itself, comes before what needs action.
  429: [
    // Google's front end doubts our address ("automated queries"): no key's quota.
    { when: isPage, failure: UPSTREAM_DOWN },
    { when: hasNoQuotaForAnyModel, failure: keyRejected },
    { when: hasReason(MODEL_CAPACITY), failure: UPSTREAM_DOWN },
    { when: hasNoQuotaForThisModel, failure: NO_QUOTA },
    // The RetryInfo beside a day's quota is wrong: it is ignored.
    {
      when: namesQuota(A_DAY),
      failure: ({ error }) => ({ kind: 'quota_exhausted', ...quotasIn(error) }),
    },
    { when: namesQuota(A_MINUTE), failure: minuteSpent },
    { when: says(CAPACITY_TEXT), failure: UPSTREAM_DOWN },
    { when: says(LIMIT_ZERO), failure: NO_QUOTA },
    {
      when: says(SPEND_RATE),
      failure: ({ retryHintMs = SPEND_WINDOW_MS }) => ({
        ...rateLimited(retryHintMs),
        mayConcernRequest: true,
      }),
    },
    { when: says(PREPAID_CREDIT), failure: { ...PERHAPS_NO_CREDIT, of: 'billing' } },
    { when: says(SPEND_CAP), failure: PERHAPS_NO_CREDIT },
    {
      when: namesSomeCause,
      failure: ({ retryHintMs, error }) => ({
        ...rateLimited(retryHintMs),
        ...quotasIn(error),
        mayConcernRequest: true,
      }),
    },
    {
      when: always,
      failure: ({ retryHintMs }) => ({ ...rateLimited(retryHintMs), kind: 'quota_unexplained' }),
    },
  ],
  499: [{ when: always, failure: UPSTREAM_DOWN }],
  504: [{ when: always, failure: TIMED_OUT }],
};

/** What no rule names is upstream trouble: 5xx, and a 200 that is empty or unreadable. */
const OTHER_RULES: readonly GeminiRule[] = [
  { when: ({ status }) => isWithin(status, 300), failure: MISCONFIGURED },
  { when: (refusal) => isClientError(refusal) && isNotGoogles(refusal), failure: MISCONFIGURED },
  { when: isClientError, failure: REQUEST_FAULT },
];

/** The message says so. A page's words are not the API's. */
function says(...phrases: readonly RegExp[]) {
  return ({ error }: GeminiRefusal): boolean =>
    !error.isHtml && phrases.some((phrase) => phrase.test(error.message.trim()));
}

function hasReason(reasons: RegExp) {
  return ({ error }: GeminiRefusal): boolean =>
    error.details.some((detail) => detail.type === 'ErrorInfo' && reasons.test(detail.reason));
}

function keyRejected({ error }: GeminiRefusal): Finding & { kind: 'key_rejected' } {
  const reasons = error.details.map((detail) => (detail.type === 'ErrorInfo' ? detail.reason : ''));
  const said = [...reasons, error.message];
  const [, rejection] = REJECTIONS.find(([words]) => said.some((one) => words.test(one))) ?? [];
  return { kind: 'key_rejected', rejection };
}

function namesQuota(period: RegExp) {
  return ({ error }: GeminiRefusal): boolean =>
    reachedIn(error).some(({ quotaId }) => period.test(quotaId));
}

function hasNoQuotaForAnyModel({ error }: GeminiRefusal): boolean {
  return error.details.some(
    (detail) =>
      detail.type === 'ErrorInfo' &&
      detail.reason === 'RATE_LIMIT_EXCEEDED' &&
      isZero(detail.metadata.quota_limit_value),
  );
}

function minuteSpent({ retryHintMs, error }: GeminiRefusal): Finding {
  const isOfTokens = reachedIn(error).every(({ quotaId }) => INPUT_TOKENS.test(quotaId));
  const spent = { ...rateLimited(retryHintMs), ...quotasIn(error) };
  return isOfTokens && spent.limits !== undefined ? { ...spent, isOfTokens } : spent;
}

/** The limits and the model that a refusal names. */
function quotasIn(error: GoogleError) {
  const reached = reachedIn(error);
  const limits = reached.flatMap((violation) => limitIn(violation) ?? []);
  const quotaModel = reached.find(({ model }) => model !== undefined)?.model;
  const isOfFeature = reached.length > 0 && reached.every(isMeteredApart);
  return {
    ...(limits.length === 0 || isOfFeature ? {} : { limits }),
    ...(quotaModel === undefined ? {} : { quotaModel }),
    ...(isOfFeature ? { mayConcernRequest: true as const } : {}),
  };
}

/** A quota of plain answers governs, where one is named beside that of a feature. */
function reachedIn(error: GoogleError): readonly QuotaViolation[] {
  const all = violations(error);
  const plain = all.filter((violation) => !isMeteredApart(violation));
  return plain.length === 0 ? all : plain;
}

const isMeteredApart = ({ quotaId, quotaMetric }: QuotaViolation) =>
  OF_A_FEATURE.test(quotaId) || OF_A_FEATURE.test(quotaMetric);

/** @returns null for a quota that is none of these, and for a size that cannot be read */
function limitIn({ quotaId, quotaValue }: QuotaViolation): QuotaLimit | null {
  const value = Number(quotaValue);
  const of = quotaNameOf(quotaId);
  return of !== null && Number.isFinite(value) && value > 0 ? { of, value } : null;
}

function quotaNameOf(quotaId: string): QuotaName | null {
  if (INPUT_TOKENS.test(quotaId)) return A_MINUTE.test(quotaId) ? 'tpm' : null;
  if (!REQUESTS.test(quotaId)) return null;
  if (A_DAY.test(quotaId)) return 'rpd';
  return A_MINUTE.test(quotaId) ? 'rpm' : null;
}

const isZero = (value: unknown) => value === 0 || (typeof value === 'string' && /^0+$/.test(value));

const isWithin = (status: number, hundred: number) => status >= hundred && status < hundred + 100;
