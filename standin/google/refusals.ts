import { STATUS_CODES } from 'node:http';
import type { QuotaWindows } from '../quota-window.ts';
import { htmlReply, jsonReply, NOT_FOUND_PAGE, type Reply } from '../reply.ts';
import type { Limits } from '../standin-key.ts';
import { QUOTAS } from './quota.ts';

/** What a refusal may need to know of the call. */
export interface GoogleCallFacts {
  readonly key: string;
  /** Empty when the call names none. */
  readonly model: string;
  readonly version: string;
  /** `generateContent` and the like; for a listing `listModels`. */
  readonly method: string;
  readonly now: number;
  readonly windows: QuotaWindows;
}

/** A fault that refuses the call before anything is counted. */
export type GoogleRefusal = NamedRefusal | OddShape;

interface NamedRefusal {
  readonly kind: keyof typeof REFUSALS;
  /** Of a spent window: the delay to name. Default: the rest of the minute; for a day, 0 to 41 s. */
  readonly retryAfterMs?: number;
}

/** An error body in a shape that parsers meet in practice. */
interface OddShape {
  readonly kind: keyof typeof ODD_SHAPES;
  /** The error inside. Default: `day_spent`. */
  readonly fault?: NamedRefusal;
}

export const isGoogleRefusal = (fault: { readonly kind: string }): fault is GoogleRefusal =>
  Object.hasOwn(REFUSALS, fault.kind) || Object.hasOwn(ODD_SHAPES, fault.kind);

export function refuse(fault: GoogleRefusal, call: GoogleCallFacts): Reply {
  if (!isOddShape(fault)) return refuseByName(fault, call);
  const reply = refuseByName(fault.fault ?? { kind: 'day_spent' }, call);
  const text = String(reply.body);
  return { ...reply, body: JSON.stringify(ODD_SHAPES[fault.kind](JSON.parse(text).error, text)) };
}

/** @returns Google's error body under the same HTTP status. */
export function googleError(
  code: number,
  message: string,
  details: readonly Detail[] = [],
  status: string = STATUS[code] ?? '',
): Reply {
  const error = { code, message, status };
  return jsonReply(code, { error: details.length === 0 ? error : { ...error, details } });
}

/**
 * Google's 429 of a spent quota. Beside a minute's limit the delay is honest; beside a day's, or
 * where there is no quota at all, it is short and useless, as Google's own is.
 */
export function quotaError(
  exceeded: Limits,
  { model, windows, now }: GoogleCallFacts,
  {
    retryAfterMs = defaultRetryMs(exceeded, windows, now),
    quotas = QUOTAS,
  }: { readonly retryAfterMs?: number | undefined; readonly quotas?: typeof QUOTAS } = {},
): Reply {
  const violations = Object.entries(quotas).flatMap(([name, { metric, quotaId }]) => {
    const limit = exceeded[name as keyof Limits];
    return limit === undefined ? [] : [{ metric, quotaId, limit }];
  });
  const lines = violations.map(
    ({ metric, limit }) =>
      `* Quota exceeded for metric: ${metric}, limit: ${limit}, model: ${model}`,
  );
  const message = [QUOTA_EXCEEDED, ...lines, `Please retry in ${spoken(retryAfterMs)}.`].join('\n');
  const failure = violations.map(({ metric, quotaId, limit }) => ({
    quotaMetric: metric,
    quotaId,
    quotaDimensions: { location: 'global', model },
    ...(limit === 0 ? {} : { quotaValue: String(limit) }),
  }));
  return googleError(429, message, [
    detail('QuotaFailure', { violations: failure }),
    help('Learn more about Gemini API quotas', 'https://ai.google.dev/gemini-api/docs/rate-limits'),
    detail('RetryInfo', { retryDelay: retryDelay(retryAfterMs, windows.speed) }),
  ]);
}

type Detail = Readonly<Record<string, unknown>>;
type Refusal = Reply | ((call: GoogleCallFacts, retryAfterMs?: number) => Reply);

const API = 'generativelanguage.googleapis.com';
/** The consumer that every error names, whichever key it is about. */
const CONSUMER = 'projects/100000000001';
const ACTIVATION = `https://console.developers.google.com/apis/api/${API}/overview?project=100000000001`;
const QUOTA_EXCEEDED =
  'You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ';
const SECOND_MS = 1_000;

const STATUS: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

export const CACHED_CONTENT_GONE = googleError(
  403,
  'CachedContent not found (or permission denied)',
);

