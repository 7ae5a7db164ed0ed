import type { ErrorRequestHandler, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { type FieldFault, ServiceError } from '../failover/service-error.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';
import { answerUnread, breakOff, JSON_TYPE, sendText, TEXT_TYPE } from './reply.ts';

const STATUSES = {
  invalid_request: 400,
  payload_too_large: 413,
  unsupported_media_type: 415,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  model_unavailable: 404,
  method_not_allowed: 405,
  check_failed: 409,
  conflict: 409,
  rate_limited: 429,
  internal_error: 500,
  upstream_failed: 502,
  upstream_timeout: 504,
  all_keys_exhausted: 503,
  no_keys_configured: 503,
  store_unavailable: 503,
  overloaded: 503,
} as const;

export type ErrorCode = keyof typeof STATUSES;

export const ERROR_CODES = Object.keys(STATUSES) as ErrorCode[];

type HttpErrorOptions = Partial<
  Pick<HttpError, 'retryAfterSeconds' | 'details' | 'limit' | 'cause'>
>;

/** Why a request fails, as the caller sees it. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly code: ErrorCode;
  readonly retryAfterSeconds: number | null;
  readonly details: readonly FieldFault[];
  /** The limit of a client that is reached, for the log. */
  readonly limit: string | null;

  constructor(code: ErrorCode, message: string, options: HttpErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.status = STATUSES[code];
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
    this.details = options.details ?? [];
    this.limit = options.limit ?? null;
  }
}

/** How an error is written for one kind of caller. */
export interface ErrorForm {
  readonly type: string;
  /** Of the text, for the OpenAPI document. */
  readonly schema: z.ZodType;
  text(error: HttpError, requestId: string): string;
  /** Further headers besides `retry-after`. */
  headers?(error: HttpError): Readonly<Record<string, string>>;
  /** Where a caller expects another status than ours. */
  status?(error: HttpError): number;
}

const errorSchema = z
  .strictObject({
    error: z.strictObject({
      code: z.enum(ERROR_CODES),
      message: z.string().meta({ description: 'A sentence that may be shown to a person.' }),
      requestId: z.string(),
      retryAfterSeconds: z.int().min(1).optional(),
      details: z
        .array(
          z.strictObject({
            path: z.string().meta({
              description: '`history.3.content`; empty for the body as a whole.',
            }),
            message: z.string(),
          }),
        )
        .optional()
        .meta({ description: 'Each faulty field.' }),
    }),
  })
  .meta({ id: 'Error' });

export const OUR_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  schema: errorSchema,
  text: (error, requestId) => JSON.stringify(errorBody(error, requestId)),
};

/** The sentence alone, for clients that show the body to a person. */
export const PLAIN_ERRORS: ErrorForm = {
  type: TEXT_TYPE,
  schema: z.string().min(1).meta({ id: 'ErrorSentence', description: 'The sentence alone.' }),
  text: ({ message }) => message,
};

/** How a request ended, for its line in the access log. */
export interface Outcome {
  /** The name of the client. */
  readonly client?: string;
  readonly code?: string;
  /** The limit of the client that is reached. */
  readonly limit?: string;
  readonly retryAfterSeconds?: number;
}

export function errorBody(error: HttpError, requestId: string): z.output<typeof errorSchema> {
  const { code, message, retryAfterSeconds, details } = error;
  return {
    error: {
      code,
      message,
      requestId,
      ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
      ...(details.length === 0 ? {} : { details: [...details] }),
    },
  };
}

export const notFound: RequestHandler = (request, _response, next) =>
  next(new HttpError('not_found', LACKS_VERSION.test(request.path) ? NO_VERSION : NOTHING));

const NOTHING = 'There is nothing here.';
/** The path of a request whose base URL has no version. */
const LACKS_VERSION = /^\/+(?:chat\/completions|responses|embeddings|messages|models)(?:\/|$)/i;
const NO_VERSION = 'There is nothing here: the base URL must end in /v1.';

/** For a known path with another method than it allows. */
export const methodNotAllowed = (...allowed: string[]): RequestHandler =>
  function refuseMethod({ method }, response, next) {
    response.setHeader('allow', allowed.join(', '));
    next(new HttpError('method_not_allowed', `${method} is not allowed here.`));
  };

