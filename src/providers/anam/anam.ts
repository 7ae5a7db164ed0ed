import type { Persona } from '../../shared/api-key.ts';
import { keyVariable } from '../../shared/provider-facts.ts';
import { personaTarget, unmeteredTarget } from '../../shared/target.ts';
import type { Provider } from '../provider.ts';
import { createAnam } from './anam-api.ts';

export interface AnamSettings {
  readonly anamBaseUrl: string;
  readonly persona: Persona | null;
  readonly allowClientPersona: boolean;
}

/** Avatars by Anam (https://docs.anam.ai). */
export const anam: Provider<AnamSettings> = {
  name: 'anam',
  prefix: 'ANAM',
  hasPersonas: true,
  keysPage: 'https://lab.anam.ai',
  metricName: 'anam',
  exhaustedMessage: 'All Anam API keys exhausted. Please try again later.',
  withoutKeys: 'no key, so there is no avatar. Set ANAM_API_KEY if there is to be one.',

  createTargets: () => [
    personaTarget('anam', 'ours'),
    personaTarget('anam', 'callers'),
    unmeteredTarget('anam'),
  ],

  hasOtherAddress: ({ anamBaseUrl }) => !new URL(anamBaseUrl).host.endsWith('.anam.ai'),

  describeUse({ persona, allowClientPersona }) {
    const ours = persona === null ? 'no persona for all keys' : 'a persona for all keys';
    return allowClientPersona ? `${ours}, and callers may bring their own` : ours;
  },

  /** A key without a persona can start nothing. */
  warningsFor({ keys, persona, allowClientPersona }) {
    const without = keys.find((key) => key.provider === 'anam' && key.personaId === undefined);
    if (without === undefined || persona !== null || allowClientPersona) return [];
    const own = `${keyVariable(anam, without.id.slice('anam-'.length))}_PERSONA_ID`;
    return [
      `${without.id} has no persona to show: set ANAM_PERSONA_ID or ANAM_PERSONA_CONFIG, or ${own} for this key alone.`,
    ];
  },

  createKeyCheck: ({ anamBaseUrl: baseUrl }, context) =>
    createAnam({ ...context, baseUrl }).checkKey,
};
