import type { Candidate } from './candidate.ts';
import type { Allows } from './choice.ts';

/** Entries in the order in which they are due a turn: taken from the front, put back at the end, all in O(1). */
export class Ring {
  #first: Candidate | null = null;
  #last: Candidate | null = null;

  append(entry: Candidate): void {
    entry.ring = this;
    entry.previous = this.#last;
    entry.next = null;
    if (this.#last === null) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
  }

  /** To the front: its turn is next. */
  prepend(entry: Candidate): void {
    this.insert(entry, this.#first);
  }

  /** Before another one, or at the end if that one is not here. */
  insert(entry: Candidate, before: Candidate | null): void {
    if (before?.ring !== this) {
      this.append(entry);
      return;
    }
    entry.ring = this;
    entry.previous = before.previous;
    entry.next = before;
    if (before.previous === null) this.#first = entry;
    else before.previous.next = entry;
    before.previous = entry;
  }

  remove(entry: Candidate): void {
    if (entry.previous === null) this.#first = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === null) this.#last = entry.previous;
    else entry.next.previous = entry.previous;
    entry.ring = entry.next = entry.previous = null;
  }

  /** The entry whose turn it is among those whose key is allowed: costs no more than those that are not. */
  first(allows: Allows): Candidate | null {
    let entry = this.#first;
    if (allows === null) return entry;
    while (entry !== null && !allows(entry.key)) entry = entry.next;
    return entry;
  }
}
