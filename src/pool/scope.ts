import type { ProviderName } from '../shared/api-key.ts';
import { type Episode, NO_EPISODES, withEnd, withEpisode } from './parking-history.ts';
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
  #episodes: readonly Episode[] = NO_EPISODES;

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
   *
   * @param foundAt the event up to which the finding knows what happened
   */
  park(foundAt: number, until: number, finding: Omit<Finding, 'foundAt'>): void {
    if (foundAt < this.#openedAt) return;
    const health = this.#health;
    const isWeaker = health.state === 'parked' && health.until >= until;
    if (isWeaker) return;
    this.#become(until, strengthened({ ...finding, foundAt }, health), finding.since);
  }

  /** Replaces an earlier park by the operator, be it longer or shorter. */
  parkByOperator(event: number, until: number, now: number): void {
    this.open(event, now);
    this.#become(until, { ...OPERATORS_FINDING, since: now, foundAt: event }, now);
  }

  /**
   * Merges what another instance knows: the last opening, and of the findings since then the longest, as new
   * as the newest. The order of merges makes no difference.
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
    else if (until > health.until) this.park(finding.foundAt, until, finding);
    else if (finding.foundAt > health.finding.foundAt) {
      this.#health = { ...health, finding: { ...health.finding, foundAt: finding.foundAt } };
    }
  }

  #become(until: number, finding: Finding, now: number): void {
    const { cause, effect } = finding;
    this.#health = { state: 'parked', until, finding, permit: null };
    this.#episodes = withEpisode(this.#episodes, { now, until, cause, effect });
  }
}

/** What an earlier finding that is not disproved yet adds to a new one. */
function strengthened(finding: Finding, before: Health): Finding {
  if (before.state === 'ready') return finding;
  const { reach, cause, since, foundAt } = before.finding;
  return {
    ...finding,
    reach: reach === 'whole' ? 'whole' : finding.reach,
    since: cause === finding.cause ? since : finding.since,
    foundAt: Math.max(finding.foundAt, foundAt),
  };
}

const OPERATORS_FINDING = {
  cause: 'operator',
  effect: 'cooling_down',
  reach: 'part',
  isHinted: false,
} as const;
