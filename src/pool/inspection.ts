import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { MINUTE_MS } from '../shared/clock.ts';
import type { Rejection } from '../shared/failure.ts';
import type { Target } from '../shared/target.ts';
import type { Candidate, Roster } from './candidate-set.ts';
import { isProbed } from './half-open.ts';
import { type Episode, type Finding, type Health, REMEMBERED_MS, type Scope } from './scope.ts';
import type { Cause, Effect } from './verdicts.ts';

/** Reads the pool and changes nothing. A target is named by its label. */
export interface Inspection {
  /** Default: the provider's first target. */
  counts(provider: ProviderName, target?: string): KeyCounts;
  /** In the order of the keys. */
  states(provider: ProviderName, target: string): readonly KeyState[];
  /** The keys that are not available: at most `limit`, of the first thousand keys. */
  skipped(provider: ProviderName, target: string, limit: number): readonly KeyState[];
  /** @returns null when there is no such key or target */
  facts(provider: ProviderName, target: string, id: string): KeyFacts | null;
  /** In one walk over the keys. */
  summary(provider: ProviderName, target: string): KeySummary;
  /** Of every provider. */
  keys(): readonly ApiKey[];
  /** Leases that have not ended yet. */
  inFlight(provider: ProviderName): number;
  /** The same of one key, also after it was removed. */
  inFlightOf(id: string): number;
  /** Whether all of several such keys were rejected within a minute, while others were not. */
  wereRejectedTogether(provider: ProviderName, isOne: (key: ApiKey) => boolean): boolean;
}

/** The keys of one target by their state; `total` is the sum of the others. */
export interface KeyCounts {
  readonly total: number;
  readonly available: number;
  /** Returns by itself. */
  readonly cooling_down: number;
  /** Needs action. */
  readonly exhausted: number;
}

export interface KeySummary {
  readonly counts: KeyCounts;
  /** The number of unavailable keys by cause. */
  readonly causes: Readonly<Partial<Record<Cause, number>>>;
  /** The first key to return by itself; null when none is cooling down. */
  readonly nextToReturn: KeyState | null;
}

/** The state of one key for one target, and its cause. Times are milliseconds since the epoch. */
export interface KeyState {
  readonly id: string;
  readonly state: 'available' | PublicEffect;
  readonly cause?: Cause;
  readonly rejection?: Rejection | undefined;
  readonly since?: number;
  readonly until?: number;
  readonly untilBy?: UntilBy;
}

/** Public counts call what needs action `exhausted`. */
type PublicEffect = 'cooling_down' | 'exhausted';

/** What sets a time: the provider, the operator, or a rule of ours, by which the key is only probed then. */
export type UntilBy = 'provider' | 'rule' | 'operator';

/** Everything known of one key for one target. Times are milliseconds since the epoch. */
export interface KeyFacts {
  readonly key: ApiKey;
  readonly target: Target;
  /** Leases that have not ended yet, of any target. */
  readonly inFlight: number;
  readonly state: KeyState;
  /** The key's scopes that are not ready, of any target. */
  readonly scopes: readonly ScopeState[];
  /** When the key was unavailable for this target within the last hour. */
  readonly history: readonly UnavailableTime[];
}

export interface UnavailableTime {
  readonly from: number;
  readonly to: number;
  readonly state: PublicEffect;
  readonly cause: Cause;
}

export interface ScopeState {
  readonly scope: (typeof SHARED)[number] | (typeof OF_TARGET)[number] | 'quota' | 'feature';
  /** Null where the scope is about all targets. */
  readonly target: Target | null;
  readonly state: 'parked' | 'half_open';
  /** Whether a probe is under way. */
  readonly isProbing: boolean;
  readonly cause: Cause;
  readonly rejection?: Rejection | undefined;
  readonly effect: Effect;
  readonly untilBy: UntilBy;
  readonly since: number;
  readonly until: number;
  /** What is special about the requests that are refused; empty where all are. */
  readonly features: readonly string[];
}

const SHARED = ['key', 'project', 'billing', 'operator'] as const;
const OF_TARGET = ['project_model', 'key_model', 'ejection'] as const;

const MAX_INSPECTED = 1000;

