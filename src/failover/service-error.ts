/** Why a use case could not be carried out: the reasons that a caller can tell apart. */
export const SERVICE_ERROR_CODES = [
  'invalid_request',
  'payload_too_large',
  'rate_limited',
  'unauthorized',
  'model_unavailable',
  'all_keys_exhausted',
  'no_keys_configured',
  'upstream_failed',
  'upstream_timeout',
  'client_gone',
] as const;
export type ServiceErrorCode = (typeof SERVICE_ERROR_CODES)[number];

export interface ServiceErrorOptions {
  /** Milliseconds until it makes sense to ask again. */
  readonly retryAfterMs?: number;
  readonly details?: readonly FieldFault[];
  readonly cause?: unknown;
}

/** A fault of one field of the request. */
export interface FieldFault {
  /** `history.3.content`; empty for the body as a whole. */
  readonly path: string;
  readonly message: string;
}

/** `message` is a sentence for the caller and never holds anything internal; that is in `cause`. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ServiceErrorCode;
  readonly retryAfterMs: number | null;
  readonly details: readonly FieldFault[];

  constructor(code: ServiceErrorCode, message: string, options: ServiceErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.details = options.details ?? [];
  }
}
