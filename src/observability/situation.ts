import type { KeyState } from '../pool/inspection.ts';
import { isoTime } from '../shared/clock.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import type { Target } from '../shared/target.ts';
import { MAX_NAMED_KEYS, type Situation } from './reports.ts';
import type { ProviderTroubles } from './troubles.ts';

export interface ServiceFacts {
  readonly provider: Pick<
    ProviderFacts,
    'name' | 'prefix' | 'hasPersonas' | 'keysPage' | 'statusPage'
  >;
  /** Whether its base URL is another than the provider's own. */
  readonly hasOtherAddress: boolean;
  /** When the last check began that found a key working, in milliseconds since the epoch; 0 for never. */
  readonly checkWorkedAt: number;
  /** The default first. */
  readonly models: readonly ModelFacts[];
  readonly troubles: ProviderTroubles;
  /** Why a whole kind of key is rejected; null where that is not the reason. */
  readonly retiredCause: string | null;
}

export interface ModelFacts {
  readonly target: Pick<Target, 'label' | 'use'>;
  /** Of every key. */
  readonly states: readonly KeyState[];
}

/** The fields that every situation must give; the others have defaults. */
type Given = Partial<Situation> &
  Pick<Situation, 'kind' | 'look' | 'sentence' | 'fault' | 'remedy'>;

export function situation(now: number, given: Given): Situation {
  const { kind, service = null, model = null, client = null, cause = kind } = given;
  const id = [
    FAMILIES[kind] ?? kind,
    service,
    model,
    client,
    SEVERAL_CAUSES.has(kind) ? cause : null,
  ];
  return {
    id: id.filter((part) => part !== null).join(':'),
    ...{ service, model, client, cause, title: given.sentence },
    ...{ keys: [], keysInAll: 0, requestsAffected: 0 },
    ...{ since: isoTime(now), until: null, untilText: null, link: null },
    ...given,
  };
}

/** Kinds that are one situation: which of them is seen may change from one moment to the next. */
const FAMILIES: Partial<Record<Situation['kind'], Situation['kind']>> = {
  provider_slow: 'provider_down',
  network: 'provider_down',
};

/** Kinds of which there may be one for each cause. */
const SEVERAL_CAUSES: ReadonlySet<Situation['kind']> = new Set([
  'key_needs_action',
  'client_limit',
  'other_model',
]);

/** Why something fails, and what to do about it. */
export type Reason = Pick<Situation, 'kind' | 'sentence' | 'fault' | 'remedy'> & Partial<Situation>;

/** `Google`. */
export const titleOf = ({
  provider: { name },
}: {
  readonly provider: Pick<ProviderFacts, 'name'>;
}) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`;

export function named(ids: readonly string[]): Pick<Situation, 'keys' | 'keysInAll'> {
  const all = [...new Set(ids)];
  return { keys: all.slice(0, MAX_NAMED_KEYS), keysInAll: all.length };
}

const MAX_LISTED = 3;

/** `google, google-2, and 4 more`. */
export function listOf(ids: readonly string[]): string {
  const more = ids.length - MAX_LISTED;
  const names = [...ids.slice(0, MAX_LISTED), ...(more > 0 ? [`${more} more`] : [])];
  return new Intl.ListFormat('en').format(names);
}
