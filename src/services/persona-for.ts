import type { TokenRequest } from '../providers/anam/anam-api.ts';
import type { ApiKey, Persona } from '../shared/api-key.ts';
import { UpstreamError } from '../shared/failure.ts';

export interface PersonaOptions {
  /** Our own persona; a key may bring one of its own account instead. */
  readonly persona: Persona | null;
  /** Whether there is any persona, ours or of some key. */
  readonly hasPersona: boolean;
}

/**
 * Anam has no models. What takes their place is whose persona is asked for: that a key's account
 * lacks ours says nothing about those that callers bring.
 */
const LANES = { ours: 'our-persona', callers: 'callers-persona' } as const;
export const AVATAR_LANES = [LANES.ours, LANES.callers] as const;

/** @param clientPersona the persona that the caller brought; null for ours */
export const laneFor = (clientPersona: Readonly<Record<string, unknown>> | null): string =>
  clientPersona === null ? LANES.ours : LANES.callers;

/** What a token is asked for with this key: the persona that the caller brought, else ours. */
export const tokenRequestFor = (
  key: ApiKey,
  clientPersona: Readonly<Record<string, unknown>> | null,
  options: PersonaOptions,
): TokenRequest =>
  clientPersona === null
    ? { persona: ourPersona(key, options), personaOf: 'ours' }
    : { persona: { config: clientPersona }, personaOf: 'callers' };

/** A saved persona belongs to one account, so that of the key's own account comes first. */
function ourPersona({ personaId }: ApiKey, { persona, hasPersona }: PersonaOptions): Persona {
  if (personaId !== undefined) return { personaId };
  if (persona !== null) return persona;
  const message = 'no persona is set: ANAM_PERSONA_ID, ANAM_PERSONA_CONFIG or one of this key';
  throw new UpstreamError(
    hasPersona
      ? { kind: 'model_unavailable', whose: 'key', message }
      : { kind: 'misconfigured', message },
  );
}
