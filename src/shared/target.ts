import type { ProviderName } from './api-key.ts';

/**
 * What a provider is asked for with a key. The pool keeps one candidate set for each target.
 * Targets are compared by identity: each is created once, at the start.
 */
export interface Target {
  readonly provider: ProviderName;
  /** Unique within the provider. Reports and Redis use it as a name; code reads the other fields. */
  readonly label: string;
  /** Null where the call names no model or does not depend on one. */
  readonly model: string | null;
  /** Whether the call uses a quota. An unmetered call neither proves nor disproves one. */
  readonly metered: boolean;
  /** Whose persona an avatar session shows; null where there is none. */
  readonly persona: PersonaOwner | null;
  /** The model of the Live sessions for which tokens are minted; null for anything else. */
  readonly liveModel: string | null;
  /** What log lines and metrics show of it. */
  readonly labels: TargetLabels;
}

export type PersonaOwner = 'ours' | 'callers';

interface TargetLabels {
  readonly model?: string;
  readonly persona?: PersonaOwner;
}

export const modelTarget = (provider: ProviderName, model: string): Target => ({
  provider,
  label: model,
  model,
  metered: true,
  persona: null,
  liveModel: null,
  labels: { model },
});

export const unmeteredTarget = (provider: ProviderName): Target => ({
  provider,
  label: 'unmetered',
  model: null,
  metered: false,
  persona: null,
  liveModel: null,
  labels: {},
});

/** To mint a token uses no quota of the model. What refuses it is parked apart from what refuses answers. */
export const liveTarget = (provider: ProviderName, liveModel: string): Target => ({
  provider,
  label: 'live-tokens',
  model: null,
  metered: false,
  persona: null,
  liveModel,
  labels: { model: liveModel },
});

export const personaTarget = (provider: ProviderName, persona: PersonaOwner): Target => ({
  provider,
  label: `${persona === 'ours' ? 'our' : 'callers'}-persona`,
  model: null,
  metered: true,
  persona,
  liveModel: null,
  labels: { persona },
});

/** @throws Error for a target without a model */
export function modelOf({ model, label }: Target): string {
  if (model === null) throw new Error(`the target ${label} names no model`);
  return model;
}

/** The default of each provider: its first target. */
export const defaultTargets = (targets: readonly Target[]): readonly Target[] =>
  targets.filter(
    ({ provider }, index) => targets.findIndex((other) => other.provider === provider) === index,
  );

/** @throws Error where there is no such target */
export function targetWhere(
  targets: readonly Target[],
  isWanted: (target: Target) => boolean,
): Target {
  const target = targets.find(isWanted);
  if (target === undefined) throw new Error('a target is missing');
  return target;
}
