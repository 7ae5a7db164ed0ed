import type { KeyPool } from '../pool/key-pool.ts';
import type { Lease } from '../pool/lease.ts';
import type { Clock } from '../shared/clock.ts';
import { UpstreamError } from '../shared/failure.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { Target } from '../shared/target.ts';
import { type AttemptEnd, attempt, type UpstreamCall } from './attempt.ts';
import { CandidateSearch, type SearchOptions } from './candidate-search.ts';
import {
  clientGone,
  conclude,
  noKeysConfigured,
  ourFault,
  refused,
  ServiceError,
  upstreamTimeout,
} from './service-error.ts';
import { type Operation, type RequestTrace, RequestTracer, type TraceSink } from './trace.ts';
import type { WaitQueue, WaitQueues } from './wait-queue.ts';

export interface FailoverOptions {
  readonly pool: KeyPool;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly queues: WaitQueues;
  /** Of every target that a request names. */
  readonly providers: readonly ProviderFacts[];
  readonly sink: TraceSink;
  /** Until the first chunk, over all attempts and waiting. */
  readonly requestTimeoutMs: number;
  /** Until the first chunk of one attempt. */
  readonly attemptTimeoutMs: number;
  /** Between two chunks. */
  readonly streamIdleMs: number;
  /** How long one request may wait in the queue for a key to return. */
  readonly keyWaitMs: number;
}

export interface FailoverRequest<C, T> extends SearchOptions, UpstreamCall<C> {
  readonly operation: Operation;
  readonly caller: Caller;
  /** Used where it is shorter than the option. */
  readonly requestTimeoutMs?: number;
  readonly attemptTimeoutMs?: number;
  /** The first chunk is the whole answer, and may take most of the request's time. */
  readonly comesWhole?: boolean;
  /**
   * Reads what must be there before the caller gets anything that cannot be taken back. Until it returns
   * another key may step in; it is then called again with a new answer.
   */
  readonly commit: (answer: Answer<C>) => Promise<T>;
}

export interface Caller {
  readonly requestId: string;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
  /** Of its latest request to the failover, which sets it. */
  trace: RequestTrace | null;
}

export interface Answer<C> extends AnsweredBy {
  readonly chunks: AsyncGenerator<C, void, undefined>;
}

export interface AnsweredBy {
  readonly target: Target;
  /** The id of the key. */
  readonly key: string;
  /** The number of this attempt: 1 for the first. */
  readonly attempts: number;
}

/**
 * Lease, attempt, classify, report, next key.
 *
 * @throws UpstreamError when the failure is the answer: a fault of the request, or blocked content
 * @throws ServiceError when no key could answer
 */
export type Failover = <C, T>(request: FailoverRequest<C, T>) => Promise<T>;

/** Before another key is tried after an upstream failure. */
const PAUSE_MS = 150;
/** A request waits this much longer for the outcome of a probe than for a key to return. */
const PROBE_OUTCOME_MS = 20_000;
/** Other instances answer within milliseconds whether this one may probe; a request waits this long at most. */
const PERMIT_MS = 300;

export function createFailover(options: FailoverOptions): Failover {
  return (request) => new Run(options, request).finish();
}

/** The failover of one request. */
class Run<C, T> {
  readonly #options: FailoverOptions;
  readonly #request: FailoverRequest<C, T>;
  readonly #provider: ProviderFacts;
  readonly #queue: WaitQueue;
  readonly #search: CandidateSearch;
  readonly #trace: RequestTracer;
  readonly #deadline: number;
  readonly #attemptMs: number;
  readonly #errors: UpstreamError[] = [];
  #isInFlight = false;
  /** By the last attempt: milliseconds since the epoch. */
  #parkedUntil: number | null = null;
  #isCommitted = false;
  /** Set when the request first finds every key spent; later rounds add nothing to it. */
  #waitUntil: number | null = null;

  constructor(options: FailoverOptions, request: FailoverRequest<C, T>) {
    // The first target's provider stands for the request.
    const { provider } = request.targets[0];
    this.#options = options;
    this.#request = request;
    this.#provider = providerOf(options.providers, provider);
    this.#queue = options.queues(provider);
    this.#search = new CandidateSearch(options.pool, request);
    this.#trace = new RequestTracer(options, request);
    this.#attemptMs = attemptLimitMs(options, request);
    this.#deadline =
      options.clock.now() + shorter(options.requestTimeoutMs, request.requestTimeoutMs);
  }

