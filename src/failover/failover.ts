import type { Lease } from '../pool/lease.ts';
import { UpstreamError } from '../shared/failure.ts';
import { type ProviderFacts, providerOf } from '../shared/provider.ts';
import { type AttemptEnd, attempt } from './attempt.ts';
import { CandidateSearch } from './candidate-search.ts';
import {
  clientGone,
  conclude,
  noKeysConfigured,
  ourFault,
  refused,
  upstreamTimeout,
} from './conclusion.ts';
import type { FailoverOptions, FailoverRequest } from './failover-request.ts';
import { attemptLimitMs, requestLimitMs } from './limits.ts';
import { pause } from './pause.ts';
import { RequestTracer } from './request-tracer.ts';
import { ServiceError } from './service-error.ts';
import type { WaitQueue } from './wait-queue.ts';

/**
 * Lease, attempt, classify, report, next key.
 *
 * @throws UpstreamError when the answer is for the caller: a fault of its request, or blocked content
 * @throws ServiceError when nothing could answer
 */
export type Failover = <C, T>(request: FailoverRequest<C, T>) => Promise<T>;

/** Before another key is tried after upstream trouble: long enough for a hiccup, short enough to wait. */
const PAUSE_MS = 150;
/** A request waits this much longer for the outcome of a probe than for a key to come back. */
const PROBE_OUTCOME_MS = 20_000;
/** Whether a key may be tried, other processes say within a millisecond or so; this long at most. */
const ANSWER_LIMIT_MS = 300;

export function createFailover(options: FailoverOptions): Failover {
  return (request) => new Run(options, request).finish();
}

/** One request on its way through the keys. */
class Run<C, T> {
  readonly #options: FailoverOptions;
  readonly #request: FailoverRequest<C, T>;
  readonly #line: WaitQueue;
  readonly #search: CandidateSearch;
  readonly #story: RequestTracer;
  readonly #deadline: number;
  readonly #attemptMs: number;
  readonly #errors: UpstreamError[] = [];
  #isInFlight = false;
  /** By the last attempt: milliseconds since the epoch. */
  #parkedUntil: number | null = null;
  #isAnswered = false;
  /** Fixed when the request first finds every key spent: no later round adds to it. */
  #waitUntil: number | null = null;

  constructor(options: FailoverOptions, request: FailoverRequest<C, T>) {
    this.#options = options;
    this.#request = request;
    this.#line = options.queues(request.targets[0].provider);
    this.#search = new CandidateSearch(options.pool, request);
    this.#story = new RequestTracer(options, request);
    this.#attemptMs = attemptLimitMs(options, request);
    this.#deadline = options.clock.now() + requestLimitMs(options, request);
  }

  async finish(): Promise<T> {
    try {
      const result = await this.#answer();
      this.#isAnswered = true;
      if (!this.#isInFlight) this.#story.answered();
      return result;
    } catch (error) {
      if (error instanceof ServiceError) this.#story.failed(error);
      else if (error instanceof UpstreamError) this.#story.answered();
      else this.#story.broke();
      throw error;
    }
  }

  async #answer(): Promise<T> {
    const { pool, clock } = this.#options;
    const { targets } = this.#request;
    if (!targets.some(({ provider }) => pool.hasKeys(provider))) {
      throw noKeysConfigured(this.#provider());
    }
    for (;;) {
      const lease = clock.now() < this.#deadline ? await this.#nextLease() : null;
      if (lease === null) throw conclude(this.#search, this.#errors, clock.now(), this.#provider());
      const result = await this.#tryOnce(lease);
      if (result !== FAILED) return result;
    }
  }

  /** Good keys of every target, then those that come back soon, then suspected ones, then none. */
  async #nextLease(): Promise<Lease | null> {
    const isFirstInLine = this.#errors.length > 0 || this.#line.isEmpty();
    const lease = isFirstInLine ? this.#search.next() : null;
    if (lease !== null) return lease;
    const returned = await this.#waitInLine();
    if (returned !== null) return returned;
    this.#checkCaller();
    return this.#search.lastResort();
  }

  async #waitInLine(): Promise<Lease | null> {
    const { clock, keyWaitMs } = this.#options;
    const now = clock.now();
    this.#waitUntil ??= now + keyWaitMs;
    const isPatient = now < this.#waitUntil;
    const isAsking = this.#search.isAsking();
    if (!isPatient && !isAsking && this.#errors.length > 0) return null;
    const outcomeUntil = isPatient
      ? this.#waitUntil + Math.min(this.#attemptMs, PROBE_OUTCOME_MS)
      : now + (isAsking ? ANSWER_LIMIT_MS : 0);
    // A key that comes back at the deadline itself comes too late.
    const last = this.#deadline - 1;
    const lease = await this.#line.wait(
      this.#search,
      { until: Math.min(this.#waitUntil, last), outcomeUntil: Math.min(outcomeUntil, last) },
      this.#request.caller.signal,
    );
    this.#story.waited(clock.now() - now);
    return lease;
  }

  async #tryOnce(lease: Lease): Promise<T | typeof FAILED> {
    const options = this.#options;
    // A probe concerns every target: it may test the key itself.
    const concerned = lease.isProbe ? null : lease.target;
    const request = this.#request;
    this.#isInFlight = true;
    const chunks = attempt({
      lease,
      open: request.open,
      isLast: request.isLast,
      ...(request.usageOf === undefined ? {} : { usageOf: request.usageOf }),
      signal: request.caller.signal,
      clock: options.clock,
      firstChunkMs: this.#attemptMs,
      idleMs: options.streamIdleMs,
      deadline: this.#deadline,
      onProven: () => this.#queueOf(lease).keyProved(concerned),
      onEnd: (end) => this.#attemptEnded(end),
    });
    try {
      const attempts = this.#story.attempts + 1;
      return await request.commit({ target: lease.target, key: lease.key.id, attempts, chunks });
    } catch (error) {
      await this.#afterFailure(error);
      return FAILED;
    }
  }

  #attemptEnded(end: AttemptEnd): void {
    const { lease, outcome, isProbe: isTrial, parked } = end;
    this.#isInFlight = false;
    this.#story.attemptEnded(end);
    // An answer that streams goes on after it was committed to.
    if (this.#isAnswered) this.#story.answered();
    if (outcome.kind === 'success') return;
    this.#parkedUntil = parked?.until ?? null;
    this.#search.failed(lease, outcome, parked);
    this.#queueOf(lease).leaseFailed(isTrial ? null : lease.target);
  }

  /** Of the first target. */
  #provider(): ProviderFacts {
    return providerOf(this.#options.providers, this.#request.targets[0].provider);
  }

  #queueOf({ target }: Lease): WaitQueue {
    return this.#options.queues(target.provider);
  }

  /** Returns when another key may be tried; throws what the caller has to be told otherwise. */
  async #afterFailure(error: unknown): Promise<void> {
    if (!(error instanceof UpstreamError)) throw error;
    const { failure } = error;
    this.#errors.push(error);
    const { request: action } = this.#search.verdictOf(failure);
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
