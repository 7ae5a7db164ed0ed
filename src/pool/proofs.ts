import type { Entry } from './entry.ts';

/** Which entries of a lane have answered of late: the two latest are enough to know of any other. */
export class Proofs {
  #last: Entry | null = null;
  #lastAt = 0;
  #before: Entry | null = null;
  #beforeAt = 0;

  add(entry: Entry, event: number): void {
    if (this.#last !== entry) {
      this.#before = this.#last;
      this.#beforeAt = this.#lastAt;
      this.#last = entry;
    }
    this.#lastAt = event;
  }

  /** Whether a sibling of this entry has answered since then. */
  hasSibling(entry: Entry, since: number): boolean {
    if (this.#last !== entry) return this.#lastAt > since;
    return this.#before !== null && this.#beforeAt > since;
  }
}
