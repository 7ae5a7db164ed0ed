import type { ProviderName } from '../shared/api-key.ts';
import type { Rejection } from '../shared/failure.ts';
import type { Cause, Effect, ScopeKind } from './verdicts.ts';

/**
 * How much of a key an attempt uses. Minting a token or counting tokens is a `part`: it does not use the
 * minutes or the quota, so its success proves nothing about them.
 */
export type Reach = 'part' | 'whole';

export const coversReach = (reach: Reach, other: Reach): boolean =>
  reach === 'whole' || other === 'part';

/** Why a scope is not ready. */
export interface Finding {
  readonly cause: Cause;
  /** Of a rejected key. Undefined where the provider does not say why. */
  readonly rejection?: Rejection | undefined;
  readonly effect: Effect;
  /** Of the attempt that found it. */
  readonly reach: Reach;
  /** Whether the provider set the time. */
  readonly isHinted: boolean;
  /** Since when the cause holds: milliseconds since the epoch. */
  readonly since: number;
  /** The event up to which the finding knows what happened. */
  readonly foundAt: number;
}

/** What a scope is about; other instances know the scope by it. */
export interface Subject {
  readonly kind: ScopeKind | 'operator';
  readonly provider: ProviderName;
  /** The id of a key, or a project. */
  readonly of: string;
  /** The label of a target; null where the scope is about all of them. */
  readonly target: string | null;
}

export const nameOf = ({ kind, provider, of, target }: Subject): string =>
  [kind, provider, of, target].join('\n');

/** What instances share about a scope. */
export interface SharedHealth {
  /** The event of the last opening or release; 0 for never. */
  readonly openedAt: number;
  readonly found: { readonly until: number; readonly finding: Finding } | null;
}

/**
 * The health of a scope. A parked scope is half-open once its `until` has passed: nothing happens at that
 * moment, the time is compared at the next call. `half-open.ts` holds the transitions of a probe.
 */
export type Health =
  | { readonly state: 'ready' }
  | (NotReady & {
      readonly state: 'parked';
      /** The request by which the other instances left the next probe to this one; null without one. */
      readonly permit: object | null;
    })
  | (NotReady & {
      readonly state: 'probing';
      /** The event at which the lease that probes was granted. */
      readonly lease: number;
    })
  /** Another instance probes, or is asked whether it does. */
  | (NotReady & { readonly state: 'probing_elsewhere'; readonly expiresAt: number });

/** Times are milliseconds since the epoch. */
interface NotReady {
  readonly until: number;
  readonly finding: Finding;
}

/** A candidate, as its scopes know it. */
export interface ScopeDependent {
  /** Recalculates where the candidate belongs. */
  scopeChanged(now: number): void;
}

export const READY: Health = { state: 'ready' };

/**
 * What a finding is about, with its present health. Leases, openings and findings are events, which are
 * numbered by the time: a scope recognises a finding that is older than its last opening.
 */
export class Scope {
  /** Null for a scope that is not shared. */
  readonly subject: Subject | null;
  readonly dependents: ScopeDependent[] = [];
  /** Whether other instances must permit each probe. */
  readonly needsPermits: boolean;
  #health: Health = READY;
  #openedAt = 0;
  #episodes: readonly Episode[] = [];

  constructor(subject: Subject | null = null, needsPermits = false) {
    this.subject = subject;
    this.needsPermits = needsPermits;
  }

  get health(): Health {
    return this.#health;
  }

