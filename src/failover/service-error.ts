import { type FailureKind, type ProviderWords, UpstreamError } from '../shared/failure.ts';
import { keyVariable, type ProviderFacts } from '../shared/provider-facts.ts';
import type { CandidateSearch } from './candidate-search.ts';

/** Why a use case failed, as far as a caller can tell the reasons apart. */
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
  readonly retryAfterMs?: number | null;
  readonly details?: readonly FieldFault[];
  /** The limit of a client that is reached. */
  readonly limit?: string;
  readonly cause?: unknown;
}

/** A fault of one field of the request. */
export interface FieldFault {
  /** `history.3.content`; empty for the body as a whole. */
  readonly path: string;
  readonly message: string;
}

/** `message` is a sentence for the caller and holds nothing internal; that is in `cause`. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ServiceErrorCode;
  readonly retryAfterMs: number | null;
  readonly details: readonly FieldFault[];
  readonly limit: string | null;

  constructor(code: ServiceErrorCode, message: string, options: ServiceErrorOptions = {}) {
    const { retryAfterMs = null, details = [], limit = null, cause } = options;
    super(message, { cause });
    this.code = code;
    this.limit = limit;
    this.retryAfterMs = retryAfterMs;
    this.details = details;
  }
}

/** The error after everything was tried: upstream trouble, else a model that no key may use, else spent keys. */
export function conclude(
  search: Pick<CandidateSearch, 'isModelUnavailable' | 'retryAt' | 'exceededTokenLimit'>,
  errors: readonly UpstreamError[],
  now: number,
  { exhaustedMessage }: Pick<ProviderFacts, 'exhaustedMessage'>,
): ServiceError {
  const upstream = errors
    .map(({ failure }) => failure)
    .filter((failure) => failure.kind === 'upstream_down');
  if (upstream.length > 0) {
    return upstream.every(({ timedOut }) => timedOut) ? upstreamTimeout() : upstreamFailed();
  }
  const limit = search.exceededTokenLimit();
  if (limit !== null) return tooLarge(limit, errors.at(-1));
  if (search.isModelUnavailable()) {
    const message = 'None of the API keys may use what was asked for.';
    return new ServiceError('model_unavailable', message);
  }
  return new ServiceError('all_keys_exhausted', exhaustedMessage, {
    retryAfterMs: msUntil(search.retryAt(), now),
    cause: errors.findLast(({ refusal }) => refusal !== null) ?? errors.at(-1),
  });
}

/** @param said by the provider about a fault of the request */
export const refusedByProvider = (said: string, cause?: unknown): ServiceError =>
  new ServiceError('invalid_request', `The provider refused this request: ${said}`, { cause });

/** A fault of the request is the only failure whose message the caller gets. */
export const forCaller = (error: unknown): unknown =>
  error instanceof UpstreamError ? refusedByProvider(error.failure.message, error) : error;

/**
 * The error when every project that was asked refused what is special about the request.
 *
 * @param until when it may be asked for again, in milliseconds since the epoch
 */
export function refused(cause: UpstreamError, until: number | null, now: number): ServiceError {
  const { failure } = cause;
  if (failure.kind === 'request_too_large') return tooLarge(failure.inputTokenLimit, cause);
  const message = `The provider refused this request: ${failure.message}`;
  const code = OF_QUOTAS.has(failure.kind) ? 'rate_limited' : 'model_unavailable';
  const hintMs = failure.kind === 'rate_limited' ? (failure.retryAfterMs ?? null) : null;
  return new ServiceError(code, message, { cause, retryAfterMs: msUntil(until, now) ?? hintMs });
}

const OF_QUOTAS: ReadonlySet<FailureKind> = new Set([
  'rate_limited',
  'quota_exhausted',
  'quota_unexplained',
  'out_of_credit',
]);

/** @param limit in input tokens a minute */
function tooLarge(limit: number, cause?: UpstreamError): ServiceError {
  const message = `The request is larger than the provider's limit of ${limit} input tokens a minute.`;
  return new ServiceError('payload_too_large', message, { cause });
}

const msUntil = (at: number | null, now: number) => (at === null ? null : at - now);

/** The provider's own answer, where that is why the request was refused. */
export function refusalIn({ code, cause }: ServiceError): ProviderWords | null {
  const isRefused = code === 'rate_limited' || code === 'model_unavailable';
  return isRefused && cause instanceof UpstreamError ? cause.refusal : null;
}

/** The error for an answer that had begun and broke off. */
export function brokenOff(error: UpstreamError): ServiceError {
  const { failure } = error;
  if (failure.kind === 'client_gone') return clientGone();
  const hasTimedOut =
    failure.kind === 'deadline_exceeded' || (failure.kind === 'upstream_down' && failure.timedOut);
  if (hasTimedOut) return upstreamTimeout(error);
  const message = 'The answer broke off. Please try again.';
  return new ServiceError('upstream_failed', message, { cause: error });
}

export function upstreamTimeout(cause?: unknown): ServiceError {
  const message = 'The provider did not answer in time. Please try again.';
  return new ServiceError('upstream_timeout', message, { cause });
}

export function upstreamFailed(cause?: unknown): ServiceError {
  const message = 'The provider could not answer. Please try again.';
  return new ServiceError('upstream_failed', message, { cause });
}

/** Another try would fail alike: the log has the reason. */
export function ourFault(cause?: unknown): ServiceError {
  const message = 'This server cannot use the provider as it is set up. Its log says why.';
  return new ServiceError('upstream_failed', message, { cause });
}

export const clientGone = () => new ServiceError('client_gone', 'The client has gone.');

/** @param arePaused whether the provider has keys, all of them paused */
export function noKeysConfigured(
  provider: Pick<ProviderFacts, 'prefix'>,
  arePaused = false,
): ServiceError {
  const advice = arePaused ? 'All of them are paused.' : `Set ${keyVariable(provider)}.`;
  return new ServiceError('no_keys_configured', `No API keys available. ${advice}`);
}

/**
 * @param model as the caller names it
 * @param names under which models may be requested, aliases included
 */
export const modelNotServed = (model: string, names: Iterable<string>, use = ''): ServiceError =>
  otherModelNeeded(`The model "${model.slice(0, 100)}" is not served${use}`, names);

/**
 * @param fault without its full stop
 * @param names of the models that may be requested instead
 */
export function otherModelNeeded(fault: string, names: Iterable<string>): ServiceError {
  const listed = [...names].join(', ');
  const message = listed === '' ? `${fault}.` : `${fault}. Ask for one of: ${listed}.`;
  return new ServiceError('model_unavailable', message, { details: [{ path: 'model', message }] });
}
