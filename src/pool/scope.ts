import type { FailureKind } from '../shared/failure.ts';
import type { Entry } from './entry.ts';
import { type Episode, NO_EPISODES, withEnd, withEpisode } from './episodes.ts';
import type { Effect } from './verdicts.ts';

/**
 * How much of what a key is for an attempt uses. Minting a token or counting tokens is a `part`: it
 * meets neither spent minutes nor a spent quota, and so its success disproves neither.
 */
export type Reach = 'part' | 'whole';

/** Why something is not ready: what an attempt met, or because the operator said so. */
export type Cause = FailureKind | 'operator';

/** Why a scope is not ready. */
export interface Finding {
  readonly cause: Cause;
  readonly effect: Effect;
  /** Of the attempt that found it. */
  readonly reach: Reach;
  /** Whether it was the provider that said how long. */
  readonly isHinted: boolean;
  /** Since when there was no answer to the contrary: milliseconds since the epoch. */
  readonly since: number;
}

/**
 * The health of a scope. A parked scope whose `until` has passed is half-open with its trial still
 * to be given away; nothing happens at that moment, it is seen when somebody asks.
 */
export type Health =
  | { readonly state: 'ready' }
  | { readonly state: 'parked'; readonly until: number; readonly finding: Finding }
  | {
      readonly state: 'half_open';
      /** The lease that tries, by its number: the one whose outcome opens or parks the scope again. */
      readonly trial: number;
      readonly until: number;
      readonly finding: Finding;
    };

const READY: Health = { state: 'ready' };

/**
 * What a finding is about, and what is known of it now. Leases and openings are numbered by one
 * counter of the pool, so that what a lease found can be told to be older than what is known.
 */
export class Scope {
  /** Every entry that a finding about this scope concerns. */
  readonly entries: Entry[] = [];
  #health: Health = READY;
  #openedAt = 0;
  #episodes: readonly Episode[] = NO_EPISODES;

  get health(): Health {
    return this.#health;
  }

  /** When it was parked of late, oldest first. */
  get episodes(): readonly Episode[] {
    return this.#episodes;
  }

  /** Milliseconds since the epoch until which nobody may pass; 0 when somebody may. */
  blockedUntil(now: number): number {
    const health = this.#health;
    return health.state === 'parked' && health.until > now ? health.until : 0;
  }

  /** Whether a trial is out, so that everybody else has to wait for its outcome. */
  isBeingTried(): boolean {
    return this.#health.state === 'half_open';
  }

  /** Gives the trial to this lease, if there is one to be given. What the operator said needs no proof: it is over. */
  beginTrial(lease: number): boolean {
    const health = this.#health;
    if (health.state !== 'parked') return false;
    const isOver = health.finding.cause === 'operator';
    this.#health = isOver ? READY : { ...health, state: 'half_open', trial: lease };
    return !isOver;
  }

  /** The trial ended without proving anything: the next lease may try at once. */
  giveBackTrial(lease: number): boolean {
    const health = this.#health;
    if (health.state !== 'half_open' || health.trial !== lease) return false;
    this.#health = { state: 'parked', until: health.until, finding: health.finding };
    return true;
  }

  /** A success opens only what its own trial tested: a scope parked after the lease was granted stays. */
  openByTrial(lease: number, event: number, now: number): boolean {
    const health = this.#health;
    if (health.state !== 'half_open' || health.trial !== lease) return false;
    this.open(event, now);
    return true;
  }

  open(event: number, now: number): void {
    this.#health = READY;
    this.#openedAt = event;
    this.#episodes = withEnd(this.#episodes, now);
  }

  /**
   * Parks the scope, or parks it longer: a later, weaker finding never shortens a stronger one.
   * A lease granted before the scope was last opened knows less than we do, and parks nothing.
   */
  park(lease: number, until: number, finding: Finding): void {
    if (lease < this.#openedAt) return;
    const health = this.#health;
    const isWeaker = health.state === 'parked' && health.until >= until;
    if (isWeaker) return;
    // What the whole has found and nothing has disproved is still to be disproved by the whole.
    const isOfWhole = health.state !== 'ready' && health.finding.reach === 'whole';
    const reach = isOfWhole ? 'whole' : finding.reach;
    const goesOn = health.state !== 'ready' && health.finding.cause === finding.cause;
    const since = goesOn ? health.finding.since : finding.since;
    this.#become(until, { ...finding, reach, since }, finding.since);
  }

  /** The operator's last word takes the place of the one before, be it shorter or longer. */
  parkByOperator(until: number, now: number): void {
    this.#episodes = withEnd(this.#episodes, now);
    this.#become(until, { ...OPERATORS, since: now }, now);
  }

  #become(until: number, finding: Finding, now: number): void {
    this.#health = { state: 'parked', until, finding };
    this.#episodes = withEpisode(this.#episodes, { until, finding, now });
  }
}

const OPERATORS = {
  cause: 'operator',
  effect: 'cooling_down',
  reach: 'part',
  isHinted: false,
} as const;
