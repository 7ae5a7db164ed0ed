import type { Entry } from './entry.ts';

/** Entries by when they have to be looked at again, the soonest first: a binary heap that knows each one's place. */
export class DueQueue {
  readonly #heap: Entry[] = [];

  /** The entry that is due next. */
  get first(): Entry | undefined {
    return this.#heap[0];
  }

  /** Puts the entry in, or moves it to its new time. */
  set(entry: Entry, dueAt: number): void {
    if (entry.queueIndex >= 0 && entry.dueAt === dueAt) return;
    entry.dueAt = dueAt;
    if (entry.queueIndex < 0) entry.queueIndex = this.#heap.push(entry) - 1;
    this.#settle(entry);
  }

  remove(entry: Entry): void {
    const index = entry.queueIndex;
    if (index < 0) return;
    entry.queueIndex = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#put(last, index);
    this.#settle(last);
  }

  #settle(entry: Entry): void {
    this.#rise(entry);
    this.#sink(entry);
  }

  #rise(entry: Entry): void {
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

  #sink(entry: Entry): void {
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

  #soonerChild(index: number): Entry | undefined {
    const left = this.#heap[2 * index + 1];
    const right = this.#heap[2 * index + 2];
    if (left === undefined || right === undefined) return left;
    return left.dueAt <= right.dueAt ? left : right;
  }

  #put(entry: Entry, index: number): void {
    this.#heap[index] = entry;
    entry.queueIndex = index;
  }
}
