import { type Allows, EVERY_KEY } from './choice.ts';
import { DueQueue } from './due-queue.ts';
import type { Entry } from './entry.ts';
import { needsSomebody } from './key-state.ts';
import { Ring } from './ring.ts';
import type { Scope } from './scope.ts';

/**
 * The candidates for one model of one service, each kept where its health puts it: in the rotation,
 * among those that rest, among those that await somebody else's trial, or only in a queue of those
 * that come back later. Time alone never takes an entry out of the rotation, so whatever stands
 * there may be leased without asking again.
 */
export class Lane {
  readonly model: string;
  readonly entries: Entry[] = [];
  readonly #rotation = new Ring();
  readonly #resting = new Ring();
  readonly #awaitingTrial = new Ring();
  /** By when to look again: the parked that come back by themselves, the others, and the end of a rest. */
  readonly #returning = new DueQueue();
  readonly #exhausted = new DueQueue();
  readonly #endOfRest = new DueQueue();
  readonly #queues = [this.#returning, this.#exhausted, this.#endOfRest] as const;
  #provedLast: Entry | null = null;
  #provedLastAt = 0;
  #provedBefore: Entry | null = null;
  #provedBeforeAt = 0;

  constructor(model: string) {
    this.model = model;
  }

  add(entry: Entry): void {
    this.entries.push(entry);
    this.#rotation.append(entry);
  }

  /** The entry whose turn it is; once it is leased it has to be rotated. */
  next(now: number, allows: Allows): Entry | null {
    this.#wake(now);
    return this.#rotation.first(allows);
  }

  /** The last resort: the longest-waiting of those that rest. */
  nextResting(now: number, allows: Allows): Entry | null {
    this.#wake(now);
    return this.#resting.first(allows);
  }

  /** Puts the entry at the end of its ring: it had its turn. */
  rotate(entry: Entry): void {
    const { ring } = entry;
    ring?.remove(entry);
    ring?.append(entry);
  }

  /** Looks at an entry's scopes and puts it where it belongs now. */
  place(entry: Entry, now: number): void {
    const blockedUntil = latestBlock(entry, now);
    if (blockedUntil > 0) this.#shelve(entry, blockedUntil);
    else if (entry.all.some(isBeingTried)) put(entry, this.#awaitingTrial, null, 0);
    else this.#offer(entry, now);
    entry.isUntroubled = entry.all.every(isReady) && isReady(entry.rest);
  }

  /**
   * When the first entry may be leased again, as milliseconds since the epoch.
   * `now` when one may at once, or when the outcome of a trial is awaited; null when none ever will.
   * An entry that rests is no reason to wait: it can be had as the last resort.
   */
  returnsAt(now: number, allows: Allows): number | null {
    if (this.#isBack(now, allows)) return now;
    return earliest(this.#returning.dueAt(allows), this.#exhausted.dueAt(allows));
  }

  /** The same, but what needs somebody to act counts only when nothing comes back by itself. */
  retryAt(now: number, allows: Allows): number | null {
    if (this.#isBack(now, allows)) return now;
    return this.#returning.dueAt(allows) ?? this.#exhausted.dueAt(allows);
  }

  /** When time alone next changes anything here, as milliseconds since the epoch; null for never. */
  nextDueAt(now: number): number | null {
    this.#wake(now);
    return this.#queues.map((queue) => queue.dueAt(EVERY_KEY)).reduce(earliest, null);
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

  #shelve(entry: Entry, until: number): void {
    const isExhausted = entry.all.some(needsSomebody);
    put(entry, null, isExhausted ? this.#exhausted : this.#returning, until);
  }

  #offer(entry: Entry, now: number): void {
    const restsUntil = entry.rest.blockedUntil(now);
    if (restsUntil > 0) put(entry, this.#resting, this.#endOfRest, restsUntil);
    else put(entry, isBeingTried(entry.rest) ? this.#resting : this.#rotation, null, 0);
  }

  #isBack(now: number, allows: Allows): boolean {
    return this.next(now, allows) !== null || this.#awaitingTrial.first(allows) !== null;
  }

  #wake(now: number): void {
    for (const queue of this.#queues) this.#wakeFrom(queue, now);
  }

  #wakeFrom(queue: DueQueue, now: number): void {
    for (;;) {
      const entry = queue.first;
      if (entry === undefined || entry.dueAt > now) return;
      this.place(entry, now);
    }
  }
}

function put(entry: Entry, ring: Ring | null, queue: DueQueue | null, dueAt: number): void {
  if (entry.ring !== ring) {
    entry.ring?.remove(entry);
    ring?.append(entry);
  }
  if (entry.queue !== queue) entry.queue?.remove(entry);
  queue?.set(entry, dueAt);
}

function latestBlock(entry: Entry, now: number): number {
  let until = 0;
  for (const scope of entry.all) until = Math.max(until, scope.blockedUntil(now));
  return until;
}

const isBeingTried = (scope: Scope) => scope.isBeingTried();
const isReady = ({ health }: Scope) => health.state === 'ready';

function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b);
}
