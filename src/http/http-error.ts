import type { FieldFault } from '../failover/service-error.ts';

export const ERROR_CODES = [
  'invalid_request',
  'payload_too_large',
  'unsupported_media_type',
  'unauthorized',
  'not_found',
  'model_unavailable',
  'method_not_allowed',
  'rate_limited',
  'internal_error',
  'upstream_failed',
  'upstream_timeout',
  'all_keys_exhausted',
  'no_keys_configured',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** What a caller of ours is told when a request fails. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly code: ErrorCode;
  readonly retryAfterSeconds: number | null;
  readonly details: readonly FieldFault[];

  constructor(status: number, code: ErrorCode, message: string, options: HttpErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
    this.details = options.details ?? [];
  }
}

export interface HttpErrorOptions {
  readonly retryAfterSeconds?: number | null;
  readonly details?: readonly FieldFault[];
  readonly cause?: unknown;
}

/** The body of every failure. */
export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly requestId: string;
    readonly retryAfterSeconds?: number;
    readonly details?: readonly FieldFault[];
  };
}

export function errorBody(error: HttpError, requestId: string): ErrorBody {
  const { code, message, retryAfterSeconds, details } = error;
  return {
    error: {
      code,
      message,
      requestId,
      ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
      ...(details.length === 0 ? {} : { details }),
    },
  };
}
