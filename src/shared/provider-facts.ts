import type { ApiKey, ProviderName } from './api-key.ts';
import type { QuotaLimits } from './failure.ts';
import type { Target } from './target.ts';

/**
 * What the layers may know of a provider without knowing which one it is; the whole record is in
 * `providers/provider.ts`.
 *
 * @typeParam Settings what of the settings it needs
 */
export interface ProviderFacts<Settings = never> {
  readonly name: ProviderName;
  /** What the names of its variables begin with: `GOOGLE` for `GOOGLE_API_KEY_2`. */
  readonly prefix: string;
  /** What people write instead: a variable that begins so and looks like a key gets a warning. */
  readonly mistakenPrefixes?: readonly string[];
  /** Whether a key may name a persona of its account: `ANAM_API_KEY_2_PERSONA_ID`. */
  readonly hasPersonas?: boolean;
  /** Whether a key may name the account that pays for its project: `GOOGLE_API_KEY_2_BILLING`. */
  readonly hasBillingAccounts?: boolean;
  /** Whether a text has the shape of its keys. It only warns: no key is refused by its shape. Left out where the shape is not known. */
  looksLike?(text: string): boolean;
  /** A kind of key that the provider may give up as a whole: then it is neither theft nor quota. */
  readonly retiredKeys?: RetiredKeys;
  /** Where its keys and their accounts are managed. */
  readonly keysPage?: string;
  /** Where it says whether it has an outage. */
  readonly statusPage?: string;
  /** `gen_ai_provider_name` in the metrics, as OpenTelemetry calls it. */
  readonly metricName: string;
  /** To a caller, when no key can answer. */
  readonly exhaustedMessage: string;
  /** In the start report, where no key is set. */
  readonly withoutKeys: string;
  /** What its keys are asked for, the default first. Called once, as targets are compared by identity. */
  createTargets(settings: Settings): readonly [Target, ...Target[]];
  /** The limits of every project for a target that the settings state. */
  statedLimits?(settings: Settings, target: Target): QuotaLimits;
  /** Whether its base URL in the settings is another than its own: a gateway, or a stand-in. */
  hasOtherAddress?(settings: Settings): boolean;
  /** In the start report: what the keys do. */
  describeUse(settings: Settings): string;
  /** What looks wrong in the settings, one sentence each. */
  warningsFor?(settings: Settings & { readonly keys: readonly ApiKey[] }): readonly string[];
}

export interface RetiredKeys {
  isOne(key: ApiKey): boolean;
  /** Why they are rejected, for people. */
  readonly cause: string;
}

/**
 * The name of the variable that holds a key: `GOOGLE_API_KEY_2`.
 *
 * @param number without leading zeros; empty for the unnumbered one
 */
export const keyVariable = ({ prefix }: Pick<ProviderFacts, 'prefix'>, number = ''): string =>
  `${prefix}_API_KEY${number === '' ? '' : `_${number}`}`;

/** The name of another provider whose keys look like this one. Null: none. */
export function otherProviderOf(
  text: string,
  own: ProviderName,
  providers: readonly Pick<ProviderFacts, 'name' | 'looksLike'>[],
): ProviderName | null {
  const isOwn = providers.find(({ name }) => name === own)?.looksLike?.(text) === true;
  const other = providers.find(({ name, looksLike }) => name !== own && looksLike?.(text) === true);
  return isOwn ? null : (other?.name ?? null);
}

/** @throws Error when no provider has this name */
export function providerOf<P extends Pick<ProviderFacts, 'name'>>(
  providers: readonly P[],
  name: ProviderName,
): P {
  const provider = providers.find((candidate) => candidate.name === name);
  if (provider === undefined) throw new Error(`no provider is called ${name}`);
  return provider;
}

/**
 * What looks wrong about a key's text, one sentence each, without the text.
 *
 * @param name of the provider that the key is for
 */
export function shapeWarnings(
  text: string,
  name: ProviderName,
  providers: readonly Pick<ProviderFacts, 'name' | 'looksLike'>[],
): readonly string[] {
  const other = otherProviderOf(text, name, providers);
  if (other !== null) return [`This looks like a key of ${other}, not of ${name}.`];
  const isStrange = providerOf(providers, name).looksLike?.(text) === false;
  return isStrange ? [`This does not look like a key of ${name}.`] : [];
}
