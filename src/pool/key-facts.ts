import type { ApiKey } from '../shared/api-key.ts';
import type { Target } from '../shared/target.ts';
import type { Candidate } from './candidate.ts';
import type { Cause } from './health.ts';
import { historyOf, type Stretch } from './history.ts';
import { describeCandidate, type KeyState, type UntilBy, untilBy } from './key-state.ts';
import type { Scope } from './scope.ts';
import type { Effect } from './verdicts.ts';

/** All that is known of one key, seen from one of its targets. */
export interface KeyFacts {
  readonly key: ApiKey;
  readonly target: Target;
  /** Leases that have not ended yet, of any model. */
  readonly inFlight: number;
  readonly state: KeyState;
  /** Every scope of the key's that is not ready, whichever model it concerns. */
  readonly scopes: readonly ScopeState[];
  /** When the key could not be had for this model within the last hour. */
  readonly history: readonly Stretch[];
}

export interface ScopeState {
  readonly scope: ScopeName;
  /** The target that it is about; null where it is about all. */
  readonly target: Target | null;
  readonly state: 'parked' | 'half_open';
  /** Whether an attempt is finding out just now. */
  readonly isBeingTried: boolean;
  readonly cause: Cause;
  readonly effect: Effect;
  readonly untilBy: UntilBy;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
}

export type ScopeName = (typeof SHARED)[number] | (typeof OF_MODEL)[number];

/** The same in every lane, and one in each. */
const SHARED = ['key', 'project', 'operator'] as const;
const OF_MODEL = ['project_model', 'key_model', 'rest'] as const;

/**
 * @param entry the key in the lane of the model that is asked for
 * @param siblings the same key in every lane, that one included
 */
export function factsOf(entry: Candidate, siblings: readonly Candidate[], now: number): KeyFacts {
  const { key, set, use } = entry;
  const shared = SHARED.map((name) => describeScope(name, null, entry.scopes[name], now));
  const ofModels = siblings.flatMap((one) =>
    OF_MODEL.map((name) => describeScope(name, one.set.target, scopeOf(one, name), now)),
  );
  return {
    key,
    target: set.target,
    inFlight: use.inFlight,
    state: describeCandidate(entry, now),
    scopes: [...shared, ...ofModels].filter((one) => one !== null),
    history: historyOf(entry, now),
  };
}

const scopeOf = ({ scopes, rest }: Candidate, name: (typeof OF_MODEL)[number]): Scope =>
  name === 'rest' ? rest : scopes[name];

function describeScope(
  scope: ScopeName,
  target: Target | null,
  found: Scope,
  now: number,
): ScopeState | null {
  const { health } = found;
  if (health.state === 'ready' || isOver(health.finding.cause, health.until, now)) return null;
  const { cause, effect, since } = health.finding;
  const isBeingTried = found.isBeingProbed(now);
  const state = isBeingTried || health.until <= now ? 'half_open' : 'parked';
  return {
    scope,
    target,
    state,
    isBeingTried,
    cause,
    effect,
    untilBy: untilBy(health.finding),
    since,
    until: health.until,
  };
}

/** What the operator said needs no proof. */
const isOver = (cause: Cause, until: number, now: number) => cause === 'operator' && until <= now;