export interface ErrorAnswerOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** For what an error quotes of the request: people paste keys into the wrong places. */
  readonly redact: Redact;
}

/** The last handler: every thrown error becomes one answer, and a bug of ours a log line with its stack. */
export function answerErrors({ log, clock, redact }: ErrorAnswerOptions): ErrorRequestHandler {
  return function answerError(thrown, _request, response, _next) {
    const { locals } = response;
    if (thrown instanceof ServiceError && thrown.code === 'client_gone') {
      locals.reportEnd?.();
      return;
    }
    const error = toHttpError(thrown);
    if (error.code === 'internal_error') {
      log.error({ requestId: locals.requestId, err: thrown }, 'internal error');
    }
    locals.outcome = { ...locals.outcome, ...outcomeOf(error) };
    if (response.destroyed) locals.reportEnd?.();
    else if (response.headersSent) endStream(response, error);
    else refuse(response, error, { clock, redact });
  };
}

const outcomeOf = ({ code, retryAfterSeconds, limit }: HttpError): Outcome => ({
  code,
  ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
  ...(limit === null ? {} : { limit }),
});

function endStream(response: Response, error: HttpError): void {
  const lastEvent = response.writableEnded ? null : response.locals.failInStream?.(error);
  if (typeof lastEvent === 'string') response.end(lastEvent);
  else breakOff(response);
}

function refuse(
  response: Response,
  error: HttpError,
  { clock, redact }: Omit<ErrorAnswerOptions, 'log'>,
): void {
  const { requestId, errorForm } = response.locals;
  const form: ErrorForm = errorForm ?? OUR_ERRORS;
  if (error.retryAfterSeconds !== null) {
    response.setHeader('retry-after', String(error.retryAfterSeconds));
  }
  response.set(form.headers?.(error) ?? {});
  const status = form.status?.(error) ?? error.status;
  const text = redact(form.text(error, requestId));
  const isUnread = LEAVES_BODY_UNREAD.has(error.code) && !response.req.complete;
  if (isUnread) answerUnread(response, { status, type: form.type, body: text }, clock);
  else sendText(response, status, form.type, text);
}

const LEAVES_BODY_UNREAD: ReadonlySet<ErrorCode> = new Set(['payload_too_large', 'overloaded']);

/** An unexpected error is a bug of ours: the caller learns nothing about it but the request's id. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof ServiceError) return fromService(error);
  return fromExpress(error) ?? internalError(error);
}

function fromService(error: ServiceError): HttpError {
  const { code, message, details, retryAfterMs, limit } = error;
  if (code === 'client_gone') return internalError(error);
  const retryAfterSeconds =
    retryAfterMs === null ? null : Math.max(1, Math.ceil(retryAfterMs / 1000));
  return new HttpError(code, message, { retryAfterSeconds, details, limit, cause: error });
}

const internalError = (cause: unknown) =>
  new HttpError('internal_error', 'Something went wrong on our side.', { cause });

/** An error that Express throws, such as for a path that cannot be decoded. */
function fromExpress(error: unknown): HttpError | null {
  if (!(error instanceof Error)) return null;
  const { status } = error as { status?: unknown };
  const isCallersFault = typeof status === 'number' && status >= 400 && status < 500;
  if (!isCallersFault) return null;
  return new HttpError('invalid_request', 'The request could not be read.', { cause: error });
}

export const bodyFault = (code: ErrorCode, message: string, cause?: unknown): HttpError =>
  new HttpError(code, message, { details: [{ path: '', message }], cause });

const MEGABYTE = 2 ** 20;

const ADVICE = 'Send shorter texts or smaller files.';

/**
 * Only a limit in megabytes is a setting, so only then does the sentence name it.
 *
 * @param times the limit is so many times the setting
 */
export function bodyTooLarge(limit: number, times = 1): HttpError {
  const setting = times === 1 ? 'MAX_BODY_MB' : `${times} times MAX_BODY_MB`;
  const message =
    limit < MEGABYTE
      ? `The body is larger than ${limit / 1024} KB.`
      : `The body is larger than ${limit / MEGABYTE} MB. ${ADVICE} The limit is ${setting} on the server.`;
  return bodyFault('payload_too_large', message);
}
