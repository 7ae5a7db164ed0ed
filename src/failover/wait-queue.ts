import type { Sharer } from '../pool/fair-share.ts';
import type { Lease } from '../pool/lease.ts';
import type { ProviderName } from '../shared/api-key.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import type { Target } from '../shared/target.ts';
import type { CandidateSearch } from './candidate-search.ts';

/**
 * Requests that found every key spent and wait for one to return. Clients are served by their weights, the requests of one
 * client first come, first served.
 */
export interface WaitQueue {
  /** A new request may lease a key at once only while there are none. */
  readonly waiters: ReadonlySet<unknown>;
  /**
   * Waits until it is this request's turn and a key has returned.
   *
   * @param leave called once, perhaps before this returns: with a lease, or with null when no key returns in
   *   time, or when the queue is full and the request is the newest of the client with the most for its weight
   * @param client who asks; null without a token. Default: null
   * @returns what takes the request out of the queue; `leave` is not called any more unless it was due already
   */
  wait(
    search: CandidateSearch,
    limits: WaitLimits,
    leave: (lease: Lease | null) => void,
    client?: Sharer | null,
  ): () => void;
  /**
   * A key has answered, so that there may be room for more: admits two requests.
   *
   * @param target null after a probe, which concerns every target
   */
  keyProved(target: Target | null): void;
  /** A lease has ended without an answer, so that its key may be free again, or spent: admits one request. */
  leaseFailed(target: Target | null): void;
}

/** How long a request waits. Times are milliseconds since the epoch. */
export interface WaitLimits {
  /** When a key must have returned. */
  readonly until: number;
  /** The same for a key that has returned by `until`, but whose probe has no outcome yet. */
  readonly outcomeUntil: number;
}

/** Callers without a token are one client. */
export const WEB: Sharer = { name: 'web', weight: 1 };

/** The queue of each provider. */
export type WaitQueues = ReadonlyMap<ProviderName, WaitQueue>;

/** So many requests may wait for the keys of one provider. */
const MAX_WAITING = 1000;

export const createWaitQueues = (
  clock: Clock,
  providers: readonly { readonly name: ProviderName }[],
): WaitQueues => new Map(providers.map(({ name }) => [name, createWaitQueue(clock, MAX_WAITING)]));

interface Waiter {
  readonly flow: Flow;
  readonly search: CandidateSearch;
  /** Whether the request itself may be what a provider refuses: then it lets plain ones probe first. */
  readonly isSpecial: boolean;
  readonly limits: WaitLimits;
  /** When time alone next changes something for it. */
  wakesAt: number;
  leave(lease: Lease | null): void;
}

/** So many requests are admitted to a target for each proof that its key works. */
const ADMITTED_PER_PROOF = 2;

/**
 * A key that has just returned may have room for one more answer or for a hundred. Each first chunk admits
 * two requests, so the queue moves as fast as the key answers and stops at the first refusal. Probes are not
 * counted: a key has one at a time.
 */
