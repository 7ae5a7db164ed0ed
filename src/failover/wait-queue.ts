import type { Lease } from '../pool/lease.ts';
import type { ProviderName } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Target } from '../shared/target.ts';
import { createAlarm } from './alarm.ts';
import type { CandidateSearch } from './candidate-search.ts';
import { createProspects, lastChance, nextHope, type Patience } from './patience.ts';

/** Where a request stands that found every key spent, while one is about to come back. */
export interface WaitQueue {
  /** Whether nobody waits: only then may a newcomer help itself. */
  isEmpty(): boolean;
  /**
   * Waits until it is this request's turn and a key has come back.
   *
   * @returns null at once when none comes back in time or the line is full; later when the hope is
   *   lost, the patience is over or the signal aborts
   */
  wait(search: CandidateSearch, patience: Patience, signal: AbortSignal): Promise<Lease | null>;
  /**
   * A key has answered, so that there may be room for more: the first two may try.
   *
   * @param target null when it was a probe, which concerns every target
   */
  keyProved(target: Target | null): void;
  /** A lease has ended without an answer, so that its key may be free again, or spent: the first one may try. */
  leaseFailed(target: Target | null): void;
}

/** One for each provider. */
export type WaitQueues = (provider: ProviderName) => WaitQueue;

/** So many are let in to a target for each proof that a key works. */
const PACE = 2;

interface Waiter {
  readonly search: CandidateSearch;
  readonly patience: Patience;
  /** When time alone next changes its case. */
  wakesAt: number;
  leave(lease: Lease | null): void;
}

/** How many requests of a provider may stand in line for a key that is about to come back. */
const MAX_WAITING = 1000;

export function createWaitQueues(clock: Clock): WaitQueues {
  const queues = new Map<ProviderName, WaitQueue>();
  return (provider) => {
    const queue = queues.get(provider) ?? createWaitQueue(clock, MAX_WAITING);
    queues.set(provider, queue);
    return queue;
  };
}

/**
 * First come, first served. A key that has just come back may have room for one more answer or for a
 * hundred: each first chunk lets two in, so the line runs as fast as the key answers and stops at
 * the first refusal, instead of falling upon the key all at once. Trials are not counted: each key
 * has only one.
 *
 * @param maxWaiting how many may stand in line; a further one is not let in
 */
export function createWaitQueue(clock: Clock, maxWaiting: number): WaitQueue {
  const waiters = new Set<Waiter>();
  // Each case that time changes is a turn: where somebody's patience ends, the first in line has it.
  const alarm = createAlarm(clock, () => {
    const now = clock.now();
    const due = [...waiters].filter(({ wakesAt }) => wakesAt <= now);
    serve(() => Math.min(PACE, due.length), due);
  });

  /** Lets the first ones in, sends away whoever waits in vain, and sets the alarm for what comes next. */
  function serve(shareOf: ShareOf, concerned: Iterable<Waiter> = waiters): void {
    letIn(waiters, shareOf);
    const prospectOf = createProspects();
    for (const waiter of concerned) if (waiters.has(waiter)) lookAt(waiter, prospectOf);
    alarm.cancel();
    for (const { wakesAt } of waiters) alarm.ringBy(wakesAt);
  }

  function lookAt(waiter: Waiter, prospectOf = createProspects()): void {
    const { search, patience } = waiter;
    // Asked before the clock is read: what is back "now" must not seem to lie ahead of us.
    const prospect = prospectOf(search);
    const now = clock.now();
    const lease = lastChance(search, patience, now);
    const wakesAt = lease === null ? nextHope(prospect, patience, now) : null;
    if (wakesAt === null) waiter.leave(lease);
    else waiter.wakesAt = wakesAt;
  }

  /** A newcomer passes those who can have nothing now, but takes no target from those whom only the pace holds back. */
  function atOnce(search: CandidateSearch): Lease | null {
    if (!search.hasReturned()) return null;
    const heldBack = targetsHeldBack(waiters);
    return search.nextReturned((target) => !heldBack.has(target));
  }

  return {
    isEmpty: () => waiters.size === 0,
    keyProved(target) {
      if (waiters.size > 0) serve(shareFor(target, PACE));
    },
    leaseFailed(target) {
      if (waiters.size > 0) serve(shareFor(target, 1));
    },
    wait(search, patience, signal) {
      if (signal.aborted) return Promise.resolve(null);
      const lease = atOnce(search);
      if (lease !== null) return Promise.resolve(lease);
      return new Promise((resolve) => {
        const giveUp = () => waiter.leave(null);
        const waiter: Waiter = {
          search,
          patience,
          wakesAt: Number.POSITIVE_INFINITY,
          leave(leased) {
            waiters.delete(waiter);
            if (waiters.size === 0) alarm.cancel();
            signal.removeEventListener('abort', giveUp);
            resolve(leased);
          },
        };
        signal.addEventListener('abort', giveUp);
        waiters.add(waiter);
        if (waiters.size > maxWaiting) giveUp();
        else lookAt(waiter);
        alarm.ringBy(waiter.wakesAt);
      });
    },
  };
}

/** How many are let in to a target; trials are not counted. */
type ShareOf = (target: Target) => number;

const shareFor =
  (concerned: Target | null, share: number): ShareOf =>
  (target) =>
    concerned === null || target === concerned ? share : 0;

/**
 * Gives keys to those who stand first and can use one. Whoever wants another target is no obstacle:
 * each target has a pace of its own, and whoever asks what was just answered with no is passed by.
 */
function letIn(waiters: Iterable<Waiter>, shareOf: ShareOf): void {
  const served = new Map<Target, number>();
  const inVain = new Set<unknown>();
  const isOpen = (target: Target) => (served.get(target) ?? 0) < shareOf(target);
  for (const { search, leave } of waiters) {
    if (inVain.has(search.question)) continue;
    const lease = search.nextReturned(isOpen);
    if (lease === null) {
      inVain.add(search.question);
      continue;
    }
    if (!lease.isProbe) served.set(lease.target, (served.get(lease.target) ?? 0) + 1);
    leave(lease);
  }
}

function targetsHeldBack(waiters: Iterable<Waiter>): ReadonlySet<Target> {
  const asked = new Set<unknown>();
  const targets = new Set<Target>();
  for (const { search } of waiters) {
    if (asked.has(search.question)) continue;
    asked.add(search.question);
    for (const target of search.returnedTargets()) targets.add(target);
  }
  return targets;
}
