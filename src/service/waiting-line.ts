import type { Lease } from '../pool/lease.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import type { KeySearch } from './key-search.ts';

/** Where a request stands that found every key spent, while one is about to come back. */
export interface WaitingLine {
  /** Whether nobody waits: only then may a newcomer help itself. */
  isEmpty(): boolean;
  /**
   * Waits until it is this request's turn and a key has come back.
   *
   * @returns null at once when none comes back before `until` or the line is full; later when the
   *   hope is lost, the time is over or the signal aborts
   */
  wait(search: KeySearch, until: number, signal: AbortSignal): Promise<Lease | null>;
  /** Some lease has ended: whoever is first may try, and after a success the next as well. */
  leaseEnded(isSuccess: boolean): void;
}

const EVERYBODY = Number.POSITIVE_INFINITY;

interface Waiter {
  readonly search: KeySearch;
  readonly until: number;
  leave(lease: Lease | null): void;
}

/**
 * First come, first served. A key that has just come back may have room for one more answer or for a
 * hundred: each success lets two in, so the line runs as fast as the key answers and stops at the
 * first refusal, instead of falling upon the key all at once.
 *
 * @param maxWaiting how many may stand in line; a further one is not let in
 */
export function createWaitingLine(clock: Clock, maxWaiting: number): WaitingLine {
  const waiters = new Set<Waiter>();
  let timer: Timer | null = null;

  function serve(atMost: number): void {
    let left = atMost;
    for (const waiter of waiters) {
      if (left === 0) break;
      const lease = waiter.search.nextReturned();
      if (lease === null) continue;
      left -= 1;
      waiter.leave(lease);
    }
    review();
  }

  /** Sends away whoever waits in vain, and sets the alarm for the next moment that changes anything. */
  function review(): void {
    const now = clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const waiter of waiters) {
      const wake = nextHope(waiter, now);
      if (wake === null) waiter.leave(null);
      else next = Math.min(next, wake);
    }
    timer?.cancel();
    timer = waiters.size === 0 ? null : clock.after(next - now, () => serve(EVERYBODY));
  }

  return {
    isEmpty: () => waiters.size === 0,
    leaseEnded(isSuccess) {
      if (waiters.size > 0) serve(isSuccess ? 2 : 1);
    },
    wait(search, until, signal) {
      if (signal.aborted || waiters.size >= maxWaiting) return Promise.resolve(null);
      const atOnce = waiters.size === 0 ? search.nextReturned() : null;
      if (atOnce !== null) return Promise.resolve(atOnce);
      return new Promise((resolve) => {
        const giveUp = () => waiter.leave(null);
        const waiter: Waiter = {
          search,
          until,
          leave(lease) {
            waiters.delete(waiter);
            signal.removeEventListener('abort', giveUp);
            resolve(lease);
          },
        };
        signal.addEventListener('abort', giveUp);
        waiters.add(waiter);
        review();
      });
    },
  };
}

/**
 * When to look again; null when no key comes back in time. A trial in flight tells by itself when it
 * ends, but meanwhile another key may come back.
 */
function nextHope({ search, until }: Waiter, now: number): number | null {
  const at = search.returnsAt();
  if (until <= now || at === null || at > until) return null;
  return at > now ? at : Math.min(until, search.nextDueAt() ?? until);
}
