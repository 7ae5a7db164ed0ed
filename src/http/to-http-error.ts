import { ServiceError, type ServiceErrorCode } from '../failover/service-error.ts';
import { MEGABYTE, TOO_LARGE } from './body-limit.ts';
import { type ErrorCode, HttpError } from './http-error.ts';
import { NOT_JSON, NOT_UTF_8 } from './json-body.ts';
import { TOO_MANY_VALUES } from './json-cost.ts';

/**
 * Turns whatever a route or a middleware threw into the answer for the caller. What nobody foresaw
 * is our own bug: the caller learns nothing of it but the request's id.
 */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof ServiceError) return fromService(error);
  return fromBodyParser(error) ?? internalError(error);
}

const STATUS_BY_CODE: Record<Exclude<ServiceErrorCode, 'client_gone'>, number> = {
  invalid_request: 400,
  payload_too_large: 413,
  rate_limited: 429,
  unauthorized: 401,
  model_unavailable: 404,
  all_keys_exhausted: 503,
  no_keys_configured: 503,
  upstream_failed: 502,
  upstream_timeout: 504,
};

function fromService(error: ServiceError): HttpError {
  // Nobody is there to read this answer; what matters is that nothing else goes wrong.
  if (error.code === 'client_gone') return internalError(error);
  const { code, message, details, retryAfterMs } = error;
  const retryAfterSeconds =
    retryAfterMs === null ? null : Math.max(1, Math.ceil(retryAfterMs / 1000));
  return new HttpError(STATUS_BY_CODE[code], code, message, {
    retryAfterSeconds,
    details,
    cause: error,
  });
}

const internalError = (cause: unknown) =>
  new HttpError(500, 'internal_error', 'Something went wrong on our side.', { cause });

/** The faults of a body before anybody looked into it, as body-parser and Node name them. */
const BODY_FAULTS: Record<string, readonly [number, ErrorCode, string]> = {
  'entity.parse.failed': [400, 'invalid_request', 'The body is not valid JSON.'],
  [NOT_UTF_8]: [400, 'invalid_request', 'The body is not valid UTF-8.'],
  [NOT_JSON]: [415, 'unsupported_media_type', 'Send the body as application/json.'],
  [TOO_MANY_VALUES]: [400, 'invalid_request', 'The body holds too many values.'],
  'request.aborted': [400, 'invalid_request', 'The body ended too early.'],
  'request.size.invalid': [400, 'invalid_request', 'The body is not as long as it says.'],
  'encoding.unsupported': [
    415,
    'unsupported_media_type',
    'This content encoding is not supported.',
  ],
  'charset.unsupported': [415, 'unsupported_media_type', 'Send the body as UTF-8.'],
};

const largerThan = (limit: unknown): (typeof BODY_FAULTS)[string] => [
  413,
  'payload_too_large',
  `The body is larger than ${sizeOf(Number(limit))}.`,
];

const sizeOf = (bytes: number): string =>
  bytes < MEGABYTE ? `${bytes / 1024} KB` : `${bytes / MEGABYTE} MB`;

function fromBodyParser(error: unknown): HttpError | null {
  if (!(error instanceof Error)) return null;
  const { type, status, limit } = error as { type?: unknown; status?: unknown; limit?: unknown };
  const fault = type === TOO_LARGE ? largerThan(limit) : BODY_FAULTS[String(type)];
  if (fault !== undefined) {
    const [code, name, message] = fault;
    return new HttpError(code, name, message, { details: [{ path: '', message }], cause: error });
  }
  const isCallersFault = typeof status === 'number' && status >= 400 && status < 500;
  if (!isCallersFault) return null;
  return new HttpError(400, 'invalid_request', 'The request could not be read.', { cause: error });
}
