/** Whether an item may be chosen; null accepts every item without a call. */
export type Accepts<T> = ((item: T) => boolean) | null;

/** What a ring keeps in its items. Outside a ring an item is its own neighbour. */
export interface RingNode<T extends RingNode<T>> {
  ring: Ring<T> | null;
  next: T;
  previous: T;
}

/** Items in turn: one is chosen at the front and moved to the end, in O(1). An item is in one ring at most. */
export class Ring<T extends RingNode<T>> {
  #first: T | null = null;

  /** The first accepted item; costs one call for each item before it. */
  first(accepts: Accepts<T>): T | null {
    const first = this.#first;
    if (first === null || accepts === null) return first;
    let item = first;
    do {
      if (accepts(item)) return item;
      item = item.next;
    } while (item !== first);
    return null;
  }

  /** Moves an item of this ring to its end. */
  moveToEnd(item: T): void {
    // In a circle the first item is also the one after the last.
    if (item === this.#first) this.#first = item.next;
    else {
      this.remove(item);
      this.append(item);
    }
  }

  /** Moves an item of this ring to its front. */
  moveToFront(item: T): void {
    this.moveToEnd(item);
    this.#first = item;
  }

  append(item: T): void {
    this.#link(item, this.#first ?? item);
    this.#first ??= item;
  }

  /** Inserts the item before another one; at the end if that one is not in this ring. */
  insert(item: T, before: T | null): void {
    if (before?.ring !== this) {
      this.append(item);
      return;
    }
    this.#link(item, before);
    if (before === this.#first) this.#first = item;
  }

  remove(item: T): void {
    if (item === this.#first) this.#first = item.next === item ? null : item.next;
    item.previous.next = item.next;
    item.next.previous = item.previous;
    item.next = item.previous = item;
    item.ring = null;
  }

  #link(item: T, next: T): void {
    item.ring = this;
    item.next = next;
    item.previous = next.previous;
    next.previous.next = item;
    next.previous = item;
  }
}

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

  /** `Infinity` where the queue is empty. */
  get firstDueAt(): number {
    return this.#heap[0]?.dueAt ?? Number.POSITIVE_INFINITY;
  }

  /** When the first accepted item is due; costs one call for each item that is due before it. */
  dueAt(accepts: Accepts<T>): number | null {
    const soonest = this.#dueAtBelow(0, accepts);
    return soonest === Number.POSITIVE_INFINITY ? null : soonest;
  }

  /** Adds the item, or moves it to its new time. */
  set(item: T, dueAt: number): void {
    const isInside = item.queue === this;
    if (isInside && item.dueAt === dueAt) return;
    item.queue = this;
    item.dueAt = dueAt;
    this.#rise(item, isInside ? item.queueIndex : this.#heap.length);
    if (isInside) this.#sink(item);
  }

  remove(item: T): void {
    const index = item.queueIndex;
    item.queue = null;
    const last = this.#heap.pop();
    if (last === undefined || last === item) return;
    this.#rise(last, index);
    this.#sink(last);
  }

  #dueAtBelow(index: number, accepts: Accepts<T>): number {
    const item = this.#heap[index];
    if (item === undefined) return Number.POSITIVE_INFINITY;
    if (accepts === null || accepts(item)) return item.dueAt;
    const left = 2 * index + 1;
    return Math.min(this.#dueAtBelow(left, accepts), this.#dueAtBelow(left + 1, accepts));
  }

  /** Puts the item at this index, or as far before it as its time demands. */
  #rise(item: T, from: number): void {
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex];
      if (parent === undefined || parent.dueAt <= item.dueAt) break;
      this.#put(parent, index);
      index = parentIndex;
    }
    this.#put(item, index);
  }

  /** Moves the item as far back as its time demands. */
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