export function createWaitQueue(clock: Clock, maxWaiting: number): WaitQueue {
  const waiters = new Set<Waiter>();
  const order = new FairOrder();
  const alarm = createAlarm(clock, () => {
    const now = clock.now();
    const due = [...waiters].filter(({ wakesAt }) => wakesAt <= now);
    serve(() => Math.min(ADMITTED_PER_PROOF, due.length), due);
  });

  /** Admits the first ones, refuses those for which no key returns in time, and sets the alarm. */
  function serve(shareOf: ShareOf, concerned: Iterable<Waiter> = waiters): void {
    admit(waiters, order, shareOf);
    const forecastOf = createForecasts();
    for (const waiter of concerned) if (waiters.has(waiter)) review(waiter, forecastOf);
    alarm.cancel();
    for (const { wakesAt } of waiters) alarm.ringBy(wakesAt);
  }

  function review(waiter: Waiter, forecastOf = createForecasts()): void {
    const { search, limits } = waiter;
    // The forecast comes before the clock is read: a key that is back "now" must not seem to be ahead.
    const forecast = forecastOf(search);
    const now = clock.now();
    const lease = leaseAtLimit(search, limits, now);
    const wakesAt = lease === null ? nextWake(forecast, limits, now) : null;
    if (wakesAt === null) waiter.leave(lease);
    else waiter.wakesAt = wakesAt;
  }

  /** A new request overtakes waiting ones that no key can serve now, but not those that only await their turn. */
  function leaseAtOnce(search: CandidateSearch): Lease | null {
    if (!search.hasReturned()) return null;
    const wanted = targetsWanted(waiters);
    return search.nextReturned((target) => !wanted.has(target));
  }

  /** A full queue refuses the newest request of the client that has the most waiting for its weight. */
  function enter(waiter: Waiter): void {
    const { flow } = waiter;
    waiters.add(waiter);
    flow.waiters.add(waiter);
    const excess = waiters.size > maxWaiting ? order.newestOfMost(flow) : null;
    if (excess !== waiter) review(waiter);
    // The new one may have left at once.
    if (waiters.size > maxWaiting) excess?.leave(null);
    if (waiters.has(waiter)) alarm.ringBy(waiter.wakesAt);
  }

  return {
    waiters,
    keyProved(target) {
      if (waiters.size > 0) serve(shareFor(target, ADMITTED_PER_PROOF));
    },
    leaseFailed(target) {
      if (waiters.size > 0) serve(shareFor(target, 1));
    },
    wait(search, limits, leave, client) {
      const lease = leaseAtOnce(search);
      if (lease !== null) {
        leave(lease);
        return () => {};
      }
      const flow = order.flowOf(client ?? WEB);
      const remove = () => {
        waiters.delete(waiter);
        flow.waiters.delete(waiter);
        if (waiters.size > 0) return;
        alarm.cancel();
        order.forget();
      };
      const waiter: Waiter = {
        flow,
        search,
        isSpecial: search.isSpecial,
        limits,
        wakesAt: Number.POSITIVE_INFINITY,
        leave(leased) {
          remove();
          // The queue is in the middle of serving others.
          queueMicrotask(() => leave(leased));
        },
      };
      enter(waiter);
      return remove;
    },
  };
}

/** How many requests are admitted to a target; probes are not counted. */
type ShareOf = (target: Target) => number;

const shareFor =
  (concerned: Target | null, share: number): ShareOf =>
  (target) =>
    concerned === null || target === concerned ? share : 0;

/** Leases keys to the first requests in fair order that can use one; each target has its own share. */
function admit(waiters: ReadonlySet<Waiter>, order: FairOrder, shareOf: ShareOf): void {
  const admitted = new Map<Target, number>();
  const inVain = new Set<unknown>();
  const hasRoom = (target: Target) => (admitted.get(target) ?? 0) < shareOf(target);
  const plainProbesFirst = hasPlain(waiters);
  for (const { flow, search, isSpecial, leave } of order.inOrder()) {
    const alike = isSpecial ? search : search.cacheKey;
    if (inVain.has(alike)) continue;
    const lease = search.nextReturned(hasRoom, plainProbesFirst);
    if (lease === null) {
      inVain.add(alike);
      continue;
    }
    if (!lease.isProbe) admitted.set(lease.target, (admitted.get(lease.target) ?? 0) + 1);
    order.admitted(flow);
    leave(lease);
  }
}

/** One client in the queue. */
interface Flow {
  readonly client: Sharer;
  /** The oldest first. */
  readonly waiters: Set<Waiter>;
  /** Of its next request, in virtual time. */
  start: number;
}

/**
 * Start-time fair queueing: the client with the earliest start is next, and each admitted request moves its client's start
 * on by one, divided by its weight. No start is before that of the request admitted last, so that a client gains nothing by
 * having been idle. A key that is leased at a request's limit moves nothing.
 */
class FairOrder {
  readonly #flows = new Map<Sharer, Flow>();
  /** The start of the request admitted last. */
  #virtualTime = 0;

  flowOf(client: Sharer): Flow {
    const flow = this.#flows.get(client) ?? { client, waiters: new Set(), start: 0 };
    this.#flows.set(client, flow);
    return flow;
  }

