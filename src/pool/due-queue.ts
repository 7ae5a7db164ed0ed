import type { Accepts } from './ring.ts';

/** What a queue keeps in its items. */
export interface DueNode<T extends DueNode<T>> {
  queue: DueQueue<T> | null;
  queueIndex: number;
  /** Milliseconds since the epoch. */
  dueAt: number;
}

/** Items by when they are due: a binary heap in which each item knows its index. An item is in one queue at most. */
export class DueQueue<T extends DueNode<T>> {
  readonly #heap: T[] = [];

  /** The item that is due first. */
  get first(): T | undefined {
    return this.#heap[0];
  }

  /** When the first accepted item is due; costs one call for each item that is due before it. */
  dueAt(accepts: Accepts<T>): number | null {
    const soonest = this.#dueAtBelow(0, accepts);
    return soonest === Number.POSITIVE_INFINITY ? null : soonest;
  }

  /** Adds the item, or moves it to its new time. */
  set(item: T, dueAt: number): void {
    if (item.queue === this && item.dueAt === dueAt) return;
    item.dueAt = dueAt;
    if (item.queue !== this) item.queueIndex = this.#heap.push(item) - 1;
    item.queue = this;
    this.#settle(item);
  }

  remove(item: T): void {
    const index = item.queueIndex;
    item.queue = null;
    const last = this.#heap.pop();
    if (last === undefined || last === item) return;
    this.#put(last, index);
    this.#settle(last);
  }

  #dueAtBelow(index: number, accepts: Accepts<T>): number {
    const item = this.#heap[index];
    if (item === undefined) return Number.POSITIVE_INFINITY;
    if (accepts === null || accepts(item)) return item.dueAt;
    const left = 2 * index + 1;
    return Math.min(this.#dueAtBelow(left, accepts), this.#dueAtBelow(left + 1, accepts));
  }

  #settle(item: T): void {
    this.#rise(item);
    this.#sink(item);
  }

  #rise(item: T): void {
    let index = item.queueIndex;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex];
      if (parent === undefined || parent.dueAt <= item.dueAt) break;
      this.#put(parent, index);
      index = parentIndex;
    }
    this.#put(item, index);
  }

  #sink(item: T): void {
    let index = item.queueIndex;
    for (;;) {
      const child = this.#soonerChild(index);
      if (child === undefined || child.dueAt >= item.dueAt) break;
      const childIndex = child.queueIndex;
      this.#put(child, index);
      index = childIndex;
    }
    this.#put(item, index);
  }

  #soonerChild(index: number): T | undefined {
    const left = this.#heap[2 * index + 1];
    const right = this.#heap[2 * index + 2];
    if (left === undefined || right === undefined) return left;
    return left.dueAt <= right.dueAt ? left : right;
  }

  #put(item: T, index: number): void {
    this.#heap[index] = item;
    item.queueIndex = index;
  }
}
