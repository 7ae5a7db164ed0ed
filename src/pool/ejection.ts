import { coversReach, type PoolContext, type Reach, Scope } from './scope.ts';

/** The first ejection; each further one without a success between is twice as long. */
const FIRST_EJECTION_MS = 30_000;

/**
 * The upstream failures of a candidate since its last success. `since`: a lease that was granted before this
 * event, the last ejection or release, is ignored.
 */
type Failures =
  | { readonly state: 'none'; readonly since: number }
  | (Counted & {
      readonly state: 'in_a_row';
      /** The event of the last one. */
      readonly failedAt: number;
    })
  /** An answer of another kind has ended the row; only a success ends the doubling. */
  | (Counted & { readonly state: 'interrupted' });

interface Counted {
  readonly since: number;
  readonly ejections: number;
  /** Of the last failure. */
  readonly reach: Reach;
}

/** A lease that has ended, as an ejection is decided by it. */
export interface EndedLease {
  /** The event at which it was granted. */
  readonly grantedAt: number;
  readonly reach: Reach;
}

/**
 * Outlier ejection of one candidate: it is leased only as the last resort for a while. Two failures in a row
 * with a sibling's success between them eject it: the key is at fault. When all fail alike no sibling
 * succeeds, and none is ejected.
 */
export class Ejection {
  /** Parked while the candidate is ejected. */
  readonly scope = new Scope();
  #failures: Failures = { state: 'none', since: 0 };

  /**
   * @param successes of the candidate and its siblings
   * @param withinMs only the success of a sibling that took less time counts
   * @returns for how long the candidate is to be ejected; null for not at all
   */
  failed(
    { grantedAt, reach }: EndedLease,
    successes: Pick<RecentSuccesses<Answering>, 'hasSibling'>,
    withinMs: number,
    context: PoolContext,
  ): number | null {
    const before = this.#failures;
    if (grantedAt < before.since) return null;
    const now = context.now();
    const ejections = before.state === 'none' ? 0 : before.ejections;
    const isOutlier =
      before.state === 'in_a_row' && successes.hasSibling(this, before.failedAt, withinMs);
    const failed = { state: 'in_a_row', reach, failedAt: context.nextEvent(now) } as const;
    this.#failures = isOutlier
      ? { ...failed, ejections: ejections + 1, since: context.nextEvent(now) }
      : { ...failed, ejections, since: before.since };
    return isOutlier ? FIRST_EJECTION_MS * 2 ** ejections : null;
  }

  /** The first chunk has come: the ejection ends, the doubling goes on until the success. */
  answered({ grantedAt, reach }: EndedLease, context: PoolContext): void {
    const { health } = this.scope;
    if (health.state === 'ready' || grantedAt < this.#failures.since) return;
    if (!coversReach(reach, health.finding.reach)) return;
    const now = context.now();
    this.scope.open(context.nextEvent(now), now);
    context.changed(this.scope);
  }

  succeeded({ grantedAt, reach }: EndedLease): void {
    const before = this.#failures;
    if (before.state === 'none' || !coversReach(reach, before.reach)) return;
    if (grantedAt >= before.since) this.#failures = { state: 'none', since: before.since };
    else this.interrupted();
  }

  /** The key has answered with a failure that is not the upstream's. */
  interrupted(): void {
    const before = this.#failures;
    if (before.state === 'in_a_row') {
      const { since, ejections, reach } = before;
      this.#failures = { state: 'interrupted', since, ejections, reach };
    }
  }

  released(event: number): void {
    this.#failures = { state: 'none', since: event };
  }
}

/** A candidate that answers or fails. */
interface Answering {
  readonly ejection: Ejection;
}

/** The latest successes of a candidate set: two, of different candidates, so that each candidate has a sibling's. */
export class RecentSuccesses<C extends Answering> {
  #last = new Success<C>();
  #before = new Success<C>();

  /** The candidate that has answered last, and before it. */
  get latest(): readonly (C | null)[] {
    return [this.#last.candidate, this.#before.candidate];
  }

  /** @param tookMs milliseconds until its first chunk */
  add(candidate: C, event: number, tookMs: number): void {
    if (this.#last.candidate !== candidate) {
      const oldest = this.#before;
      this.#before = this.#last;
      this.#last = oldest;
      oldest.candidate = candidate;
    }
    this.#last.event = event;
    this.#last.tookMs = tookMs;
  }

  /** Whether another candidate has succeeded since this event, within this time. */
  hasSibling(ejection: Ejection, since: number, withinMs: number): boolean {
    const sibling = this.#last.candidate?.ejection === ejection ? this.#before : this.#last;
    return sibling.event > since && sibling.tookMs < withinMs;
  }
}

/** Changed in place, so that a success allocates nothing. */
class Success<C> {
  candidate: C | null = null;
  event = 0;
  tookMs = 0;
}

/** The first time that a slow candidate is asked after its siblings; each further one is twice as long. */
const FIRST_SLOW_MS = 600_000;
/** So many hedges lost in a row make a candidate slow. */
const MAX_LOST = 2;

/** Whether a candidate loses hedges: then it is asked only where no faster sibling has room. */
export class Slowness {
  /** Milliseconds since the epoch; 0 for never. */
  until = 0;
  /** Whether an attempt takes longer than usual, or has lost a hedge. */
  isSuspected = false;
  #lost = 0;
  #times = 0;
  /** A first chunk within this time ends it, in milliseconds. */
  #fastMs = 0;

  /**
   * Another attempt of the request has answered first.
   *
   * @param ageMs how long this one was silent
   * @param isOutlier whether no recent answer took nearly as long
   */
  lost(ageMs: number, isOutlier: boolean, now: number, cooldownMs: number): void {
    this.isSuspected = true;
    this.#lost += isOutlier ? MAX_LOST : 1;
    this.#fastMs = ageMs / 2;
    if (this.#lost < MAX_LOST) return;
    this.until = now + Math.min(FIRST_SLOW_MS * 2 ** this.#times, cooldownMs);
    this.#times += 1;
    this.#lost = 1;
  }

  answered(tookMs: number): void {
    this.isSuspected = this.#lost > 0;
    if (tookMs < this.#fastMs) this.released();
  }

  released(): void {
    this.isSuspected = false;
    this.until = this.#lost = this.#times = 0;
  }
}
