import type { Book } from './book.ts';
import type { Candidate } from './candidate.ts';
import type { CandidateSet } from './candidate-set.ts';
import type { Allows } from './choice.ts';
import type { Scope } from './scope.ts';

/**
 * The other processes that use the same keys. A pool tells them what is found here, and asks them
 * before it tries a key whose time has passed; it waits for neither.
 */
export interface Peers {
  /** A scope has changed through what was found here, or said by the operator. */
  found(scope: Scope): void;
  /** Answers with the trial's `allow` or `deny`, at once or later. */
  ask(trial: AskedProbe): void;
}

/** So many keys of a lane may be asked for at a time: enough for when many come back together. */
const MAX_ASKED = 4;
/** An answer that never comes is asked for again. */
const ANSWER_LIMIT_MS = 1000;

/** Whoever wants a key has those asked for that may be back: it goes on with another one meanwhile. */
export function askForProbe(lane: CandidateSet, allows: Allows, book: Book, peers: Peers): void {
  if (lane.asked >= MAX_ASKED) return;
  const now = book.now();
  const entry = lane.nextUntried(now, allows);
  if (entry === null) return;
  const scopes = entry.all.filter((scope) => scope.mustBeAskedFor(now));
  if (scopes.length === 0) {
    // The clock was set back since.
    lane.place(entry, now);
    return;
  }
  const trial = new AskedProbe(entry, scopes, book);
  trial.begin(now + ANSWER_LIMIT_MS);
  peers.ask(trial);
}

/** The trial of a key that this process asked for. */
export class AskedProbe {
  readonly scopes: readonly Scope[];
  readonly #entry: Candidate;
  readonly #book: Book;
  #isAnswered = false;

  constructor(entry: Candidate, scopes: readonly Scope[], book: Book) {
    this.#entry = entry;
    this.scopes = scopes;
    this.#book = book;
  }

  begin(limit: number): void {
    this.#entry.set.asked += 1;
    this.#leaveToOthers(limit);
  }

  /** The next lease here may be the trial. */
  allow(): void {
    this.#answered();
    for (const scope of this.scopes) {
      scope.takeBack(this);
      this.#book.changed(scope);
    }
    this.#entry.set.promote(this.#entry);
  }

  /**
   * Another process tries, or there is nothing to try.
   *
   * @param until when to ask again, as milliseconds since the epoch
   */
  deny(until: number): void {
    this.#answered();
    this.#leaveToOthers(until);
  }

  /**
   * Takes the permission back, if nobody used it.
   *
   * @returns the scopes that somebody else may try instead
   */
  withdraw(): readonly Scope[] {
    const unused = this.scopes.filter((scope) => scope.permit === this);
    for (const scope of unused) {
      scope.takeBack(null);
      this.#book.changed(scope);
    }
    return unused;
  }

  #leaveToOthers(until: number): void {
    for (const scope of this.scopes) {
      scope.leaveToOthers(until, this.#book.now());
      this.#book.changed(scope);
    }
  }

  #answered(): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#entry.set.asked -= 1;
  }
}
