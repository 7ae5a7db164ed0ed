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
   * @returns null at once when none comes back in time or the line is full; later when the hope is
   *   lost, the patience is over or the signal aborts
   */
  wait(search: KeySearch, patience: Patience, signal: AbortSignal): Promise<Lease | null>;
  /** A key has answered, so that there may be room for more: the first two may try. */
  keyProved(): void;
  /** Some lease has ended, however: whoever is first may try. */
  leaseEnded(): void;
}

/** Both as milliseconds since the epoch. */
export interface Patience {
  /** When a key must have come back. */
  readonly until: number;
  /**
   * A key that is back by then, but still under its trial, is waited for until its outcome: nobody is
   * sent away while the very key that it waited for is about to prove good. This long at most.
   */
  readonly outcomeUntil: number;
}

/** So many are let in for each proof that a key works. */
const PACE = 2;

interface Waiter {
  readonly search: KeySearch;
  readonly patience: Patience;
  /** When time alone next changes its case. */
  wakesAt: number;
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
  const alarm = createAlarm(clock, () => {
    const now = clock.now();
    serve(
      [...waiters].filter(({ wakesAt }) => wakesAt <= now),
      PACE,
    );
  });

  /** Lets some of these in, sends away whoever waits in vain, and sets the alarm for what comes next. */
  function serve(concerned: Iterable<Waiter>, atMost: number): void {
    letIn(concerned, atMost);
    for (const waiter of concerned) if (waiters.has(waiter)) lookAt(waiter);
    alarm.cancel();
    for (const { wakesAt } of waiters) alarm.ringBy(wakesAt);
  }

  function lookAt(waiter: Waiter): void {
    const { search, patience } = waiter;
    // Asked before the clock is read: what is back "now" must not seem to lie ahead of us.
    const returnsAt = search.returnsAt();
    const now = clock.now();
    const lease = now < patience.until ? null : lastChance(search);
    const wakesAt = lease === null ? nextHope(waiter, returnsAt, now) : null;
    if (wakesAt === null) waiter.leave(lease);
    else waiter.wakesAt = wakesAt;
  }

  return {
    isEmpty: () => waiters.size === 0,
    keyProved() {
      if (waiters.size > 0) serve(waiters, PACE);
    },
    leaseEnded() {
      if (waiters.size > 0) serve(waiters, 1);
    },
    wait(search, patience, signal) {
      if (signal.aborted || waiters.size >= maxWaiting) return Promise.resolve(null);
      return new Promise((resolve) => {
        const giveUp = () => waiter.leave(null);
        const waiter: Waiter = {
          search,
          patience,
          wakesAt: Number.POSITIVE_INFINITY,
          leave(lease) {
            waiters.delete(waiter);
            if (waiters.size === 0) alarm.cancel();
            signal.removeEventListener('abort', giveUp);
            resolve(lease);
          },
        };
        signal.addEventListener('abort', giveUp);
        waiters.add(waiter);
        // Nobody who waits already is concerned by a newcomer that can have nothing yet.
        if (search.hasReturned()) serve(waiters, 1);
        else lookAt(waiter);
        alarm.ringBy(waiter.wakesAt);
      });
    },
  };
}

/** Whose patience ends while a key can be had is not sent away for the sake of the pace, or of a suspicion. */
const lastChance = (search: KeySearch) => search.nextReturned() ?? search.lastResort();

/**
 * When to look again; null when no key comes back in time. A trial in flight tells by itself when it
 * ends, but meanwhile another key may come back.
 */
function nextHope(
  { search, patience: { until, outcomeUntil } }: Waiter,
  returnsAt: number | null,
  now: number,
): number | null {
  if (returnsAt === null) return null;
  if (returnsAt > now) return returnsAt <= until ? returnsAt : null;
  const limit = now < until ? until : outcomeUntil;
  return now < limit ? Math.min(limit, search.nextDueAt() ?? limit) : null;
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

/** One timer for the earliest of many moments. */
function createAlarm(clock: Clock, callback: () => void) {
  let timer: Timer | null = null;
  let ringsAt = Number.POSITIVE_INFINITY;
  function cancel(): void {
    timer?.cancel();
    timer = null;
    ringsAt = Number.POSITIVE_INFINITY;
  }
  return {
    cancel,
    ringBy(at: number): void {
      if (at >= ringsAt) return;
      timer?.cancel();
      ringsAt = at;
      timer = clock.after(at - clock.now(), () => {
        cancel();
        callback();
      });
    },
  };
}
