import { upstreamFailed } from '../failover/conclusion.ts';
import type { Failover } from '../failover/failover.ts';
import type { Caller } from '../failover/failover-request.ts';
import { onlyPiece } from '../failover/only-piece.ts';
import { ServiceError } from '../failover/service-error.ts';
import type { Anam, SessionRequest } from '../providers/anam/anam-api.ts';
import type { ApiKey } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import { notOwned, type ProviderWords, UpstreamError } from '../shared/failure.ts';
import type { MintedToken } from './minted-tokens.ts';
import { type PersonaOptions, targetFor, tokenRequestFor } from './persona-for.ts';
import type { SharedTokens } from './shared-tokens.ts';
import { within } from './within.ts';

export interface SessionStartOptions extends PersonaOptions {
  readonly failover: Failover;
  readonly anam: Anam;
  readonly clock: Clock;
  readonly tokens: SharedTokens;
}

/**
 * The browser's SDK gives a start ten seconds, then asks again from the beginning: we have to be done
 * before, with time for more than one account.
 */
const START_LIMIT_MS = 9500;
const START_ATTEMPT_MS = 5000;

/** Starts the session of a token, on its own account or else on another; see `AvatarSession.start`. */
export async function startSession(
  request: SessionRequest,
  caller: Caller,
  options: SessionStartOptions,
): Promise<ProviderWords> {
  const { failover, anam, clock, tokens } = options;
  const minted = await tokens.find(request.token);
  if (minted === null) {
    return within(START_LIMIT_MS, clock, caller, (signal) => anam.passOn(request, signal));
  }
  if (!(await tokens.claim(request.token))) throw alreadyUsed();
  try {
    return await failover({
      operation: 'session_start',
      targets: [targetFor(minted.clientPersona, options.targets)],
      preferred: minted.keyId,
      requestTimeoutMs: START_LIMIT_MS,
      attemptTimeoutMs: START_ATTEMPT_MS,
      caller,
      async *open({ key }, signal) {
        yield await startOn(key, request, minted, signal, options);
      },
      isLast: () => true,
      commit: onlyPiece,
    });
  } catch (error) {
    tokens.release(request.token);
    if (!(error instanceof UpstreamError)) throw error;
    if (error.refusal === null) throw upstreamFailed(error);
    return error.refusal;
  }
}

const alreadyUsed = () => new ServiceError('unauthorized', 'Session token has already been used.');

/** With its own token on the key that minted it, with a new one for the same persona on any other. */
async function startOn(
  key: ApiKey,
  { token, body }: SessionRequest,
  { keyId, clientPersona }: MintedToken,
  signal: AbortSignal,
  options: SessionStartOptions,
): Promise<ProviderWords> {
  const { anam } = options;
  const asked = tokenRequestFor(key, clientPersona, options);
  const { personaOf } = asked;
  if (key.id === keyId) return anam.startSession(key, { token, body, personaOf }, signal);
  const fresh = await anam.mintToken(key, asked, signal).catch(onlyHere);
  return anam.startSession(key, { token: fresh, body, personaOf }, signal).catch(notTheCallers);
}

/** The persona was good for the account that minted the token: that this one will not have it concerns this one alone. */
function onlyHere(error: unknown): never {
  if (!(error instanceof UpstreamError)) throw error;
  const { kind } = error.failure;
  throw kind === 'request_fault' || kind === 'misconfigured' ? notOwned(error) : error;
}

/** A token that we have just minted cannot be spent by the caller: what is wrong with it is upstream's trouble. */
function notTheCallers(error: unknown): never {
  if (!(error instanceof UpstreamError)) throw error;
  const { failure } = error;
  if (failure.kind !== 'request_fault' || failure.about !== 'session_token') throw error;
  throw new UpstreamError({ kind: 'upstream_down', timedOut: false, message: failure.message });
}
