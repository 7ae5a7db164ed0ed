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
  /** A key has answered, so that there may be room for more: the first two may try. */
  keyProved(): void;
  /** Some lease has ended, however: whoever is first may try. */
  leaseEnded(): void;
}

/** So many are let in for each proof that a key works. */
const PACE = 2;

interface Waiter {
  readonly search: KeySearch;
  readonly until: number;
  leave(lease: Lease | null): void;
}

/**
 * First come, first served. A key that has just come back may have room for one more answer or for a
 * hundred: each first chunk lets two in, so the line runs as fast as the key answers and stops at
 * the first refusal, instead of falling upon the key all at once. Trials are not counted: each key
 * has only one.
 *
 * @param maxWaiting how many may stand in line; a further one is not let in
 */
export function createWaitingLine(clock: Clock, maxWaiting: number): WaitingLine {
  const waiters = new Set<Waiter>();
  let timer: Timer | null = null;

  function serve(atMost: number): void {
    letIn(waiters, atMost);
    review();
  }

  /** Sends away whoever waits in vain, and sets the alarm for the next moment that changes anything. */
  function review(): void {
    const now = clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const waiter of waiters) {
      const wake = nextHope(waiter, now);
      // Whose patience ends while a key can be had is not sent away for the sake of the pace.
      if (wake === null) waiter.leave(waiter.search.nextReturned());
      else next = Math.min(next, wake);
    }
    timer?.cancel();
    timer = waiters.size === 0 ? null : clock.after(next - now, () => serve(PACE));
  }

  return {
    isEmpty: () => waiters.size === 0,
    keyProved() {
      if (waiters.size > 0) serve(PACE);
    },
    leaseEnded() {
      if (waiters.size > 0) serve(1);
    },
    wait(search, until, signal) {
      if (signal.aborted || waiters.size >= maxWaiting) return Promise.resolve(null);
      return new Promise((resolve) => {
        const giveUp = () => {
          waiter.leave(null);
          review();
        };
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
        serve(1);
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

/** Gives keys to those who stand first and can use one; whoever wants another model is no obstacle. */
function letIn(waiters: Iterable<Waiter>, atMost: number): void {
  let left = atMost;
  for (const waiter of waiters) {
    if (left === 0) return;
    const lease = waiter.search.nextReturned();
    if (lease === null) continue;
    if (!lease.isTrial) left -= 1;
    waiter.leave(lease);
  }
}
