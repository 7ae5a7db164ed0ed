import { isFilled, isObject, type JsonObject } from '../json.ts';

/** One fault of a body, as Anam lists it. */
export interface BodyFault {
  readonly path: string;
  readonly message: string;
  readonly code: string;
}

/** A persona that is saved in an account, or one that lives as long as its session. */
export type Persona =
  | { readonly type: 'stateful'; readonly personaId: string }
  | { readonly type: 'ephemeral' };

/** @returns the persona that a token is asked for, or what is wrong with the body. */
export function readPersona(body: unknown): Persona | readonly BodyFault[] {
  const config = isObject(body) ? body.personaConfig : undefined;
  if (!isObject(config)) return [missing('personaConfig', config)];
  const { personaId } = config;
  if (isFilled(personaId)) return { type: 'stateful', personaId };
  const faults = REQUIRED.filter((name) => !isFilled(config[name]));
  if (faults.length === 0) return { type: 'ephemeral' };
  return faults.map((name) => missing(`personaConfig.${name}`, config[name]));
}

/** What an ephemeral persona cannot do without. */
const REQUIRED = ['name', 'avatarId', 'voiceId'] as const satisfies readonly (keyof JsonObject)[];

const missing = (path: string, value: unknown): BodyFault => ({
  path,
  message: value === undefined ? 'Required' : 'Invalid value',
  code: 'invalid_type',
});