  get sharedHealth(): SharedHealth {
    const health = this.#health;
    return { openedAt: this.#openedAt, found: health.state === 'ready' ? null : health };
  }

  /** When the scope was parked within the last hour, oldest first. */
  get episodes(): readonly Episode[] {
    return this.#episodes;
  }

  /** Milliseconds since the epoch until which the scope is parked; 0 where it is not. */
  parkedUntil(now: number): number {
    const health = this.#health;
    return health.state === 'parked' && health.until > now ? health.until : 0;
  }

  get needsAction(): boolean {
    return this.#health.state !== 'ready' && this.#health.finding.effect === 'needs_action';
  }

  /** For `half-open.ts`: neither an opening nor a finding. */
  replaceHealth(health: Health): void {
    this.#health = health;
  }

  open(event: number, now: number): void {
    this.#health = READY;
    this.#openedAt = event;
    this.#episodes = withEnd(this.#episodes, now);
  }

  /**
   * Parks the scope, or parks it longer: a later, weaker finding never shortens a stronger one.
   * A finding from before the last opening changes nothing.
   */
  park(until: number, finding: Finding): void {
    if (finding.foundAt < this.#openedAt) return;
    const health = this.#health;
    const isWeaker = health.state === 'parked' && health.until >= until;
    if (isWeaker) return;
    this.#become(until, strengthened(finding, health), finding.since);
  }

  /** Replaces an earlier park by the operator, be it longer or shorter. */
  parkByOperator(event: number, until: number, now: number): void {
    this.open(event, now);
    this.#become(until, { ...OPERATORS_FINDING, since: now, foundAt: event }, now);
  }

  /**
   * Merges what another instance knows: the last opening, and of the findings since then the longest, as new
   * as the newest. The order makes a difference only for an opening between two findings, so what instances have
   * merged is published where the store may lack it.
   *
   * @returns whether anything changed
   */
  merge({ openedAt, found }: SharedHealth, now: number): boolean {
    const before = this.#health;
    if (openedAt > this.#openedAt) this.#mergeOpening(openedAt, now);
    if (found !== null && found.finding.foundAt >= this.#openedAt) this.#mergeFinding(found);
    return this.#health !== before;
  }

  #mergeOpening(openedAt: number, now: number): void {
    const health = this.#health;
    if (health.state === 'ready' || health.finding.foundAt < openedAt) this.open(openedAt, now);
    else this.#openedAt = openedAt;
  }

  #mergeFinding({ until, finding }: NotReady): void {
    const health = this.#health;
    if (health.state === 'ready') this.#become(until, finding, finding.since);
    else if (until > health.until) this.park(until, finding);
    else if (finding.foundAt > health.finding.foundAt) {
      this.#health = { ...health, finding: { ...health.finding, foundAt: finding.foundAt } };
    }
  }

  #become(until: number, finding: Finding, now: number): void {
    this.#health = { state: 'parked', until, finding, permit: null };
    this.#episodes = withEpisode(this.#episodes, finding, until, now);
  }
}

/** What an earlier finding that is not disproved yet adds to a new one. */
function strengthened(finding: Finding, before: Health): Finding {
  if (before.state === 'ready') return finding;
  const { cause, reach, since, foundAt } = finding;
  const { finding: earlier } = before;
  return {
    ...finding,
    reach: earlier.reach === 'whole' ? 'whole' : reach,
    since: earlier.cause === cause ? earlier.since : since,
    foundAt: Math.max(foundAt, earlier.foundAt),
  };
}

const OPERATORS_FINDING = {
  cause: 'operator',
  effect: 'cooling_down',
  reach: 'part',
  isHinted: false,
} as const;

/** A time in which a scope was parked; all times are milliseconds since the epoch. */
export interface Episode {
  readonly from: number;
  /** When it ended or will end; `Infinity` while it needs action. */
  readonly to: number;
  readonly cause: Cause;
  readonly effect: Effect;
}

export const REMEMBERED_MS = 3_600_000;
const MAX_EPISODES = 60;

/** Begins an episode. One with the same cause that has not ended yet goes on instead. */
function withEpisode(
  episodes: readonly Episode[],
  { cause, effect }: Finding,
  until: number,
  now: number,
): readonly Episode[] {
  const to = effect === 'needs_action' ? Number.POSITIVE_INFINITY : until;
  const kept = episodes.filter((one) => one.to > now - REMEMBERED_MS);
  const last = kept.at(-1);
  if (last !== undefined && last.cause === cause && last.to >= now) {
    return [...kept.slice(0, -1), { ...last, to }];
  }
  return withinLimit([...withEnd(kept, now), { from: now, to, cause, effect }]);
}

/** Joins the two oldest of too many episodes: the time between them counts as parked. */
function withinLimit(episodes: readonly Episode[]): readonly Episode[] {
  const [first, second, ...others] = episodes;
  if (first === undefined || second === undefined || episodes.length <= MAX_EPISODES) {
    return episodes;
  }
  return [{ ...second, from: first.from }, ...others];
}

/** Ends the last episode now, if it has not ended yet. */
function withEnd(episodes: readonly Episode[], now: number): readonly Episode[] {
  const last = episodes.at(-1);
  if (last === undefined || last.to <= now) return episodes;
  return [...episodes.slice(0, -1), { ...last, to: now }];
}

/** What all parts of one pool share: the time, the order of events, and the effects of a changed scope. */
export interface PoolContext {
  /** The longest that anything is parked, in milliseconds. */
  readonly cooldownMs: number;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Numbers an event: the time, or a little more where two events share a millisecond. */
  nextEvent(now: number): number;
  /** Later events of this pool come after this event of another instance. */
  mergeEvent(event: number): void;
  /** Must follow each change of a scope. */
  changed(scope: Scope): void;
  /** The same, for a change that other instances must know of. */
  found(scope: Scope): void;
  /** Must follow each use of a quota that other instances count. Null where there are none. */
  readonly used: ((scope: Scope) => void) | null;
}

/** The smallest difference that a double can hold beside the milliseconds since the epoch. */
const STEP_MS = 2 ** -12;

export function createPoolContext(
  cooldownMs: number,
  now: () => number,
  publish: (scope: Scope) => void,
  used: PoolContext['used'] = null,
): PoolContext {
  let last = 0;
  const changed = (scope: Scope) => {
    const at = now();
    for (const dependent of scope.dependents) dependent.scopeChanged(at);
  };
  return {
    cooldownMs,
    now,
    nextEvent(at) {
      last = Math.max(at, last + STEP_MS);
      return last;
    },
    mergeEvent(event) {
      last = Math.max(last, event);
    },
    changed,
    used,
    found(scope) {
      changed(scope);
      if (scope.subject !== null) publish(scope);
    },
  };
}
