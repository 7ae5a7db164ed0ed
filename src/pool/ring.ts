/** Whether an item may be chosen; null accepts every item without a call. */
export type Accepts<T> = ((item: T) => boolean) | null;

/** What a ring keeps in its items. */
export interface RingNode<T extends RingNode<T>> {
  ring: Ring<T> | null;
  next: T | null;
  previous: T | null;
}

/** A rotation: items are taken from the front and put back at the end, in O(1). An item is in one ring at most. */
export class Ring<T extends RingNode<T>> {
  #first: T | null = null;
  #last: T | null = null;

  append(item: T): void {
    item.ring = this;
    item.previous = this.#last;
    item.next = null;
    if (this.#last === null) this.#first = item;
    else this.#last.next = item;
    this.#last = item;
  }

  prepend(item: T): void {
    this.insert(item, this.#first);
  }

  /** Inserts the item before another one; at the end if that one is not in this ring. */
  insert(item: T, before: T | null): void {
    if (before?.ring !== this) {
      this.append(item);
      return;
    }
    item.ring = this;
    item.previous = before.previous;
    item.next = before;
    if (before.previous === null) this.#first = item;
    else before.previous.next = item;
    before.previous = item;
  }

  remove(item: T): void {
    if (item.previous === null) this.#first = item.next;
    else item.previous.next = item.next;
    if (item.next === null) this.#last = item.previous;
    else item.next.previous = item.previous;
    item.ring = item.next = item.previous = null;
  }

  /** The first accepted item; costs one call for each item before it. */
  first(accepts: Accepts<T>): T | null {
    let item = this.#first;
    if (accepts === null) return item;
    while (item !== null && !accepts(item)) item = item.next;
    return item;
  }
}
