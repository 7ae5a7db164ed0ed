import type { Candidate } from './candidate.ts';
import { type Episode, NO_EPISODES, withEnd, withEpisode } from './episodes.ts';
import type { Finding, Health, Known, Subject } from './health.ts';

const READY: Health = { state: 'ready' };

/**
 * What a finding is about, and what is known of it now. Leases and openings are events, numbered by
 * the time, so that what a lease found can be told to be older than what is known, here or elsewhere.
 */
export class Scope {
  /** Null for what concerns this process alone. */
  readonly subject: Subject | null;
  /** Every entry that a finding about this scope concerns. */
  readonly candidates: Candidate[] = [];
  #health: Health = READY;
  #openedAt = 0;
  #episodes: readonly Episode[] = NO_EPISODES;
  readonly #asksFirst: boolean;
  #permit: object | null = null;

  /** @param asksFirst whether other processes have to agree to each trial */
  constructor(subject: Subject | null = null, asksFirst = false) {
    this.subject = subject;
    this.#asksFirst = asksFirst && subject !== null;
  }

  /** By which the next lease may be the trial, where the other processes have to agree to it. */
  get permit(): object | null {
    return this.#permit;
  }

  get health(): Health {
    return this.#health;
  }

  get known(): Known {
    const health = this.#health;
    return { openedAt: this.#openedAt, found: health.state === 'ready' ? null : health };
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
  isBeingProbed(now: number): boolean {
    const health = this.#health;
    if (health.state === 'tried_elsewhere') return health.expiresAt > now;
    return health.state === 'half_open';
  }

  /** Whether its time has passed, but a trial must be agreed upon before anybody may pass. */
  mustBeAskedFor(now: number): boolean {
    const health = this.#health;
    if (!this.#asksFirst || this.#permit !== null) return false;
    if (health.state === 'ready' || health.state === 'half_open') return false;
    // What the operator said needs no proof.
    return health.until <= now && !this.isBeingProbed(now) && health.finding.cause !== 'operator';
  }

  /** Nobody here tries it until the others have answered, or until then. */
  leaveToOthers(expiresAt: number, now: number): void {
    const health = this.#health;
    if (health.state === 'ready' || health.state === 'half_open' || health.until > now) return;
    const { until, finding } = health;
    this.#health = { state: 'tried_elsewhere', expiresAt, until, finding };
  }

  /** Nobody else tries it, any longer or for now. */
  takeBack(permit: object | null): void {
    const health = this.#health;
    this.#permit = null;
    if (health.state !== 'tried_elsewhere') return;
    this.#permit = permit;
    this.#health = { state: 'parked', until: health.until, finding: health.finding };
  }

  /** Gives the trial to this lease, if there is one to be given. What the operator said needs no proof: it is over. */
  beginProbe(lease: number): boolean {
    const health = this.#health;
    if (health.state !== 'parked') return false;
    const isOver = health.finding.cause === 'operator';
    this.#permit = null;
    this.#health = isOver ? READY : { ...health, state: 'half_open', trial: lease };
    return !isOver;
  }

  /** The trial ended without proving anything: the next lease may try at once. */
  giveBackProbe(lease: number): boolean {
    const health = this.#health;
    if (health.state !== 'half_open' || health.trial !== lease) return false;
    this.#health = { state: 'parked', until: health.until, finding: health.finding };
    return true;
  }

  /** A success opens only what its own trial tested: a scope parked after the lease was granted stays. */
  openByProbe(lease: number, event: number, now: number): boolean {
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
  park(lease: number, until: number, finding: Omit<Finding, 'foundAt'>): void {
    if (lease < this.#openedAt) return;
    const health = this.#health;
    const isWeaker = health.state === 'parked' && health.until >= until;
    if (isWeaker) return;
    // What the whole has found and nothing has disproved is still to be disproved by the whole.
    const isOfWhole = health.state !== 'ready' && health.finding.reach === 'whole';
    const reach = isOfWhole ? 'whole' : finding.reach;
    const goesOn = health.state !== 'ready' && health.finding.cause === finding.cause;
    const since = goesOn ? health.finding.since : finding.since;
    // Only what came after the newest of all findings disproves the longest.
    const foundAt = health.state === 'ready' ? lease : Math.max(lease, health.finding.foundAt);
    this.#become(until, { ...finding, reach, since, foundAt }, finding.since);
  }

  /** The operator's last word takes the place of the one before, be it shorter or longer. */
  parkByOperator(event: number, until: number, now: number): void {
    this.open(event, now);
    this.#become(until, { ...OPERATORS, since: now, foundAt: event }, now);
  }

  /**
   * Takes over what another process knows, as far as it is newer or says more: of openings the last,
   * of findings since then the one that parks longest, as new as the newest. In whatever order processes
   * hear of each other, they come to know the same.
   *
   * @returns whether anything is different now
   */
  learn({ openedAt, found }: Known, now: number): boolean {
    const before = this.#health;
    if (openedAt > this.#openedAt) this.#hearOfOpening(openedAt, now);
    if (found !== null && found.finding.foundAt >= this.#openedAt) this.#hearOf(found);
    return this.#health !== before;
  }

  #hearOfOpening(openedAt: number, now: number): void {
    const health = this.#health;
    if (health.state === 'ready' || health.finding.foundAt < openedAt) this.open(openedAt, now);
    else this.#openedAt = openedAt;
  }

  #hearOf({ until, finding }: NonNullable<Known['found']>): void {
    const health = this.#health;
    if (health.state === 'ready') this.#become(until, finding, finding.since);
    else if (until > health.until) this.park(finding.foundAt, until, finding);
    else if (finding.foundAt > health.finding.foundAt) {
      this.#health = { ...health, finding: { ...health.finding, foundAt: finding.foundAt } };
    }
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
