import { DueQueue } from './due-queue.ts';
import type { Entry } from './entry.ts';
import { Ring } from './ring.ts';
import type { Scope } from './scope.ts';

/**
 * The candidates for one model of one service, each kept where its health puts it: in the rotation,
 * among those that rest, or only in the queue of those that come back later. Time alone never takes
 * an entry out of the rotation, so whatever stands there may be leased without asking again.
 */
export class Lane {
  readonly entries: Entry[] = [];
  readonly #rotation = new Ring();
  readonly #resting = new Ring();
  readonly #queue = new DueQueue();
  /** Those that only somebody else's trial keeps from being leased. */
  readonly #awaitingTrial = new Set<Entry>();
  #provedLast: Entry | null = null;
  #provedLastAt = 0;
  #provedBefore: Entry | null = null;
  #provedBeforeAt = 0;

  add(entry: Entry): void {
    this.entries.push(entry);
    this.#rotation.append(entry);
  }

  /** The entry whose turn it is; once it is leased it has to be rotated. */
  next(now: number, except: ReadonlySet<string>): Entry | null {
    this.#wake(now);
    return this.#rotation.firstExcept(except);
  }

  /** The last resort: the longest-waiting of those that rest. */
  nextResting(now: number, except: ReadonlySet<string>): Entry | null {
    this.#wake(now);
    return this.#resting.firstExcept(except);
  }

  /** Puts the entry at the end of its ring: it had its turn. */
  rotate(entry: Entry): void {
    const ring = entry.ring === this.#resting ? this.#resting : this.#rotation;
    ring.remove(entry);
    ring.append(entry);
  }

  /** Looks at an entry's scopes and puts it where it belongs now. */
  place(entry: Entry, now: number): void {
    const blockedUntil = latestBlock(entry, now);
    const awaitsTrial = blockedUntil === 0 && entry.all.some((scope) => scope.isBeingTried());
    if (awaitsTrial) this.#awaitingTrial.add(entry);
    else this.#awaitingTrial.delete(entry);
    const isUsable = blockedUntil === 0 && !awaitsTrial;
    const restsUntil = entry.rest.blockedUntil(now);
    const rests = restsUntil > 0 || entry.rest.isBeingTried();
    this.#moveTo(isUsable ? (rests ? this.#resting : this.#rotation) : null, entry);
    this.#lookAgain(entry, isUsable ? restsUntil : blockedUntil);
    entry.isUntroubled = entry.all.every(isReady) && isReady(entry.rest);
  }

  /**
   * When the first entry may be leased again, as milliseconds since the epoch.
   * `now` when one may at once, or when the outcome of a trial is awaited; null when none ever will.
   * An entry that rests is no reason to wait: it can be had as the last resort.
   */
  returnsAt(now: number, except: ReadonlySet<string>): number | null {
    if (this.next(now, except) !== null || this.#isTrialAwaited(except)) return now;
    const first = this.#queue.first;
    if (first === undefined || this.#isReturning(first, except)) return first?.dueAt ?? null;
    let soonest: number | null = null;
    for (const entry of this.entries) {
      if (this.#isReturning(entry, except)) soonest = Math.min(soonest ?? entry.dueAt, entry.dueAt);
    }
    return soonest;
  }

  /** When time alone next changes anything here, as milliseconds since the epoch; null for never. */
  nextDueAt(now: number): number | null {
    this.#wake(now);
    return this.#queue.first?.dueAt ?? null;
  }

  /** Remembers that this entry's key has answered: the two latest entries are enough to know of any other. */
  proved(entry: Entry, event: number): void {
    if (this.#provedLast !== entry) {
      this.#provedBefore = this.#provedLast;
      this.#provedBeforeAt = this.#provedLastAt;
      this.#provedLast = entry;
    }
    this.#provedLastAt = event;
  }

  /** Whether a sibling of this entry has answered since then. */
  hasSiblingProved(entry: Entry, since: number): boolean {
    if (this.#provedLast !== entry) return this.#provedLastAt > since;
    return this.#provedBefore !== null && this.#provedBeforeAt > since;
  }

  #isTrialAwaited(except: ReadonlySet<string>): boolean {
    for (const { key } of this.#awaitingTrial) if (!except.has(key.id)) return true;
    return false;
  }

  #isReturning({ queueIndex, ring, key }: Entry, except: ReadonlySet<string>): boolean {
    return queueIndex >= 0 && ring === null && !except.has(key.id);
  }

  #wake(now: number): void {
    for (;;) {
      const entry = this.#queue.first;
      if (entry === undefined || entry.dueAt > now) return;
      this.#queue.remove(entry);
      this.place(entry, now);
    }
  }

  #lookAgain(entry: Entry, at: number): void {
    if (at > 0) this.#queue.set(entry, at);
    else this.#queue.remove(entry);
  }

  #moveTo(ring: Ring | null, entry: Entry): void {
    if (entry.ring === ring) return;
    if (entry.ring === this.#rotation) this.#rotation.remove(entry);
    else if (entry.ring === this.#resting) this.#resting.remove(entry);
    ring?.append(entry);
  }
}

function latestBlock(entry: Entry, now: number): number {
  let until = 0;
  for (const scope of entry.all) until = Math.max(until, scope.blockedUntil(now));
  return until;
}

const isReady = ({ health }: Scope) => health.state === 'ready';
