import type { Candidate } from './candidate.ts';
import type { Allows } from './choice.ts';

/** Entries by when they have to be looked at again, the soonest first: a binary heap that knows each one's place. */
export class DueQueue {
  readonly #heap: Candidate[] = [];

  /** The entry that is due next. */
  get first(): Candidate | undefined {
    return this.#heap[0];
  }

  /** When the first entry is due whose key is allowed: costs no more than those that are not. */
  dueAt(allows: Allows): number | null {
    const soonest = this.#dueAtBelow(0, allows);
    return soonest === Number.POSITIVE_INFINITY ? null : soonest;
  }

  /** Puts the entry in, or moves it to its new time. It must be in no other queue. */
  set(entry: Candidate, dueAt: number): void {
    if (entry.queue === this && entry.dueAt === dueAt) return;
    entry.dueAt = dueAt;
    if (entry.queue !== this) entry.queueIndex = this.#heap.push(entry) - 1;
    entry.queue = this;
    this.#settle(entry);
  }

  remove(entry: Candidate): void {
    const index = entry.queueIndex;
    entry.queue = null;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#put(last, index);
    this.#settle(last);
  }

  #dueAtBelow(index: number, allows: Allows): number {
    const entry = this.#heap[index];
    if (entry === undefined) return Number.POSITIVE_INFINITY;
    if (allows === null || allows(entry.key)) return entry.dueAt;
    const left = 2 * index + 1;
    return Math.min(this.#dueAtBelow(left, allows), this.#dueAtBelow(left + 1, allows));
  }

  #settle(entry: Candidate): void {
    this.#rise(entry);
    this.#sink(entry);
  }

  #rise(entry: Candidate): void {
    let index = entry.queueIndex;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = this.#heap[parent];
      if (above === undefined || above.dueAt <= entry.dueAt) break;
      this.#put(above, index);
      index = parent;
    }
    this.#put(entry, index);
  }

  #sink(entry: Candidate): void {
    let index = entry.queueIndex;
    for (;;) {
      const below = this.#soonerChild(index);
      if (below === undefined || below.dueAt >= entry.dueAt) break;
      const child = below.queueIndex;
      this.#put(below, index);
      index = child;
    }
    this.#put(entry, index);
  }

  #soonerChild(index: number): Candidate | undefined {
    const left = this.#heap[2 * index + 1];
    const right = this.#heap[2 * index + 2];
    if (left === undefined || right === undefined) return left;
    return left.dueAt <= right.dueAt ? left : right;
  }

  #put(entry: Candidate, index: number): void {
    this.#heap[index] = entry;
    entry.queueIndex = index;
  }
}
