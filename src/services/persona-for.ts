import type { TokenRequest } from '../providers/anam/anam-api.ts';
import type { ApiKey, Persona } from '../shared/api-key.ts';
import { UpstreamError } from '../shared/failure.ts';
import { type Target, targetWhere } from '../shared/target.ts';

export interface PersonaOptions {
  /** Anam's. */
  readonly targets: readonly Target[];
  /** Our own persona; a key may bring one of its own account instead. */
  readonly persona: Persona | null;
  /** Whether there is any persona, ours or of some key. */
  readonly hasPersona: boolean;
}

/**
 * That a key's account lacks our persona says nothing about those that callers bring.
 *
 * @param clientPersona the persona that the caller brought; null for ours
 */
export function targetFor(
  clientPersona: Readonly<Record<string, unknown>> | null,
  targets: readonly Target[],
): Target {
  const owner = clientPersona === null ? 'ours' : 'callers';
  return targetWhere(targets, ({ persona }) => persona === owner);
}

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
