import type { Lease } from '../pool/lease.ts';
import { verdictOf } from '../pool/verdicts.ts';
import { type Failure, UpstreamError } from '../shared/failure.ts';
import { type AttemptEnd, attempt } from './attempt.ts';
import {
  clientGone,
  conclude,
  noKeysConfigured,
  upstreamFailed,
  upstreamTimeout,
} from './conclusion.ts';
import type { FailoverOptions, FailoverRequest } from './failover-request.ts';
import { KeySearch } from './key-search.ts';
import { pause } from './pause.ts';
import { createRequestLog, type RequestLog } from './request-log.ts';
import type { ServiceError } from './service-error.ts';
import { createWaitingLine, type Patience, type WaitingLine } from './waiting-line.ts';

/**
 * Lease, attempt, classify, report, next key.
 *
 * @throws UpstreamError when the answer is for the caller: a fault of its request, or blocked content
 * @throws ServiceError when nothing could answer
 */
export type Failover = <C, T>(request: FailoverRequest<C, T>) => Promise<T>;

/** How many requests may stand in line for a key that is about to come back. */
const MAX_WAITING = 1000;
/** Before another key is tried after upstream trouble: long enough for a hiccup, short enough to wait. */
const PAUSE_MS = 150;

export function createFailover(options: FailoverOptions): Failover {
  const lines = {
    google: createWaitingLine(options.clock, MAX_WAITING),
    anam: createWaitingLine(options.clock, MAX_WAITING),
  };
  return (request) => new Run(options, request, lines[request.service]).finish();
}

/** One request on its way through the keys. */
class Run<C, T> {
  readonly #options: FailoverOptions;
  readonly #request: FailoverRequest<C, T>;
  readonly #line: WaitingLine;
  readonly #search: KeySearch;
  readonly #log: RequestLog;
  readonly #deadline: number;
  readonly #failures: Failure[] = [];
  #waitLeftMs: number;

  constructor(options: FailoverOptions, request: FailoverRequest<C, T>, line: WaitingLine) {
    this.#options = options;
    this.#request = request;
    this.#line = line;
    this.#search = new KeySearch(options.pool, request.service, request.models);
    this.#log = createRequestLog(options, request);
    this.#deadline = options.clock.now() + options.requestTimeoutMs;
    this.#waitLeftMs = options.keyWaitMs;
  }

  async finish(): Promise<T> {
    const { pool, clock } = this.#options;
    const { service } = this.#request;
    if (!pool.hasKeys(service)) throw noKeysConfigured(service);
    for (;;) {
      const lease = await this.#nextLease();
      if (lease === null) {
        throw this.#refuse(conclude(this.#search, this.#failures, clock.now()));
      }
      const result = await this.#tryOnce(lease);
      if (result !== FAILED) return result;
    }
  }

  /** Good keys of every model, then those that come back soon, then suspected ones, then none. */
  async #nextLease(): Promise<Lease | null> {
    const isFirstInLine = this.#failures.length > 0 || this.#line.isEmpty();
    const lease = isFirstInLine ? this.#search.next() : null;
    if (lease !== null) return lease;
    const returned = await this.#waitInLine();
    if (returned !== null) return returned;
    this.#checkCaller();
    return this.#search.lastResort();
  }

  async #waitInLine(): Promise<Lease | null> {
    const since = this.#options.clock.now();
    const patience = this.#patienceFrom(since);
    const lease = await this.#line.wait(this.#search, patience, this.#request.caller.signal);
    this.#waitLeftMs -= this.#options.clock.now() - since;
    return lease;
  }

  /** A trial that is under way has its outcome within the limit of an attempt. */
  #patienceFrom(now: number): Patience {
    const outcomeMs = this.#waitLeftMs > 0 ? this.#options.attemptTimeoutMs : 0;
    const until = Math.min(now + Math.max(this.#waitLeftMs, 0), this.#deadline);
    return { until, outcomeUntil: Math.min(until + outcomeMs, this.#deadline) };
  }

  async #tryOnce(lease: Lease): Promise<T | typeof FAILED> {
    const options = this.#options;
    const request = this.#request;
    const chunks = attempt({
      lease,
      open: request.open,
      isLast: request.isLast,
      signal: request.caller.signal,
      clock: options.clock,
      firstChunkMs: options.attemptTimeoutMs,
      idleMs: options.streamIdleMs,
      deadline: this.#deadline,
      onProven: () => this.#line.keyProved(),
      onEnd: (end) => this.#attemptEnded(end),
    });
    try {
      const result = await request.commit({ model: lease.model, chunks });
      this.#log.answered();
      return result;
    } catch (error) {
      await this.#afterFailure(error);
      return FAILED;
    }
  }

  #attemptEnded(end: AttemptEnd): void {
    const { lease, outcome, isParked } = end;
    if (outcome.kind !== 'success') this.#search.failed(lease, outcome, isParked);
    this.#log.attemptEnded(end);
    this.#line.leaseEnded();
  }

  /** Returns when another key may be tried; throws what the caller has to be told otherwise. */
  async #afterFailure(error: unknown): Promise<void> {
    if (!(error instanceof UpstreamError)) throw error;
    const { failure } = error;
    this.#failures.push(failure);
    const { request: action } = verdictOf(failure);
    switch (action) {
      case 'next_key':
        return;
      case 'another_key':
        if (this.#search.hasMore()) await this.#pause();
        return;
      case 'answer':
        throw error;
      case 'our_fault':
        throw this.#refuse(upstreamFailed(error));
      case 'stop':
        this.#checkCaller();
        throw this.#refuse(upstreamTimeout(error));
      default:
        action satisfies never;
    }
  }

  /** Half to one and a half times the pause, so that many requests do not return together. */
  async #pause(): Promise<void> {
    const { clock, random } = this.#options;
    await pause(clock, PAUSE_MS * (0.5 + random()), this.#request.caller.signal);
    this.#checkCaller();
    if (clock.now() >= this.#deadline) {
      throw this.#refuse(conclude(this.#search, this.#failures, clock.now()));
    }
  }

  #checkCaller(): void {
    if (this.#request.caller.signal.aborted) throw clientGone();
  }

  #refuse(error: ServiceError): ServiceError {
    this.#log.refused(error.code);
    return error;
  }
}

const FAILED = Symbol('failed');