export function createInspection(
  { sets, keys, leaving }: Pick<Roster, 'sets' | 'keys' | 'leaving'>,
  now: () => number,
): Inspection {
  const candidatesFor = (provider: ProviderName, label?: string): readonly Candidate[] => {
    for (const [target, { candidates }] of sets) {
      const isAsked = target.provider === provider && (label ?? target.label) === target.label;
      if (isAsked) return candidates;
    }
    return [];
  };
  const statesFor = (provider: ProviderName, target?: string) => {
    const at = now();
    return candidatesFor(provider, target).map((candidate) => stateOf(candidate, at));
  };
  const leavingOf = (isAsked: (key: ApiKey) => boolean) =>
    [...leaving].reduce((sum, { key, inFlight }) => sum + (isAsked(key) ? inFlight : 0), 0);
  const inFlightOf = (id: string) =>
    (keys.get(id)?.inFlight ?? 0) + leavingOf((key) => key.id === id);
  return {
    counts: (provider, target) => summarise(candidatesFor(provider, target), now()).counts,
    states: statesFor,
    skipped(provider, target, limit) {
      const at = now();
      const states: KeyState[] = [];
      for (const candidate of candidatesFor(provider, target).slice(0, MAX_INSPECTED)) {
        if (states.length >= limit) break;
        const state = stateOf(candidate, at);
        if (state.state !== 'available') states.push(state);
      }
      return states;
    },
    facts(provider, label, id) {
      const candidate = keys
        .get(id)
        ?.candidates.find(
          ({ key, set }) => key.provider === provider && set.target.label === label,
        );
      if (candidate === undefined) return null;
      return factsOf(candidate, inFlightOf(id), now());
    },
    summary: (provider, target) => summarise(candidatesFor(provider, target), now()),
    keys: () => Array.from(keys.values(), ({ key }) => key),
    inFlight: (provider) =>
      candidatesFor(provider).reduce(
        (sum, { pooled }) => sum + pooled.inFlight,
        leavingOf((key) => key.provider === provider),
      ),
    inFlightOf,
    wereRejectedTogether(provider, isOne) {
      const candidates = candidatesFor(provider);
      const living = candidates.filter((one) => rejectedSince(one) === null);
      if (living.length === 0 || living.some(({ key }) => isOne(key))) return false;
      const times = candidates
        .filter(({ key }) => isOne(key))
        .map((one) => rejectedSince(one) ?? 0);
      return times.length > 1 && Math.max(...times) - Math.min(...times) <= MINUTE_MS;
    },
  };
}

function summarise(candidates: readonly Candidate[], now: number): KeySummary {
  const counts = { available: 0, cooling_down: 0, exhausted: 0 };
  const causes: Partial<Record<Cause, number>> = {};
  let nextToReturn: KeyState | null = null;
  for (const candidate of candidates) {
    const state = stateOf(candidate, now);
    counts[state.state] += 1;
    if (state.cause !== undefined) causes[state.cause] = (causes[state.cause] ?? 0) + 1;
    if (state.state === 'cooling_down') nextToReturn = sooner(nextToReturn, state);
  }
  return { counts: { total: candidates.length, ...counts }, causes, nextToReturn };
}

function rejectedSince({ scopes }: Candidate): number | null {
  const { health } = scopes.key;
  return health.state !== 'ready' && health.finding.cause === 'key_rejected'
    ? health.finding.since
    : null;
}

const sooner = (one: KeyState | null, other: KeyState): KeyState =>
  one === null || (other.until ?? 0) < (one.until ?? 0) ? other : one;

/**
 * What needs action outweighs what returns by itself, and stays until a probe has succeeded. A cooldown is
 * over once its time has passed, although a probe has to prove it.
 */
export function stateOf(candidate: Candidate, now: number): KeyState {
  const { id } = candidate.key;
  if (candidate.isUntroubled) return { id, state: 'available' };
  const { allScopes, ejection } = candidate;
  const longest = longestParked(allScopes, now);
  const decisive =
    allScopes.find(({ needsAction }) => needsAction) ?? longest ?? ejected(ejection.scope, now);
  if (decisive === null || decisive.health.state === 'ready') return { id, state: 'available' };
  const { effect, cause, rejection, since } = decisive.health.finding;
  const last = lastToEnd(decisive.health, longest?.health);
  const why = { state: publicly(effect), cause, rejection, since };
  return { id, ...why, until: last.until, untilBy: untilBy(last.finding) };
}

const publicly = (effect: Effect): PublicEffect =>
  effect === 'needs_action' ? 'exhausted' : effect;

function untilBy({ cause, isHinted }: Finding): UntilBy {
  if (cause === 'operator') return 'operator';
  return isHinted ? 'provider' : 'rule';
}

function longestParked(scopes: readonly Scope[], now: number): Scope | null {
  let longest: Scope | null = null;
  for (const scope of scopes) {
    const until = scope.parkedUntil(now);
    if (until > 0 && until > (longest?.parkedUntil(now) ?? 0)) longest = scope;
  }
  return longest;
}

