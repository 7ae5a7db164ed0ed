import { type Failure, type ProviderWords, UpstreamError } from '../shared/failure.ts';
import { keyVariable, type ProviderFacts } from '../shared/provider.ts';
import type { CandidateSearch } from './candidate-search.ts';
import { ServiceError } from './service-error.ts';

/** Everything was tried and nothing answered: what the caller is told, by the gravest of the reasons. */
export function conclude(
  search: CandidateSearch,
  errors: readonly UpstreamError[],
  now: number,
  { exhaustedMessage }: Pick<ProviderFacts, 'exhaustedMessage'>,
) {
  const troubles = errors
    .map(({ failure }) => failure)
    .filter((failure) => failure.kind === 'upstream_down');
  if (troubles.length > 0) return upstreamTrouble(troubles);
  if (search.isModelUnavailable()) return modelUnavailable();
  const retryAt = search.retryAt();
  return new ServiceError('all_keys_exhausted', exhaustedMessage, {
    ...(retryAt === null ? {} : { retryAfterMs: retryAt - now }),
    cause: errors.findLast(({ refusal }) => refusal !== null) ?? errors.at(-1),
  });
}

/**
 * The provider has refused this request for what is special about it, alike with every project that was
 * asked. Its own words are in the cause.
 *
 * @param until when what was special is asked for again, in milliseconds since the epoch
 */
export function refused(error: UpstreamError, until: number | null, now: number): ServiceError {
  const { failure } = error;
  const message = `The provider refused this request: ${failure.message}`;
  const options = { cause: error, ...(until === null ? {} : { retryAfterMs: until - now }) };
  if (failure.kind !== 'rate_limited')
    return new ServiceError('model_unavailable', message, options);
  if (failure.inputTokenLimit === undefined)
    return new ServiceError('rate_limited', message, options);
  const tooLarge = `The request is larger than the provider's limit of ${failure.inputTokenLimit} input tokens a minute.`;
  return new ServiceError('payload_too_large', tooLarge, { cause: error });
}

/** @returns the provider's own words, where they are why the request was refused */
export function refusalIn({ code, cause }: ServiceError): ProviderWords | null {
  const isRefused =
    code === 'rate_limited' || code === 'payload_too_large' || code === 'model_unavailable';
  return isRefused && cause instanceof UpstreamError ? cause.refusal : null;
}

const modelUnavailable = () =>
  new ServiceError('model_unavailable', 'None of the API keys may use what was asked for.');

function upstreamTrouble(troubles: readonly Failure[]): ServiceError {
  const allTimedOut = troubles.every((f) => f.kind === 'upstream_down' && f.timedOut);
  return allTimedOut ? upstreamTimeout() : upstreamFailed();
}

export const upstreamTimeout = (cause?: unknown) =>
  new ServiceError('upstream_timeout', 'The provider did not answer in time. Please try again.', {
    cause,
  });

export const upstreamFailed = (cause?: unknown) =>
  new ServiceError('upstream_failed', 'The provider could not answer. Please try again.', {
    cause,
  });

/** Trying again would not help: somebody has to look into the log. */
export const ourFault = (cause?: unknown) =>
  new ServiceError(
    'upstream_failed',
    'This server cannot use the provider as it is set up. Its log says why.',
    { cause },
  );

export const clientGone = () => new ServiceError('client_gone', 'The client has gone.');

export const noKeysConfigured = (provider: Pick<ProviderFacts, 'prefix'>) =>
  new ServiceError('no_keys_configured', `No API keys available. Set ${keyVariable(provider)}.`);

/** An answer that had begun ends too early: what its reader is told. */
export function breakOff(error: unknown): never {
  if (!(error instanceof UpstreamError)) throw error;
  const { failure } = error;
  if (failure.kind === 'client_gone') throw clientGone();
  if (failure.kind === 'deadline_exceeded') throw upstreamTimeout(error);
  if (failure.kind === 'upstream_down' && failure.timedOut) throw upstreamTimeout(error);
  throw new ServiceError('upstream_failed', 'The answer broke off. Please try again.', {
    cause: error,
  });
}