/** @param name Such as `files/xyz`; Google names the id alone. */
export const fileGone = (name: string): Reply =>
  googleError(
    403,
    `You do not have permission to access the File ${name.replace('files/', '')} or it may not exist.`,
  );

/** Every refusal by its fault's name, in Google's own words. */
const REFUSALS = {
  // The key, its project and its rights.
  bad_key: invalidKey('API key not valid. Please pass a valid API key.'),
  expired_key: invalidKey('API key expired. Please renew the API key.'),
  leaked: googleError(403, 'Your API key was reported as leaked. Please use another API key.'),
  suspended: ({ key }) =>
    denied(
      'CONSUMER_SUSPENDED',
      `Permission denied: Consumer 'api_key:${key}' has been suspended.`,
      {
        containerInfo: `api_key:${key}`,
      },
    ),
  service_disabled: denied(
    'SERVICE_DISABLED',
    `Generative Language API has not been used in project 100000000001 before or it is disabled. Enable it by visiting ${ACTIVATION} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.`,
    { serviceTitle: 'Generative Language API', activationUrl: ACTIVATION },
    [help('Google developers console API activation', ACTIVATION)],
  ),
  key_blocked: (call) =>
    denied(
      'API_KEY_SERVICE_BLOCKED',
      `Requests to this API ${API} method ${rpcName(call)} are blocked.`,
      { apiName: API, methodName: rpcName(call) },
    ),
  unauthenticated: (call) =>
    googleError(
      401,
      'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.',
      [errorInfo('ACCESS_TOKEN_TYPE_UNSUPPORTED', { method: rpcName(call) })],
    ),
  model_forbidden: googleError(403, 'The caller does not have permission'),
  model_gone: ({ model }) =>
    googleError(
      404,
      `This model models/${model} is no longer available to new users. Please update your code to use a newer model for the latest features and improvements.`,
    ),
  location: failedPrecondition('User location is not supported for the API use.'),
  free_tier_country: failedPrecondition(
    'Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.',
  ),

  // A spent window, whatever the key's limits; a project without any quota for the model.
  minute_spent: spent({ rpm: 10 }),
  tokens_per_minute_spent: spent({ tpm: 250_000 }),
  day_spent: spent({ rpd: 20 }),
  both_spent: spent({ rpd: 20, rpm: 10 }),
  limit_zero: spent({ rpd: 0, rpm: 0, tpm: 0 }),
  /** No quota for any model. */
  quota_zero: googleError(
    429,
    `Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit per minute for a region' of service '${API}' for consumer 'project_number:100000000001'.`,
    [
      errorInfo('RATE_LIMIT_EXCEEDED', {
        quota_location: 'us-west4',
        quota_limit: 'GenerateContentRequestsPerMinutePerProjectPerRegion',
        quota_limit_value: '0',
        quota_metric: `${API}/generate_content_requests`,
        consumer: CONSUMER,
      }),
      help(
        'Request a higher quota limit.',
        'https://cloud.google.com/docs/quotas/help/request_increase',
      ),
    ],
  ),
  exhausted_no_details: googleError(429, 'Resource has been exhausted (e.g. check quota).'),

  // Money.
  /** A rolling window of ten minutes. */
  spend_rate: googleError(
    429,
    'You have exceeded your spend-based rate limit. Please try again later. Learn more at https://ai.google.dev/gemini-api/docs/rate-limits.',
  ),
  prepay_empty: googleError(
    429,
    'Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.',
  ),
  spend_cap: googleError(
    429,
    'Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap. Spend cap exceeded.',
  ),

  // Google's own trouble.
  /** Google's capacity, not this key's quota. */
  capacity: ({ model }) =>
    googleError(429, `No capacity available for model ${model} on the server`, [
      errorInfo('MODEL_CAPACITY_EXHAUSTED', { model }),
    ]),
  html_429: htmlReply(
    429,
    'Sorry...',
    "We're sorry... but your computer or network may be sending automated queries. To protect our users, we can't process your request right now.",
  ),
  overloaded: googleError(503, 'The model is overloaded. Please try again later.'),
  internal: googleError(
    500,
    'An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting',
  ),
  bad_gateway_html: htmlReply(
    502,
    'Error 502 (Server Error)!!1',
    'The server encountered a temporary error and could not complete your request. Please try again in 30 seconds.',
  ),
  gateway_timeout: googleError(504, 'Deadline expired before operation could complete.'),

  // The request's own fault.
  request_fault: googleError(400, 'Request contains an invalid argument.'),
  /** What a wrong base URL gets. */
  html_404: NOT_FOUND_PAGE,
  cached_content: CACHED_CONTENT_GONE,
  file_gone: fileGone('files/abc123def456'),
} satisfies Record<string, Refusal>;