  async finish(): Promise<T> {
    try {
      const result = await this.#answer();
      this.#isCommitted = true;
      if (!this.#isInFlight) this.#trace.answered();
      return result;
    } catch (error) {
      if (error instanceof ServiceError) this.#trace.failed(error);
      else if (error instanceof UpstreamError) this.#trace.answered();
      else this.#trace.broke();
      throw error;
    }
  }

  async #answer(): Promise<T> {
    const { pool, clock } = this.#options;
    const { targets } = this.#request;
    if (!targets.some(({ provider }) => pool.hasKeys(provider))) {
      throw noKeysConfigured(this.#provider);
    }
    for (;;) {
      const lease = clock.now() < this.#deadline ? await this.#nextLease() : null;
      if (lease === null) throw conclude(this.#search, this.#errors, clock.now(), this.#provider);
      const result = await this.#try(lease);
      if (result !== FAILED) return result;
    }
  }

  /** Keys of every target first, then keys that return soon, then ejected ones. */
  async #nextLease(): Promise<Lease | null> {
    const mayLease = this.#errors.length > 0 || this.#queue.isEmpty();
    const lease = mayLease ? this.#search.next() : null;
    if (lease !== null) return lease;
    const returned = await this.#wait();
    if (returned !== null) return returned;
    this.#checkCaller();
    return this.#search.lastResort();
  }

  async #wait(): Promise<Lease | null> {
    const { clock, keyWaitMs } = this.#options;
    const now = clock.now();
    this.#waitUntil ??= now + keyWaitMs;
    const mayWait = now < this.#waitUntil;
    const isAsking = this.#search.isAsking();
    if (!mayWait && !isAsking && this.#errors.length > 0) return null;
    const outcomeUntil = mayWait
      ? this.#waitUntil + Math.min(this.#attemptMs, PROBE_OUTCOME_MS)
      : now + (isAsking ? PERMIT_MS : 0);
    // A key that returns at the deadline itself comes too late.
    const last = this.#deadline - 1;
    const lease = await this.#queue.wait(
      this.#search,
      { until: Math.min(this.#waitUntil, last), outcomeUntil: Math.min(outcomeUntil, last) },
      this.#request.caller.signal,
    );
    this.#trace.waited(clock.now() - now);
    return lease;
  }

  async #try(lease: Lease): Promise<T | typeof FAILED> {
    const { clock, streamIdleMs } = this.#options;
    const { caller, commit } = this.#request;
    this.#isInFlight = true;
    const chunks = attempt({
      lease,
      call: this.#request,
      signal: caller.signal,
      clock,
      firstChunkMs: this.#attemptMs,
      idleMs: streamIdleMs,
      deadline: this.#deadline,
      onProven: () => this.#queueOf(lease).keyProved(concernedBy(lease)),
      onEnd: (end) => this.#attemptEnded(end),
    });
    try {
      const attempts = this.#trace.attempts + 1;
      return await commit({ target: lease.target, key: lease.key.id, attempts, chunks });
    } catch (error) {
      await this.#afterFailure(error);
      return FAILED;
    }
  }

  #attemptEnded(end: AttemptEnd): void {
    const { lease, outcome, parked } = end;
    this.#isInFlight = false;
    this.#trace.attemptEnded(end);
    // A streamed answer ends after the commit.
    if (this.#isCommitted) this.#trace.answered();
    if (outcome.kind === 'success') return;
    this.#parkedUntil = parked?.until ?? null;
    this.#search.failed(lease, outcome, parked);
    this.#queueOf(lease).leaseFailed(concernedBy(lease));
  }

  #queueOf({ target }: Lease): WaitQueue {
    return this.#options.queues(target.provider);
  }

  /** Returns when another key may be tried; else throws the error for the caller. */
  async #afterFailure(error: unknown): Promise<void> {
    if (!(error instanceof UpstreamError)) throw error;
    this.#errors.push(error);
    const { request: action } = this.#search.verdictOf(error.failure);
    switch (action) {
      case 'next_key':
        return;
      case 'next_project':
        if (this.#search.hasMore()) return;
        throw refused(error, this.#parkedUntil, this.#options.clock.now());
      case 'another_key':
        if (this.#search.hasMore()) await this.#pause();
        return;
      case 'answer':
        throw error;
      case 'our_fault':
        throw ourFault(error);
      case 'timeout':
        this.#checkCaller();
        throw upstreamTimeout(error);
      case 'stop':
        throw clientGone();
      default:
        action satisfies never;
    }
  }

  /** Half to one and a half times the pause, so that many requests do not return together. */
  async #pause(): Promise<void> {
    const { clock, random } = this.#options;
    await pause(clock, PAUSE_MS * (0.5 + random()), this.#request.caller.signal);
    this.#checkCaller();
  }

  #checkCaller(): void {
    if (this.#request.caller.signal.aborted) throw clientGone();
  }
}

const FAILED = Symbol('failed');

/** A probe concerns every target: it may test the key itself. */
const concernedBy = ({ isProbe, target }: Lease): Target | null => (isProbe ? null : target);

/** Of the time of an answer that comes whole; the rest is for another key when the first one hangs. */
const SHARE_OF_WHOLE = 0.75;

function attemptLimitMs(
  { attemptTimeoutMs, requestTimeoutMs }: FailoverOptions,
  request: Pick<FailoverRequest<never, never>, 'comesWhole' | 'attemptTimeoutMs'>,
): number {
  if (!request.comesWhole) return shorter(attemptTimeoutMs, request.attemptTimeoutMs);
  return Math.max(attemptTimeoutMs, requestTimeoutMs * SHARE_OF_WHOLE);
}

const shorter = (usual: number, own: number | undefined) =>
  own === undefined ? usual : Math.min(usual, own);

/** Resolves after this time, or when the signal aborts. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      timer.cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = clock.after(ms, finish);
    signal.addEventListener('abort', finish);
  });
}