  admitted(flow: Flow): void {
    this.#virtualTime = this.#startOf(flow);
    flow.start = this.#virtualTime + 1 / flow.client.weight;
  }

  /** For an empty queue. */
  forget(): void {
    this.#flows.clear();
  }

  /** The waiting requests in fair order. An admission during the iteration reorders the rest. */
  inOrder(): Iterable<Waiter> {
    const flows = [...this.#flows.values()].filter(({ waiters }) => waiters.size > 0);
    const [first, second] = flows;
    if (first !== undefined && second === undefined) return first.waiters;
    return this.#interleave(flows.sort((one, other) => this.#startOf(one) - this.#startOf(other)));
  }

  *#interleave(sorted: readonly Flow[]): Generator<Waiter> {
    const flows = sorted.map((flow) => ({ flow, rest: flow.waiters.values() }));
    for (const [index, { flow, rest }] of flows.entries()) {
      for (const waiter of rest) {
        yield waiter;
        if (flow.waiters.has(waiter)) continue;
        const start = this.#startOf(flow);
        const next = flows.findIndex((one, at) => at > index && this.#startOf(one.flow) > start);
        flows.splice(next === -1 ? flows.length : next, 0, { flow, rest });
        break;
      }
    }
  }

  /** The newest request of the client with the most waiting for its weight. On a tie it is that of `own`. */
  newestOfMost(own: Flow): Waiter | undefined {
    let most = own;
    for (const flow of this.#flows.values()) if (loadOf(flow) > loadOf(most)) most = flow;
    return [...most.waiters].at(-1);
  }

  #startOf({ start }: Flow): number {
    return Math.max(start, this.#virtualTime);
  }
}

const loadOf = ({ client, waiters }: Flow) => waiters.size / client.weight;

function hasPlain(waiters: Iterable<Waiter>): boolean {
  for (const { isSpecial } of waiters) if (!isSpecial) return true;
  return false;
}

/** The targets of which a waiting request could lease a key now. */
function targetsWanted(waiters: Iterable<Waiter>): ReadonlySet<Target> {
  const asked = new Set<unknown>();
  const targets = new Set<Target>();
  for (const { search } of waiters) {
    if (asked.has(search.cacheKey)) continue;
    asked.add(search.cacheKey);
    for (const target of search.returnedTargets()) targets.add(target);
  }
  return targets;
}

/**
 * At its limit a request gets what there is instead of a refusal: an ejected key where there is no better
 * one, or at the very end a good key before its turn.
 */
function leaseAtLimit(
  search: CandidateSearch,
  { until, outcomeUntil }: WaitLimits,
  now: number,
): Lease | null {
  if (now < until) return null;
  if (search.hasReturned()) return now < outcomeUntil ? null : search.nextReturned();
  return search.lastResort();
}

/**
 * When to look at a request again; null when no key returns in time. A probe announces its end, but until then
 * another key may return, or an ejection may end.
 */
function nextWake(
  { returnsAt, nextDueAt }: Forecast,
  { until, outcomeUntil }: WaitLimits,
  now: number,
): number | null {
  if (returnsAt === null) return null;
  const limit = now < until || returnsAt > now ? until : outcomeUntil;
  if (limit <= now || returnsAt > limit) return null;
  return Math.min(limit, nextDueAt ?? limit, returnsAt > now ? returnsAt : limit);
}

/** When keys return for one search. */
interface Forecast {
  readonly returnsAt: number | null;
  readonly nextDueAt: number | null;
}

/** Asks the pool once for all searches alike, which most of a queue are. */
function createForecasts(): (search: CandidateSearch) => Forecast {
  const known = new Map<unknown, Forecast>();
  return (search) => {
    const forecast = known.get(search.cacheKey) ?? {
      returnsAt: search.returnsAt(),
      nextDueAt: search.nextDueAt(),
    };
    known.set(search.cacheKey, forecast);
    return forecast;
  };
}

/** One timer for the earliest of many times, in milliseconds since the epoch; it rings once. */
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
    /** Rings at this time or before. */
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