/** Until its time has passed, even while the candidate is leased as the last resort. */
const ejected = (scope: Scope, now: number): Scope | null =>
  scope.health.state !== 'ready' && scope.health.until > now ? scope : null;

type NotReady = Exclude<Health, { readonly state: 'ready' }>;

/** A scope that needs action may be parked for longer by another one. */
const lastToEnd = (decisive: NotReady, longest: Health | undefined): NotReady =>
  longest === undefined || longest.state === 'ready' || longest.until < decisive.until
    ? decisive
    : longest;

function factsOf(candidate: Candidate, inFlight: number, now: number): KeyFacts {
  const { key, pooled, set, scopes, allScopes, ejection } = candidate;
  const shared = SHARED.map((name) => {
    const scope = scopes[name];
    return scope === null ? null : scopeState(name, null, scope, now);
  });
  const ofTargets = pooled.candidates.flatMap((one) =>
    OF_TARGET.map((name) =>
      scopeState(
        name,
        one.set.target,
        name === 'ejection' ? one.ejection.scope : one.scopes[name],
        now,
      ),
    ),
  );
  const episodes = [...allScopes, ejection.scope].flatMap((scope) => scope.episodes);
  return {
    key,
    target: set.target,
    inFlight,
    state: stateOf(candidate, now),
    scopes: [
      ...[...shared, ...ofTargets].filter((one) => one !== null),
      ...pooled.candidates.flatMap((one) => quotaState(one, now) ?? []),
      ...pooled.candidates.flatMap((one) => featureStates(one, now)),
    ],
    history: historyOf(episodes, now).map(({ effect, ...time }) => ({
      ...time,
      state: publicly(effect),
    })),
  };
}

function scopeState(
  name: ScopeState['scope'],
  target: Target | null,
  scope: Scope,
  now: number,
): ScopeState | null {
  const { health } = scope;
  if (health.state === 'ready') return null;
  const { until, finding } = health;
  const { cause, rejection, effect, since } = finding;
  // A park by the operator is over without a probe.
  if (cause === 'operator' && until <= now) return null;
  const isProbing = isProbed(scope, now);
  const state = isProbing || until <= now ? 'half_open' : 'parked';
  const by = untilBy(finding);
  const what = { scope: name, target, state, isProbing, features: [] } as const;
  return { ...what, cause, rejection, effect, untilBy: by, since, until };
}

const featureStates = ({ key, set }: Candidate, now: number): readonly ScopeState[] =>
  set.features.of(key.project, now).map((park) => ({
    ...({ scope: 'feature', target: set.target, state: 'parked', isProbing: false } as const),
    ...({ effect: 'cooling_down', untilBy: 'rule', ...park } as const),
  }));

function quotaState({ set: { target }, quota }: Candidate, now: number): ScopeState | null {
  const until = quota.fullUntil(now);
  if (until <= now) return null;
  const what = { scope: 'quota', target, state: 'parked', isProbing: false } as const;
  const why = { cause: 'paced', effect: 'cooling_down', untilBy: 'rule' } as const;
  return { ...what, ...why, since: quota.fullSince, until, features: [] };
}

/** The last hour of a candidate from the episodes of all its scopes, the gravest where they overlap, oldest first. */
function historyOf(all: readonly Episode[], now: number): readonly Episode[] {
  const start = now - REMEMBERED_MS;
  const episodes = all.filter(({ from, to }) => to > start && from < now);
  const cuts = [...new Set(episodes.flatMap(({ from, to }) => [from, to]).concat(start, now))]
    .filter((at) => at >= start && at <= now)
    .sort((a, b) => a - b);
  return joined(cuts.flatMap((from, index) => gravestBetween(from, cuts[index + 1], episodes)));
}

function gravestBetween(
  from: number,
  to: number | undefined,
  episodes: readonly Episode[],
): readonly Episode[] {
  if (to === undefined) return [];
  const [gravest] = episodes
    .filter((episode) => episode.from <= from && episode.to >= to)
    .sort(byGravity);
  return gravest === undefined ? [] : [{ ...gravest, from, to }];
}

/** What needs action comes first, then what lasts longer. */
const byGravity = (a: Episode, b: Episode) =>
  Number(b.effect === 'needs_action') - Number(a.effect === 'needs_action') || b.to - a.to;

/** Joins neighbours with the same cause and effect. */
function joined(episodes: readonly Episode[]): readonly Episode[] {
  const result: Episode[] = [];
  for (const episode of episodes) {
    const last = result.at(-1);
    const goesOn =
      last?.to === episode.from && last.effect === episode.effect && last.cause === episode.cause;
    if (goesOn) result[result.length - 1] = { ...last, to: episode.to };
    else result.push(episode);
  }
  return result;
}
