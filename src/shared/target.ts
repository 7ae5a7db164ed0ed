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
  readonly use: TargetUse;
  /** Whether the call uses a quota. An unmetered call neither proves nor disproves one. */
  readonly metered: boolean;
  /** Whose persona an avatar session shows; null where there is none. */
  readonly persona: PersonaOwner | null;
  /** What log lines and metrics show of it. */
  readonly labels: TargetLabels;
}

/** `live` mints tokens for Live sessions; `free` is a call that uses no quota. */
export type TargetUse = 'chat' | 'embeddings' | 'session' | 'live' | 'free';

export type PersonaOwner = 'ours' | 'callers';

interface TargetLabels {
  readonly model?: string;
  readonly persona?: PersonaOwner;
}

export const modelTarget = (provider: ProviderName, model: string): Target => ({
  provider,
  label: model,
  model,
  use: 'chat',
  metered: true,
  persona: null,
  labels: { model },
});

export const embeddingTarget = (provider: ProviderName, model: string): Target => ({
  ...modelTarget(provider, model),
  use: 'embeddings',
});

export const unmeteredTarget = (provider: ProviderName): Target => ({
  provider,
  label: 'unmetered',
  model: null,
  use: 'free',
  metered: false,
  persona: null,
  labels: {},
});

/** Minting a token uses no quota of the model. Its refusals are parked apart from those of answers. */
export const liveTarget = (provider: ProviderName, liveModel: string): Target => ({
  ...unmeteredTarget(provider),
  label: 'live-tokens',
  use: 'live',
  labels: { model: liveModel },
});

export const personaTarget = (provider: ProviderName, persona: PersonaOwner): Target => ({
  provider,
  label: `${persona === 'ours' ? 'our' : 'callers'}-persona`,
  model: null,
  use: 'session',
  metered: true,
  persona,
  labels: { persona },
});

/** @throws Error for a target without a model */
export function modelOf({ model, label }: Target): string {
  if (model === null) throw new Error(`the target ${label} names no model`);
  return model;
}

/** By the name that a caller may use. Several providers may have a model of the same name. */
export type ServedModels = ReadonlyMap<string, readonly [Target, ...Target[]]>;

/**
 * The models of these targets, then the aliases that lead to one of them.
 *
 * @param aliases the name of the model, by the alias
 */
export function servedModels(
  targets: readonly Target[],
  aliases: ReadonlyMap<string, string>,
): ServedModels {
  const served = new Map<string, readonly [Target, ...Target[]]>();
  for (const target of targets) {
    const name = modelOf(target);
    served.set(name, [...(served.get(name) ?? []), target] as readonly [Target, ...Target[]]);
  }
  for (const [alias, name] of aliases) {
    const its = served.get(name);
    if (its !== undefined) served.set(alias, its);
  }
  return served;
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