export const UNKNOWN_KEY: Reply = REFUSALS.bad_key;
export const OVERLOADED: Reply = REFUSALS.overloaded;
export const EXHAUSTED: Reply = REFUSALS.exhausted_no_details;
export const MISSING_KEY = googleError(
  403,
  "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
);

function refuseByName({ kind, retryAfterMs }: NamedRefusal, call: GoogleCallFacts): Reply {
  const refusal: Refusal = REFUSALS[kind];
  return typeof refusal === 'function' ? refusal(call, retryAfterMs) : refusal;
}

interface ErrorBody {
  readonly code: number;
  readonly details?: readonly Detail[];
}

/** How each shape rewrites an error; the text is that of the whole body. */
const ODD_SHAPES = {
  array_wrapped: (error: ErrorBody) => [{ error }],
  double_encoded: ({ code }: ErrorBody, text: string) => ({
    error: { message: text, code, status: STATUS_CODES[code] },
  }),
  string_code: (error: ErrorBody) => ({ error: { ...error, code: String(error.code) } }),
  /** Without `@type` and `domain`. */
  bare_details: (error: ErrorBody) =>
    withDetails(error, ({ '@type': _type, domain: _domain, ...rest }) => rest),
  no_violations: (error: ErrorBody) =>
    withDetails(error, (one) => ('violations' in one ? { ...one, violations: [] } : one)),
};

const isOddShape = (fault: GoogleRefusal): fault is OddShape => fault.kind in ODD_SHAPES;

const withDetails = (error: ErrorBody, rewrite: (one: Detail) => Detail) => ({
  error: { ...error, details: error.details?.map(rewrite) },
});

function spent(exceeded: Limits): Refusal {
  return (call, retryAfterMs) => quotaError(exceeded, call, { retryAfterMs });
}

function failedPrecondition(message: string): Reply {
  return googleError(400, message, [], 'FAILED_PRECONDITION');
}

function invalidKey(message: string): Reply {
  return googleError(400, message, [errorInfo('API_KEY_INVALID', {}), localized(message)]);
}

function denied(
  reason: string,
  message: string,
  metadata: Readonly<Record<string, string>>,
  more: readonly Detail[] = [],
): Reply {
  const info = errorInfo(reason, { consumer: CONSUMER, ...metadata });
  return googleError(403, message, [info, localized(message), ...more]);
}

function errorInfo(reason: string, metadata: Readonly<Record<string, string>>): Detail {
  const domain = 'googleapis.com';
  return detail('ErrorInfo', { reason, domain, metadata: { service: API, ...metadata } });
}

function localized(message: string): Detail {
  return detail('LocalizedMessage', { locale: 'en-US', message });
}

function help(description: string, url: string): Detail {
  return detail('Help', { links: [{ description, url }] });
}

function detail(type: string, fields: Detail): Detail {
  return { '@type': `type.googleapis.com/google.rpc.${type}`, ...fields };
}

/** The RPC behind a REST method, as error metadata spells it. */
const rpcName = ({ version, method }: GoogleCallFacts) =>
  `google.ai.generativelanguage.${version}.GenerativeService.${method.replace(/^./, (first) => first.toUpperCase())}`;

function defaultRetryMs({ rpd, ...ofMinute }: Limits, windows: QuotaWindows, now: number): number {
  const isHonest = rpd === undefined && Object.values(ofMinute).every((limit) => limit > 0);
  return isHonest ? Math.ceil(windows.minuteEnd(now) - now) : uselessMs(now) / windows.speed;
}

/** From 0 to 41 s, the longest that Google named, by the time of day: the same for every run of a test. */
const uselessMs = (now: number) => (Math.floor(now / SECOND_MS) % 42) * SECOND_MS;

/** Exact: "45.81s", below a second "812ms". */
const spoken = (ms: number) => (ms < SECOND_MS ? `${ms}ms` : `${ms / SECOND_MS}s`);

/** Cut off to whole seconds, as in most bodies seen: "26s" beside "26.66s" in the message; exact where time runs faster. */
const retryDelay = (ms: number, speed: number) =>
  speed === 1 ? `${Math.floor(ms / SECOND_MS)}s` : `${ms / SECOND_MS}s`;
