import type { Candidate } from './candidate.ts';

interface Proof {
  readonly entry: Candidate;
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
  hasSibling(entry: Candidate, since: number, withinMs: number): boolean {
    const sibling = this.#last?.entry === entry ? this.#before : this.#last;
    return sibling !== null && sibling.event > since && sibling.tookMs < withinMs;
  }
}
