import { asText, isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import { htmlToText, isHtml } from '../html-text.ts';
import {
  type GoogleErrorDetail,
  type QuotaViolation,
  readGoogleErrorDetails,
} from './google-error-details.ts';

/** Google's error, whichever of its many shapes it came in. */
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

/** @param body of a refusal, or one event of a stream, with or without its `data:`. */
export function parseGoogleError(body: string): GoogleError {
  if (isHtml(body)) return notGoogles(htmlToText(body), true);
  for (const text of candidates(body)) {
    const error = findError(parseJson(text));
    if (error !== undefined) return readError(error, MAX_WRAPPINGS);
  }
  return notGoogles(body, false);
}

/** The quotas that the error names as exceeded, of all its details. */
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

/** What is said under `error`, also within an array or one more layer of text; or the bare error. */
function findError(json: unknown): JsonObject | undefined {
  const document = typeof json === 'string' ? parseJson(json) : json;
  const parts = Array.isArray(document) ? document : [document];
  return parts.map(findErrorIn).find((error) => error !== undefined);
}

function findErrorIn(json: unknown): JsonObject | undefined {
  if (!isJsonObject(json)) return undefined;
  const { error, code, status } = json;
  // Fields beside `error` may hold its code and status.
  if (typeof error === 'string') return { code, status, message: error };
  if (isJsonObject(error)) return { code, status, ...error };
  return isBareError(json) ? json : undefined;
}

function isBareError({ message, code, status }: JsonObject): boolean {
  return typeof message === 'string' && (code !== undefined || status !== undefined);
}

function readError(outer: JsonObject, wrappingsLeft: number): GoogleError {
  const message = asText(outer.message);
  const inner = wrappingsLeft > 0 ? findError(parseJson(message)) : undefined;
  if (inner !== undefined) return unwrap(outer, readError(inner, wrappingsLeft - 1));
  return {
    ...readCodeAndStatus(outer),
    message,
    details: readGoogleErrorDetails(outer.details),
    isGoogles: true,
    isHtml: false,
  };
}

/** The inner error decides; the wrapping speaks only where the inner one has no code of its own. */
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
