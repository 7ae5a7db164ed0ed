import type { ApiKey } from '../shared/api-key.ts';
import { UpstreamError } from '../shared/failure.ts';
import type { Persona } from '../shared/persona.ts';
import { upstreamFailed } from './conclusion.ts';
import type { Failover } from './failover.ts';
import type { Answer, Caller } from './failover-request.ts';
import { ServiceError } from './service-error.ts';

/**
 * Anam has no models. What takes their place is whose persona is asked for: that a key's account
 * lacks ours says nothing about those that callers bring.
 */
const OUR_PERSONA = 'our-persona';
const CALLERS_PERSONA = 'callers-persona';
export const AVATAR_LANES = [OUR_PERSONA, CALLERS_PERSONA] as const;

export interface AvatarSessionOptions {
  readonly failover: Failover;
  readonly mint: MintToken;
  /** Our own persona; a key may bring one of its own account instead. */
  readonly persona: Persona | null;
  /** Whether there is any persona, ours or of some key. */
  readonly hasPersona: boolean;
}

/** How a session token is asked for, with one key. */
export type MintToken = (
  key: ApiKey,
  request: { readonly persona: Persona; readonly personaOf: 'ours' | 'callers' },
  signal: AbortSignal,
) => Promise<string>;

export interface AvatarSession {
  /**
   * A token that lets one browser start one avatar session within the hour.
   *
   * @param clientPersona the caller's own persona config, or null for ours
   * @throws ServiceError
   */
  mintToken(clientPersona: Record<string, unknown> | null, caller: Caller): Promise<string>;
}

export function createAvatarSession(options: AvatarSessionOptions): AvatarSession {
  const { failover, mint } = options;
  const requestFor = (key: ApiKey, clientPersona: Record<string, unknown> | null) =>
    clientPersona === null
      ? ({ persona: personaFor(key, options), personaOf: 'ours' } as const)
      : ({ persona: { config: clientPersona }, personaOf: 'callers' } as const);
  return {
    async mintToken(clientPersona, caller) {
      try {
        return await failover({
          service: 'anam',
          models: [clientPersona === null ? OUR_PERSONA : CALLERS_PERSONA],
          caller,
          async *open({ key }, signal) {
            yield await mint(key, requestFor(key, clientPersona), signal);
          },
          isLast: () => true,
          commit: theToken,
        });
      } catch (error) {
        const isOurSetting = clientPersona === null && !options.hasPersona;
        throw isOurSetting && isUpstreamFailure(error) ? noPersona(error) : forCaller(error);
      }
    },
  };
}

/** A saved persona belongs to one account, so that of the key's own account comes first. */
function personaFor({ personaId }: ApiKey, { persona, hasPersona }: AvatarSessionOptions): Persona {
  if (personaId !== undefined) return { personaId };
  if (persona !== null) return persona;
  const message = 'no persona is set: ANAM_PERSONA_ID, ANAM_PERSONA_CONFIG or one of this key';
  throw new UpstreamError(
    hasPersona
      ? { kind: 'model_unavailable', whose: 'key', message }
      : { kind: 'misconfigured', message },
  );
}

async function theToken({ chunks }: Answer<string>): Promise<string> {
  let token = '';
  for await (const chunk of chunks) token = chunk;
  return token;
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
