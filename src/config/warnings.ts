import type { ApiKey, Persona } from '../shared/api-key.ts';
import { keyVariableName } from './key-variables.ts';

interface OriginSettings {
  readonly isProduction: boolean;
  readonly corsOrigins: 'localhost' | readonly string[];
}

/** Pages of other origins are let in nowhere by default in production, which looks like a broken server. */
export function originWarnings({ isProduction, corsOrigins }: OriginSettings): readonly string[] {
  if (!isProduction || corsOrigins.length > 0) return [];
  return ["CORS_ORIGINS is not set: only pages of this server's own origin may call it."];
}

interface PersonaSettings {
  readonly keys: readonly ApiKey[];
  readonly persona: Persona | null;
  readonly allowClientPersona: boolean;
}

/** An Anam key without a persona can start nothing. */
export function personaWarnings({
  keys,
  persona,
  allowClientPersona,
}: PersonaSettings): readonly string[] {
  const without = keys.find((key) => key.service === 'anam' && key.personaId === undefined);
  if (without === undefined || persona !== null || allowClientPersona) return [];
  const own = `${keyVariableName('anam', without.id.slice('anam-'.length))}_PERSONA_ID`;
  return [
    `${without.id} has no persona to show: set ANAM_PERSONA_ID or ANAM_PERSONA_CONFIG, or ${own} for this key alone.`,
  ];
}
