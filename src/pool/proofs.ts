import type { Entry } from './entry.ts';

interface Proof {
  readonly entry: Entry;
  readonly event: number;
  /** Milliseconds until its first chunk. */
  readonly tookMs: number;
}

/** Which entries of a lane have answered of late: the two latest are enough to know of any other. */
export class Proofs {
  #last: Proof | null = null;
  #before: Proof | null = null;

  add(proof: Proof): void {
    if (this.#last?.entry !== proof.entry) this.#before = this.#last;
    this.#last = proof;
  }

  /** Whether a sibling of this entry has answered since then, and in less than this time. */
  hasSibling(entry: Entry, since: number, withinMs: number): boolean {
    const sibling = this.#last?.entry === entry ? this.#before : this.#last;
    return sibling !== null && sibling.event > since && sibling.tookMs < withinMs;
  }
}
