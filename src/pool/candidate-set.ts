import type { Target } from '../shared/target.ts';
import type { Candidate } from './candidate.ts';
import { type Allows, EVERY_KEY } from './choice.ts';
import { DueQueue } from './due-queue.ts';
import { FeatureParks } from './feature-parks.ts';
import { needsAction } from './key-state.ts';
import { Proofs } from './proofs.ts';
import { Ring } from './ring.ts';
import type { Scope } from './scope.ts';

/**
 * The candidates for one target, each kept where its health puts it: in the rotation,
 * among those that rest, among those that await somebody else's trial, among those whose trial the other
 * processes have to agree to, or only in a queue of those that come back later. Time alone never takes an entry out of the rotation, so whatever stands
 * there may be leased without asking again.
 */
export class CandidateSet {
  readonly target: Target;
  readonly candidates: Candidate[] = [];
  /** How many of its entries the other processes are being asked for. */
  asked = 0;
  readonly #rotation = new Ring();
  readonly #resting = new Ring();
  readonly #awaitingTrial = new Ring();
  readonly #untried = new Ring();
  /** By when to look again: the parked that come back by themselves, the others, and the end of a rest. */
  readonly #returning = new DueQueue();
  readonly #needingAction = new DueQueue();
  readonly #endOfRest = new DueQueue();
  readonly #endOfTrial = new DueQueue();
  readonly #queues = [
    this.#returning,
    this.#needingAction,
    this.#endOfRest,
    this.#endOfTrial,
  ] as const;
  readonly proofs = new Proofs();
  readonly features = new FeatureParks();

  readonly #random: (() => number) | null;

  /** @param random from 0 to 1, to give a key its place in a ring; null for the end of it */
  constructor(target: Target, random: (() => number) | null = null) {
    this.target = target;
    this.#random = random;
  }

  /** Once all are added: the rotation begins anywhere, if it is not to be in order. */
  begin(): void {
    const turns = Math.floor((this.#random?.() ?? 0) * this.candidates.length);
    for (const entry of this.candidates.slice(0, turns)) this.rotate(entry);
  }

  add(entry: Candidate): void {
    this.candidates.push(entry);
    this.#rotation.append(entry);
  }

  /** The entry whose turn it is; once it is leased it has to be rotated. */
  next(now: number, allows: Allows): Candidate | null {
    this.#wake(now);
    return this.#rotation.first(allows);
  }

  /** The last resort: the longest-waiting of those that rest. */
  nextResting(now: number, allows: Allows): Candidate | null {
    this.#wake(now);
    return this.#resting.first(allows);
  }

  /** The longest-waiting of those whose time has passed, if the other processes have to be asked before one is tried. */
  nextUntried(now: number, allows: Allows): Candidate | null {
    this.#wake(now);
    return this.#untried.first(allows);
  }

  /** Lets the entry be the next of its ring. */
  promote(entry: Candidate): void {
    const { ring } = entry;
    ring?.remove(entry);
    ring?.prepend(entry);
  }

  /** Puts the entry at the end of its ring: it had its turn. */
  rotate(entry: Candidate): void {
    const { ring } = entry;
    ring?.remove(entry);
    ring?.append(entry);
  }

  /** Looks at an entry's scopes and puts it where it belongs now. */
  place(entry: Candidate, now: number): void {
    const blockedUntil = latestBlock(entry, now);
    if (blockedUntil > 0) this.#shelve(entry, blockedUntil);
    else if (entry.all.some((scope) => scope.isBeingProbed(now))) this.#await(entry, now);
    else if (entry.all.some((scope) => scope.mustBeAskedFor(now))) this.#put(entry, this.#untried);
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
    return earliest(this.#returning.dueAt(allows), this.#needingAction.dueAt(allows));
  }

  /** The same, but what needs somebody to act counts only when nothing comes back by itself. */
  retryAt(now: number, allows: Allows): number | null {
    if (this.#isBack(now, allows)) return now;
    return this.#returning.dueAt(allows) ?? this.#needingAction.dueAt(allows);
  }

  /** When time alone next changes anything here, as milliseconds since the epoch; null for never. */
  nextDueAt(now: number): number | null {
    this.#wake(now);
    return this.#queues.map((queue) => queue.dueAt(EVERY_KEY)).reduce(earliest, null);
  }

  #shelve(entry: Candidate, until: number): void {
    const isHeld = entry.all.some(needsAction);
    this.#put(entry, null, isHeld ? this.#needingAction : this.#returning, until);
  }

  /** A trial of ours tells by itself when it ends; of one elsewhere we may never hear. */
  #await(entry: Candidate, now: number): void {
    const until = latestEndOfTrial(entry, now);
    if (until > 0) this.#put(entry, this.#awaitingTrial, this.#endOfTrial, until);
    else this.#put(entry, this.#awaitingTrial);
  }

  #offer(entry: Candidate, now: number): void {
    const restsUntil = entry.rest.blockedUntil(now);
    if (restsUntil > 0) this.#put(entry, this.#resting, this.#endOfRest, restsUntil);
    else this.#put(entry, entry.rest.isBeingProbed(now) ? this.#resting : this.#rotation);
  }

  #put(entry: Candidate, ring: Ring | null, queue: DueQueue | null = null, dueAt = 0): void {
    if (entry.ring !== ring) {
      entry.ring?.remove(entry);
      ring?.insert(entry, this.#anyEntry());
    }
    if (entry.queue !== queue) entry.queue?.remove(entry);
    queue?.set(entry, dueAt);
  }

  /** Before whom somebody who comes back has a place; null for the end. */
  #anyEntry(): Candidate | null {
    if (this.#random === null) return null;
    return this.candidates[Math.floor(this.#random() * this.candidates.length)] ?? null;
  }

  #isBack(now: number, allows: Allows): boolean {
    return (
      this.next(now, allows) !== null ||
      this.#awaitingTrial.first(allows) !== null ||
      this.#untried.first(allows) !== null
    );
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

function latestBlock(entry: Candidate, now: number): number {
  let until = 0;
  for (const scope of entry.all) until = Math.max(until, scope.blockedUntil(now));
  return until;
}

/** Of those elsewhere; 0 when there is none. */
function latestEndOfTrial(entry: Candidate, now: number): number {
  let until = 0;
  for (const { health } of entry.all) {
    const isElsewhere = health.state === 'tried_elsewhere' && health.expiresAt > now;
    if (isElsewhere) until = Math.max(until, health.expiresAt);
  }
  return until;
}

const isReady = ({ health }: Scope) => health.state === 'ready';

export function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b);
}
