import type { ApiKey, Service } from './api-key.ts';

/** `google`, `anam`: the ids of its keys begin with it, and public JSON calls it the service. */
export type ProviderName = Service;

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
  readonly mistakenPrefixes: readonly string[];
  /** Whether a key may bring a persona of its own account: `ANAM_API_KEY_2_PERSONA_ID`. */
  readonly hasPersonas: boolean;
  /** `gen_ai_provider_name` in the metrics, as OpenTelemetry calls it. */
  readonly metricName: string;
  /** To a caller, when no key can answer. */
  readonly exhaustedMessage: string;
  /** In the start report, where no key is set. */
  readonly withoutKeys: string;
  /** In the start report: what the keys do. */
  describeUse(settings: Settings): string;
  /** What looks wrong in the settings, one sentence each. */
  warningsFor(settings: Settings & { readonly keys: readonly ApiKey[] }): readonly string[];
}

/**
 * The name of the variable that holds a key: `GOOGLE_API_KEY_2`.
 *
 * @param number without leading zeros; empty for the unnumbered one
 */
export const keyVariable = ({ prefix }: Pick<ProviderFacts, 'prefix'>, number = ''): string =>
  `${prefix}_API_KEY${number === '' ? '' : `_${number}`}`;
