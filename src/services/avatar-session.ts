import { noKeysConfigured, upstreamFailed } from '../failover/conclusion.ts';
import type { Failover } from '../failover/failover.ts';
import type { Caller } from '../failover/failover-request.ts';
import { onlyPiece } from '../failover/only-piece.ts';
import { ServiceError } from '../failover/service-error.ts';
import type { Anam, SessionRequest } from '../providers/anam/anam-api.ts';
import type { ApiKey } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import { type ProviderWords, UpstreamError } from '../shared/failure.ts';
import type { ProviderFacts } from '../shared/provider.ts';
import type { TextStore } from '../shared/shared-store.ts';
import { type PersonaOptions, targetFor, tokenRequestFor } from './persona-for.ts';
import { startSession } from './session-start.ts';
import { createSharedTokens } from './shared-tokens.ts';
import { within } from './within.ts';

const METRICS_LIMIT_MS = 10_000;
/** A token is minted within a second or so; what takes longer hangs. */
const MINT_LIMIT_MS = 60_000;
const MINT_ATTEMPT_MS = 20_000;

export interface AvatarSessionOptions extends PersonaOptions {
  readonly failover: Failover;
  readonly provider: ProviderFacts;
  /** Null where no key is configured. */
  readonly anam: Anam | null;
  readonly clock: Clock;
  readonly keys: readonly ApiKey[];
  /** Where other processes find the tokens that this one has minted; null where there are none. */
  readonly texts: TextStore | null;
}

export interface AvatarSession {
  /**
   * A token that lets one browser start one avatar session within the hour.
   *
   * @param clientPersona the caller's own persona config, or null for ours
   * @throws ServiceError
   */
  mintToken(clientPersona: Record<string, unknown> | null, caller: Caller): Promise<string>;
  /**
   * Starts the session of a token: with the account that minted it, and when that has nothing left,
   * the same persona with another. A token that we do not know is passed on as it is.
   *
   * @returns Anam's answer: the session, or why the request itself is refused
   * @throws ServiceError when no account could start it; where Anam said why, in the cause
   */
  start(request: SessionRequest, caller: Caller): Promise<ProviderWords>;
  /**
   * Passes on what the browser's SDK tells Anam of its connections.
   *
   * @returns Anam's answer, whatever it is
   * @throws ServiceError when there is none
   */
  passMetrics(body: Buffer, caller: Caller): Promise<ProviderWords>;
}

export function createAvatarSession(options: AvatarSessionOptions): AvatarSession {
  const { failover, clock } = options;
  const tokens = createSharedTokens(options);
  const anamOrThrow = () => {
    if (options.anam === null) throw noKeysConfigured(options.provider);
    return options.anam;
  };
  return {
    async mintToken(clientPersona, caller) {
      const anam = anamOrThrow();
      try {
        return await failover({
          operation: 'session_token',
          targets: [targetFor(clientPersona, options.targets)],
          reach: 'part',
          requestTimeoutMs: MINT_LIMIT_MS,
          attemptTimeoutMs: MINT_ATTEMPT_MS,
          caller,
          async *open({ key }, signal) {
            const request = tokenRequestFor(key, clientPersona, options);
            const token = await anam.mintToken(key, request, signal);
            tokens.remember(token, { keyId: key.id, clientPersona });
            yield token;
          },
          isLast: () => true,
          commit: onlyPiece,
        });
      } catch (error) {
        const isOurSetting = clientPersona === null && !options.hasPersona;
        throw isOurSetting && isUpstreamFailure(error) ? noPersona(error) : forCaller(error);
      }
    },
    start: (request, caller) =>
      startSession(request, caller, { ...options, anam: anamOrThrow(), tokens }),
    async passMetrics(body, caller) {
      const anam = anamOrThrow();
      return within(METRICS_LIMIT_MS, clock, caller, (signal) => anam.passMetrics(body, signal));
    },
  };
}

const isUpstreamFailure = (error: unknown) =>
  error instanceof ServiceError && error.code === 'upstream_failed';

const noPersona = (cause: unknown) =>
  new ServiceError('upstream_failed', 'No persona is configured. Set ANAM_PERSONA_ID.', { cause });

function forCaller(error: unknown): unknown {
  if (!(error instanceof UpstreamError)) return error;
  const { kind, message } = error.failure;
  if (kind !== 'request_fault') return upstreamFailed(error);
  return new ServiceError('invalid_request', `Anam refused this persona: ${message}`, {
    details: [{ path: 'personaConfig', message }],
    cause: error,
  });
}
