import { STATUS_CODES } from 'node:http';
import { asObjects, asText, isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import { htmlToText, isHtml } from '../failure-rules.ts';

/** Google's error, in whichever of its many shapes it came. */
export interface GoogleError {
  readonly code?: number;
  /** A name of google.rpc.Code, or HTTP's phrase where a layer in between wrapped the body. */
  readonly status?: string;
  /** Empty where nothing was said; where the body is no error of Google's, its text. */
  readonly message: string;
  readonly details: readonly GoogleErrorDetail[];
  /** Whether the body is an error in Google's form at all. */
  readonly isGoogles: boolean;
  readonly isHtml: boolean;
}

/** One of `error.details`, where it is of a type that decides something. */
export type GoogleErrorDetail =
  | { readonly type: 'QuotaFailure'; readonly violations: readonly QuotaViolation[] }
  | { readonly type: 'RetryInfo'; readonly retryDelayMs: number }
  | { readonly type: 'ErrorInfo'; readonly reason: string; readonly metadata: JsonObject }
  /** Google points at fields of the request. */
  | { readonly type: 'BadRequest' };

export interface QuotaViolation {
  /** Such as `GenerateRequestsPerDayPerProjectPerModel-FreeTier`; empty where Google names none. */
  readonly quotaId: string;
  /** Such as `generativelanguage.googleapis.com/generate_content_free_tier_requests`. */
  readonly quotaMetric: string;
  /** Absent where this project has no such quota at all. */
  readonly quotaValue?: string;
  /** The model that owns the quota. */
  readonly model?: string;
}

/** @param body of a refusal, or one event of a stream, with or without its `data:`. */
export function parseGoogleError(body: string): GoogleError {
  if (isHtml(body)) return notGoogles(htmlToText(body), true);
  for (const text of candidates(body)) {
    const error = findError(parseJson(text));
    if (error !== undefined) return readError(error, MAX_WRAPPINGS);
  }
  return notGoogles(body, false);
}

export function violations({ details }: GoogleError): readonly QuotaViolation[] {
  return details.flatMap((detail) => (detail.type === 'QuotaFailure' ? detail.violations : []));
}

/** How often an error may be wrapped, as JSON text, in another one's message. Two was seen. */
const MAX_WRAPPINGS = 5;
const SSE_PREFIX = /^data:[ \t]?/gm;
const BETWEEN_EVENTS = /(?:\r?\n){2,}/;
const WHOLE_NUMBER = /^\d{1,9}$/;

/** The body as one document, then, as a stream may hold several events, each of them. */
function candidates(body: string): readonly string[] {
  const text = body.replace(SSE_PREFIX, '').trim();
  return [text, ...text.split(BETWEEN_EVENTS)];
}

/** The object under `error`, also within an array or one more layer of text; or the bare error. */
function findError(json: unknown): JsonObject | undefined {
  const document = typeof json === 'string' ? parseJson(json) : json;
  const parts = Array.isArray(document) ? document : [document];
  return parts.map(findErrorIn).find((error) => error !== undefined);
}

function findErrorIn(json: unknown): JsonObject | undefined {
  if (!isJsonObject(json)) return undefined;
  const { error, message, code, status } = json;
  // Fields beside `error` may hold its code and status.
  if (typeof error === 'string') return { code, status, message: error };
  if (isJsonObject(error)) return { code, status, ...error };
  const isBareError = typeof message === 'string' && (code !== undefined || status !== undefined);
  return isBareError ? json : undefined;
}

function readError(outer: JsonObject, wrappingsLeft: number): GoogleError {
  const message = asText(outer.message);
  const inner = wrappingsLeft > 0 ? findError(parseJson(message)) : undefined;
  if (inner !== undefined) return unwrap(outer, readError(inner, wrappingsLeft - 1));
  return {
    ...readCodeAndStatus(outer),
    message,
    details: asObjects(outer.details).flatMap((detail) => [...readDetail(detail)]),
    isGoogles: true,
    isHtml: false,
  };
}

/** The inner error decides; the outer one counts only where the inner one has no code. */
function unwrap(outer: JsonObject, inner: GoogleError): GoogleError {
  const isSilent = inner.code === undefined && inner.status === undefined;
  return isSilent ? { ...inner, ...readCodeAndStatus(outer) } : inner;
}

/** Either field may hold either thing: `"429"` as the code, a name as the code, a number as the status. */
function readCodeAndStatus({ code, status }: JsonObject): Pick<GoogleError, 'code' | 'status'> {
  const number = [code, status].map(toCode).find((value) => value !== undefined);
  const name = [status, code].find(
    (value) => typeof value === 'string' && !WHOLE_NUMBER.test(value),
  );
  return {
    ...(number === undefined ? {} : { code: number }),
    ...(typeof name === 'string' ? { status: name } : {}),
  };
}

function toCode(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && WHOLE_NUMBER.test(value) ? Number(value) : undefined;
}

function notGoogles(message: string, html: boolean): GoogleError {
  return { message: message.trim(), details: [], isGoogles: false, isHtml: html };
}

/** Details may come without `@type`, so each is known by the field that only it has. */
function* readDetail(detail: JsonObject): Generator<GoogleErrorDetail> {
  const violations = readViolations(detail.violations);
  if (violations.length > 0) yield { type: 'QuotaFailure', violations };
  const retryDelayMs = parseDurationMs(detail.retryDelay);
  if (retryDelayMs !== undefined) yield { type: 'RetryInfo', retryDelayMs };
  const { reason, metadata, fieldViolations } = detail;
  if (asText(reason) !== '') {
    const known = isJsonObject(metadata) ? metadata : {};
    yield { type: 'ErrorInfo', reason: asText(reason), metadata: known };
  }
  if (asObjects(fieldViolations).length > 0) yield { type: 'BadRequest' };
}

/** Those of a PreconditionFailure have neither an id nor a metric. */
function readViolations(violations: unknown): readonly QuotaViolation[] {
  return asObjects(violations)
    .filter(({ quotaId, quotaMetric }) => asText(quotaId) !== '' || asText(quotaMetric) !== '')
    .map(({ quotaId, quotaMetric, quotaValue, quotaDimensions }) => {
      const isGiven = typeof quotaValue === 'string' || typeof quotaValue === 'number';
      const value = isGiven ? String(quotaValue).trim() : '';
      const model = isJsonObject(quotaDimensions) ? asText(quotaDimensions.model) : '';
      return {
        quotaId: asText(quotaId),
        quotaMetric: asText(quotaMetric),
        ...(value === '' ? {} : { quotaValue: value }),
        ...(model === '' ? {} : { model }),
      };
    });
}

/** google.rpc.Code and the HTTP status that Google documents for each. */
const GOOGLE_NAMES: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  RESOURCE_EXHAUSTED: 429,
  CANCELLED: 499,
  UNKNOWN: 500,
  INTERNAL: 500,
  DATA_LOSS: 500,
  UNIMPLEMENTED: 501,
  // Documented as 409; but it is a conflict on Google's side, and another try may succeed, as for a 503.
  ABORTED: 503,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

/** Google's names, and HTTP's own phrases ("Too Many Requests"), which wrapped bodies carry instead. */
const STATUS_BY_NAME: ReadonlyMap<string, number> = new Map([
  ...Object.entries(STATUS_CODES).map(([code, phrase]) => [toName(phrase), Number(code)] as const),
  ...Object.entries(GOOGLE_NAMES),
]);

/**
 * The status that an answer really has. A body may contradict the HTTP status (a proxy's 200 or 500
 * around Google's 429), so its status name decides first, then its number, then HTTP.
 * 402 alone comes before all: google.rpc.Code has no name for it.
 */
export function effectiveStatus(error: GoogleError, httpStatus: number): number {
  const ofBody = error.code !== undefined && isErrorStatus(error.code) ? error.code : undefined;
  if (httpStatus === 402 || ofBody === 402) return 402;
  return statusOfName(error.status) ?? ofBody ?? httpStatus;
}

function statusOfName(name: string | undefined): number | undefined {
  const status = STATUS_BY_NAME.get(toName(name));
  return status !== undefined && isErrorStatus(status) ? status : undefined;
}

function toName(phrase = ''): string {
  return phrase
    .trim()
    .toUpperCase()
    .replace(/[^A-Z]+/g, '_');
}

const isErrorStatus = (status: number) => status >= 400 && status <= 599;

const MS_PER_SECOND = 1000;
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
