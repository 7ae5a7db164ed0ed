import type { Sharer } from '../pool/fair-share.ts';
import type { KeyPool } from '../pool/key-pool.ts';
import type { Lease, Outcome, Parked } from '../pool/lease.ts';
import type { RequestAction } from '../pool/verdicts.ts';
import type { AnswerEnd, Call, CallHandler, Client } from '../providers/provider.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import { type Failure, UpstreamError, type Usage } from '../shared/failure.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { Target } from '../shared/target.ts';
import { CandidateSearch, type SearchOptions } from './candidate-search.ts';
import { type Hedging, LEAST_MS } from './hedging.ts';
import {
  brokenOff,
  clientGone,
  conclude,
  noKeysConfigured,
  ourFault,
  refused,
  type ServiceError,
  upstreamTimeout,
} from './service-error.ts';
import type {
  AttemptSpan,
  AttemptTrace,
  EndedTrace,
  Operation,
  RequestEnd,
  RequestTrace,
  TraceSink,
  Tracing,
} from './trace.ts';
import type { WaitQueue, WaitQueues } from './wait-queue.ts';

export interface FailoverOptions {
  readonly pool: KeyPool;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly queues: WaitQueues;
  readonly hedging: Hedging;
  /** Of every target that a request names. */
  readonly providers: readonly ProviderFacts[];
  /** Whether a provider has keys, all of them paused. Default: no. */
  readonly arePaused?: (provider: ProviderName) => boolean;
  readonly sinks: readonly TraceSink[];
  /** Null where no spans are exported. */
  readonly tracing: Tracing | null;
  /** Until the first chunk, over all attempts and waiting. */
  readonly requestTimeoutMs: number;
  /** Until the first chunk of one attempt. */
  readonly attemptTimeoutMs: number;
  /** Between two chunks. */
  readonly streamIdleMs: number;
  /** How long one request may wait in the queue for a key to return. */
  readonly keyWaitMs: number;
}

export interface FailoverRequest<Question, Chunk, End extends AnswerEnd> extends SearchOptions {
  readonly operation: Operation;
  readonly caller: Caller;
  /** The model that a call without a quota is about. Default: that of each target. */
  readonly about?: string | null;
  readonly question: Question;
  /** How each provider among the targets is asked. */
  readonly clients: ReadonlyMap<ProviderName, Client<Question, Chunk, End>>;
  /** Whether the first chunk is committed to: no other key can step in after it. Otherwise the end is. */
  readonly isStreamed: boolean;
  /** Used where it is shorter than the option. */
  readonly requestTimeoutMs?: number;
  readonly attemptTimeoutMs?: number;
  /** The first chunk is the whole answer, and may take most of the request's time. */
  readonly comesWhole?: boolean;
  /** Whether it is safe to ask twice: then a slow attempt gets a second one beside it. Default: false. */
  readonly mayHedge?: boolean;
  /** The failure of an attempt as failover has to treat it. Default: as it is. */
  readonly explain?: (error: UpstreamError, key: ApiKey) => UpstreamError;
}

/** Who asks. One request of a caller is one run of the failover. */
export interface Caller {
  readonly requestId: string;
  /** Whose token was sent; null without one. */
  readonly client: Sharer | null;
  /** W3C's header with the caller's trace, as it was sent. */
  readonly traceparent?: string | undefined;
  /** Whether the connection has closed before the answer was out. */
  isGone: boolean;
  /** What works for the caller; it is notified when the connection closes. No function: see `docs/performance.md` about the old space. */
  work: CallerWork | null;
  /** Set by the failover. */
  trace: RequestTrace | null;
}

export interface CallerWork {
  callerGone(): void;
}

/** Gets the answer of one request: either `onEnd` or `onError` comes last, once. */
export interface AnswerReader<Chunk, End extends AnswerEnd> {
  /** An attempt begins; what came of an earlier one is void. */
  onAttempt(): void;
  /** @returns false to get no more until it calls `resume` */
  onChunk(chunk: Chunk, answeredBy: AnsweredBy): boolean;
  onEnd(end: End, answeredBy: AnsweredBy): void;
  /**
   * @param error a ServiceError; an UpstreamError where the failure is the answer, before any chunk that was
   *   committed to: a fault of the request, blocked content, or an unusable answer; anything else is a bug
   * @param answeredBy of the attempt with this failure, else of the last one; null where there was none
   */
  onError(error: unknown, answeredBy: AnsweredBy | null): void;
}

export interface AnsweredBy {
  readonly target: Target;
  readonly key: ApiKey;
  /** The number of this attempt: 1 for the first. */
  readonly attempts: number;
  /** The model that answers, as the provider names it; null until it does. Set by the failover. */
  responseModel: string | null;
}

/** A request under way, for its reader. */
export interface Run {
  /** After `onChunk` has returned false. */
  resume(): void;
  /** Ends the request with this error for the caller; no key is to blame. */
  stop(error: ServiceError): void;
}

/** Lease, attempt, classify, report, next key. */
export type Failover = <Question, Chunk, End extends AnswerEnd>(
  request: FailoverRequest<Question, Chunk, End>,
  reader: AnswerReader<Chunk, End>,
) => Run;

export function createFailover(options: FailoverOptions): Failover {
  return (request, reader) => {
    const run = new FailoverRun(options, request, reader);
    run.search();
    return run;
  };
}

/** Before another key is tried after an upstream failure. */
const PAUSE_MS = 150;
/** How soon a slow attempt looks again for a key, and for what is left of the hedges. */
const HEDGE_RETRY_MS = 1000;
/** A request waits this much longer for the outcome of a probe than for a key to return. */
const PROBE_OUTCOME_MS = 20_000;
/** Other instances answer within milliseconds whether this one may probe; a request waits this long at most. */
const PERMIT_MS = 300;
/** The finish reason may come before the last text: a model may be silent this long within an answer. */
const FINISHED_MS = 30_000;

/** Where a request stands. */
type State<End> =
  | { readonly kind: 'searching' }
  /** In the wait queue, or in the pause between two attempts. */
  | { readonly kind: 'waiting'; readonly cancel: () => void }
  | {
      readonly kind: 'attempting' | 'committed';
      readonly attempt: Attempt<End>;
      /** Before the first chunk only. */
      readonly hedge: Attempt<End> | null;
    }
  | { readonly kind: 'ended' };

const SEARCHING = { kind: 'searching' } as const;
const ENDED = { kind: 'ended' } as const;

/** One call with one lease. Times are milliseconds since the epoch. */
interface Attempt<End> {
  readonly lease: Lease;
  readonly answeredBy: AnsweredBy;
  readonly span: AttemptSpan | null;
  readonly isHedge: boolean;
  readonly startedAt: number;
  /** Null while it is being started. */
  call: Call | null;
  /** Milliseconds until the first chunk; null before it. */
  firstMs: number | null;
  /** When the silence is too long. */
  limitAt: number;
  /** When it is slow; `Infinity` where that starts no hedge. */
  hedgeAt: number;
  /** How long the provider may be silent within its answer. */
  silenceMs: number;
  /** Set where the answer is complete, unless more of it follows. */
  end: End | null;
  isPaused: boolean;
  timer: Timer | null;
  ringsAt: number;
}

interface FailedAttempt {
  readonly error: UpstreamError;
  readonly answeredBy: AnsweredBy;
}

/** The failover of one request. */
class FailoverRun<Question, Chunk, End extends AnswerEnd>
  implements CallHandler<Chunk, End>, Run, CallerWork
{
  readonly #options: FailoverOptions;
  readonly #request: FailoverRequest<Question, Chunk, End>;
  readonly #reader: AnswerReader<Chunk, End>;
  /** Of the first target's provider. */
  readonly #queue: WaitQueue;
  readonly #search: CandidateSearch;
  readonly #trace: RequestTrace;
  readonly #deadline: number;
  readonly #attemptMs: number;
  readonly #errors: UpstreamError[] = [];
  /** Set when the request first finds every key spent; later rounds add nothing to it. */
  #waitUntil: number | null = null;
  /** Of the last attempt. */
  #answeredBy: AnsweredBy | null = null;
  /** The answer if no other key has a better one. */
  #unusable: FailedAttempt | null = null;
  #state: State<End> = SEARCHING;

  constructor(
    options: FailoverOptions,
    request: FailoverRequest<Question, Chunk, End>,
    reader: AnswerReader<Chunk, End>,
  ) {
    const { operation, targets, caller } = request;
    const startedAt = options.clock.now();
    const limitMs = request.requestTimeoutMs ?? options.requestTimeoutMs;
    const queue = options.queues.get(targets[0].provider);
    if (queue === undefined) throw new Error(`${targets[0].provider} has no queue`);
    this.#options = options;
    this.#request = request;
    this.#reader = reader;
    this.#queue = queue;
    this.#search = new CandidateSearch(options.pool, request);
    this.#deadline = startedAt + Math.min(limitMs, options.requestTimeoutMs);
    this.#attemptMs = request.comesWhole
      ? Math.max(options.attemptTimeoutMs, options.requestTimeoutMs * SHARE_OF_WHOLE)
      : Math.min(options.attemptTimeoutMs, request.attemptTimeoutMs ?? options.attemptTimeoutMs);
    this.#trace = {
      requestId: caller.requestId,
      client: caller.client?.name ?? null,
      operation,
      targets,
      startedAt,
      ms: 0,
      waitedMs: 0,
      attempts: [],
      failovers: 0,
      success: null,
      hedge: null,
      end: null,
      span: null,
    };
    if (options.tracing !== null) {
      this.#trace.span = options.tracing.startRequest(this.#trace, caller.traceparent);
    }
    caller.trace = this.#trace;
    caller.work = this;
  }

  /** Keys of every target first, then keys that return soon, then ejected ones. */
  search(): void {
    this.#state = SEARCHING;
    if (this.#request.caller.isGone) {
      this.#refuse(clientGone());
      return;
    }
    if (this.#options.clock.now() >= this.#deadline) {
      this.#attemptOrConclude(null);
      return;
    }
    const mayLease = this.#errors.length > 0 || this.#queue.waiters.size === 0;
    const lease = mayLease ? this.#search.next() : null;
    if (lease !== null) this.#attempt(lease);
    else if (this.#unusable !== null) this.#answerUnusable(this.#unusable);
    else if (this.#hasKeys()) this.#wait();
    else this.#refuseForLackOfKeys();
  }

  get traceparent(): string | undefined {
    const state = this.#state;
    return 'attempt' in state ? state.attempt.span?.traceparent : undefined;
  }

  onModel(name: string): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    const { answeredBy } = state.attempt;
    const { target } = answeredBy;
    answeredBy.responseModel = name;
    if (name === target.model) return;
    for (const sink of this.#options.sinks) sink.otherModelAnswers?.(target, name);
  }

  onChunk(chunk: Chunk): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    const { attempt } = state;
    this.#hear(attempt);
    if (state.kind === 'attempting' && this.#request.isStreamed) {
      this.#state = { kind: 'committed', attempt, hedge: null };
    }
    if (this.#reader.onChunk(chunk, attempt.answeredBy)) return;
    attempt.isPaused = true;
    attempt.call?.pause();
  }

  onFinish(end: End): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    state.attempt.end = end;
    state.attempt.silenceMs = FINISHED_MS;
    this.#hear(state.attempt);
  }

  onEnd(end: End): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    const { attempt } = state;
    if (attempt.firstMs === null) this.#hear(attempt);
    attempt.end = end;
    this.#report(attempt, SUCCESS);
    this.#end({ kind: 'answered' });
    this.#reader.onEnd(end, attempt.answeredBy);
  }

  onFailure(error: unknown): void {
    const state = this.#state;
    if ('attempt' in state) this.attemptFailed(state.attempt, error);
    else this.#surface(error);
  }

  resume(): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    const { attempt } = state;
    attempt.isPaused = false;
    this.#limit(attempt, this.#options.clock.now() + attempt.silenceMs);
    attempt.call?.resume();
  }

  stop(error: ServiceError): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    state.attempt.call?.abort();
    this.#report(state.attempt, NOT_READ);
    this.#end({ kind: 'broken_off' });
    this.#reader.onError(error, this.#answeredBy);
  }

  callerGone(): void {
    const state = this.#state;
    switch (state.kind) {
      case 'attempting':
      case 'committed':
        state.attempt.call?.abort();
        // The answer was complete: only the silence after it was cut short.
        if (state.attempt.end !== null) this.onEnd(state.attempt.end);
        else this.attemptFailed(state.attempt, new UpstreamError(CLIENT_GONE));
        return;
      case 'waiting':
        state.cancel();
        this.#refuse(clientGone());
        return;
      case 'searching':
      case 'ended':
        return;
      default:
        state satisfies never;
    }
  }

  #refuseForLackOfKeys(): void {
    const provider = this.#provider();
    const arePaused = this.#options.arePaused?.(provider.name);
    this.#refuse(noKeysConfigured(provider, arePaused));
  }

  #hasKeys(): boolean {
    const { pool } = this.#options;
    return this.#request.targets.some(({ provider }) => pool.hasKeys(provider));
  }

  #wait(): void {
    const { clock, keyWaitMs } = this.#options;
    const now = clock.now();
    this.#waitUntil ??= now + keyWaitMs;
    const mayWait = now < this.#waitUntil;
    const isAsking = this.#search.isAsking();
    if (!mayWait && !isAsking && this.#errors.length > 0) {
      this.#attemptOrConclude(this.#search.lastResort());
      return;
    }
    const outcomeUntil = mayWait
      ? this.#waitUntil + Math.min(this.#attemptMs, PROBE_OUTCOME_MS)
      : now + (isAsking ? PERMIT_MS : 0);
    // A key that returns at the deadline itself comes too late.
    const last = this.#deadline - 1;
    const leave = this.#queue.wait(
      this.#search,
      { until: Math.min(this.#waitUntil, last), outcomeUntil: Math.min(outcomeUntil, last) },
      (lease) => {
        if (this.#state.kind === 'ended') {
          this.#giveBack(lease);
          return;
        }
        this.#trace.waitedMs += clock.now() - now;
        const last = lease ?? this.#search.lastResort();
        if (last === null && this.#awaitsOutcome(outcomeUntil)) this.#waitAgain();
        else this.#attemptOrConclude(last);
      },
      this.#request.caller.client,
    );
    // The queue may have answered at once.
    if (this.#state !== SEARCHING) return;
    const cancel = () => {
      this.#trace.waitedMs += clock.now() - now;
      leave();
    };
    this.#state = { kind: 'waiting', cancel };
  }

  /** Another request tests a key that seems to be used up. */
  #awaitsOutcome(until: number): boolean {
    const now = this.#options.clock.now();
    const returnsAt = now < until ? this.#search.returnsAt() : null;
    return returnsAt !== null && returnsAt <= now;
  }

  #waitAgain(): void {
    this.#state = SEARCHING;
    this.#wait();
  }

  /** The caller has gone between the end of its wait and its attempt. */
  #giveBack(lease: Lease | null): void {
    if (lease === null) return;
    lease.report(CLIENT_GONE);
    this.#options.queues.get(lease.target.provider)?.leaseFailed(concernedBy(lease));
  }

  #attemptOrConclude(lease: Lease | null): void {
    const now = this.#options.clock.now();
    if (lease !== null) this.#attempt(lease);
    // The last one may have been retired while the request waited.
    else if (!this.#hasKeys()) this.#refuseForLackOfKeys();
    else this.#refuse(conclude(this.#search, this.#errors, now, this.#provider()));
  }

  /** @param slow the attempt beside which this one is a hedge */
  #attempt(lease: Lease, slow: Attempt<End> | null = null): void {
    const { key, target } = lease;
    const { clients, question, mayHedge } = this.#request;
    const client = clients.get(target.provider);
    if (client === undefined) throw new Error(`${target.provider} cannot be asked for this`);
    const isHedge = slow !== null;
    const startedAt = this.#options.clock.now();
    const attempts = this.#trace.attempts.length + (isHedge ? 2 : 1);
    const attempt: Attempt<End> = {
      lease,
      answeredBy: { target, key, attempts, responseModel: null },
      span: this.#trace.span?.startAttempt(target, key.id, startedAt) ?? null,
      isHedge,
      startedAt,
      call: null,
      firstMs: null,
      limitAt: Number.POSITIVE_INFINITY,
      hedgeAt:
        mayHedge && this.#trace.hedge === null ? startedAt + LEAST_MS : Number.POSITIVE_INFINITY,
      silenceMs: this.#options.streamIdleMs,
      end: null,
      isPaused: false,
      timer: null,
      ringsAt: Number.POSITIVE_INFINITY,
    };
    if (slow !== null) this.#state = { kind: 'attempting', attempt: slow, hedge: attempt };
    else {
      this.#state = { kind: 'attempting', attempt, hedge: null };
      this.#answeredBy = attempt.answeredBy;
      this.#reader.onAttempt();
    }
    this.#limit(attempt, Math.min(startedAt + this.#attemptMs, this.#deadline));
    const handler = isHedge ? new HedgeHandler(this, attempt) : this;
    attempt.call = client.call(question, key, target, handler);
  }

  /** Starts a second attempt beside a slow one, with a key that no waiting request could use instead. */
  #hedge(attempt: Attempt<End>): void {
    const now = this.#options.clock.now();
    const { comesWhole = false } = this.#request;
    const { hedging, queues } = this.#options;
    const { target } = attempt.lease;
    const slowAt = attempt.startedAt + hedging.delayMs(target, comesWhole);
    // What is usual may be known only in a moment.
    attempt.hedgeAt = now + HEDGE_RETRY_MS;
    if (now < slowAt) {
      attempt.hedgeAt = Math.min(attempt.hedgeAt, slowAt);
      return;
    }
    attempt.lease.markSlow();
    const mayHedge = attempt.lease.isOfSlowKey || hedging.hasLeft(target, comesWhole);
    if (queues.get(target.provider)?.waiters.size !== 0 || !mayHedge) return;
    const lease = this.#search.hedge(attempt.lease);
    if (lease === null) return;
    hedging.take(target, comesWhole);
    attempt.hedgeAt = Number.POSITIVE_INFINITY;
    this.#trace.hedge = 'started';
    this.#attempt(lease, attempt);
  }

  /** The hedge has spoken first: it is the attempt that counts. */
  prefer(hedge: Attempt<End>): void {
    const state = this.#state;
    if (state.kind !== 'attempting' || state.attempt === hedge) return;
    const { attempt } = state;
    const { comesWhole = false } = this.#request;
    const ageMs = this.#options.clock.now() - attempt.startedAt;
    const isOutlier = this.#options.hedging.isOutlier(attempt.lease.target, comesWhole, ageMs);
    this.#drop(attempt, superseded(isOutlier ? 'clearly' : 'perhaps'));
    this.#trace.hedge = 'won';
    this.#state = { kind: 'attempting', attempt: hedge, hedge: null };
    this.#answeredBy = hedge.answeredBy;
  }

  #drop(attempt: Attempt<End>, outcome: Failure): void {
    attempt.call?.abort();
    this.#report(attempt, outcome);
  }

  /** Something came: the key works. */
  #hear(attempt: Attempt<End>): void {
    const { lease, startedAt } = attempt;
    const now = this.#options.clock.now();
    if (attempt.firstMs === null) {
      attempt.firstMs = now - startedAt;
      attempt.hedgeAt = Number.POSITIVE_INFINITY;
      const { mayHedge, comesWhole = false } = this.#request;
      const state = this.#state;
      if (mayHedge) this.#options.hedging.answered(lease.target, comesWhole, attempt.firstMs);
      if (state.kind === 'attempting' && state.hedge !== null)
        this.#dropHedge(attempt, state.hedge);
      const isNews = lease.prove();
      const queue = this.#options.queues.get(lease.target.provider);
      if (isNews && queue !== undefined && queue.waiters.size > 0) {
        queue.keyProved(concernedBy(lease));
      }
    }
    this.#limit(attempt, now + attempt.silenceMs);
  }

  /** The first attempt has spoken first. */
  #dropHedge(attempt: Attempt<End>, hedge: Attempt<End>): void {
    this.#drop(hedge, superseded('no'));
    this.#trace.hedge = 'wasted';
    this.#state = { kind: 'attempting', attempt, hedge: null };
  }

  /** A later limit sets no new timer: the present one looks again when it rings. */
  #limit(attempt: Attempt<End>, limitAt: number): void {
    attempt.limitAt = limitAt;
    const ringsAt = Math.min(limitAt, attempt.hedgeAt);
    if (ringsAt >= attempt.ringsAt) return;
    const { clock } = this.#options;
    attempt.timer?.cancel();
    attempt.ringsAt = ringsAt;
    attempt.timer = clock.after(ringsAt - clock.now(), () => this.#ring(attempt));
  }

  #ring(attempt: Attempt<End>): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    const now = this.#options.clock.now();
    attempt.ringsAt = Number.POSITIVE_INFINITY;
    // The time of a slow reader does not count.
    if (attempt.isPaused) this.#limit(attempt, now + attempt.silenceMs);
    else if (now < attempt.limitAt) {
      if (now >= attempt.hedgeAt) this.#hedge(attempt);
      this.#limit(attempt, attempt.limitAt);
    } else {
      attempt.call?.abort();
      if (attempt.end !== null) this.onEnd(attempt.end);
      else this.attemptFailed(attempt, new UpstreamError(this.#silenceOf(attempt)));
    }
  }

  #silenceOf({ startedAt, firstMs }: Attempt<End>): Failure {
    const isDeadline = firstMs === null && this.#deadline < startedAt + this.#attemptMs;
    return isDeadline ? DEADLINE_EXCEEDED : TIMED_OUT;
  }

  attemptFailed(attempt: Attempt<End>, thrown: unknown): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') {
      this.#surface(thrown);
      return;
    }
    const other = attempt === state.attempt ? state.hedge : state.attempt;
    const error = this.#explain(thrown, attempt.lease);
    const failure = error instanceof UpstreamError ? error.failure : OUR_BUG;
    this.#state = SEARCHING;
    const parked = this.#report(attempt, failure);
    if (!(error instanceof UpstreamError)) this.#giveUp('internal_error', error, other);
    else if (state.kind === 'committed' && failure.kind === 'unusable_answer') {
      // Thoughts were sent, and no answer followed.
      this.#answerUnusable({ error, answeredBy: attempt.answeredBy });
    } else if (state.kind === 'committed') {
      this.#giveUp(ENDS[failure.kind] ?? 'broken_off', brokenOff(error), other);
    } else {
      this.#errors.push(error);
      this.#goOnAfter({ error, answeredBy: attempt.answeredBy }, parked, other);
    }
  }

  /** After the end: a bug in what the reader does with the last part of the answer. */
  #surface(thrown: unknown): void {
    if (!(thrown instanceof UpstreamError)) this.#reader.onError(thrown, this.#answeredBy);
  }

  #giveUp(
    end: Exclude<RequestEnd['kind'], 'refused'>,
    error: unknown,
    other: Attempt<End> | null,
  ): void {
    if (other !== null) this.#drop(other, superseded('no'));
    this.#end({ kind: end });
    this.#reader.onError(error, this.#answeredBy);
  }

  /** Of two attempts the other one goes on, unless the failure ends the request. */
  #goOnAfter(failed: FailedAttempt, parked: Parked | null, other: Attempt<End> | null): void {
    const { error } = failed;
    if (other === null) {
      this.#decide(failed, parked);
      return;
    }
    const { request: action } = this.#search.verdictOf(error.failure);
    if (TRIES_ON.has(action)) {
      if (action === 'another_try') this.#unusable ??= failed;
      if (!other.isHedge) this.#trace.hedge = 'wasted';
      this.#state = { kind: 'attempting', attempt: other, hedge: null };
      this.#answeredBy = other.answeredBy;
      return;
    }
    this.#drop(other, action === 'stop' ? CLIENT_GONE : superseded('no'));
    if (action !== 'stop') this.#answeredBy = failed.answeredBy;
    if (action === 'answer' && !other.isHedge) this.#trace.hedge = 'won';
    this.#decide(failed, parked);
  }

  #explain(thrown: unknown, lease: Lease): unknown {
    if (!(thrown instanceof UpstreamError)) return thrown;
    const { explain } = this.#request;
    const error = explain === undefined ? thrown : explain(thrown, lease.key);
    const failure = lease.judge(error.failure);
    return failure === error.failure ? error : new UpstreamError(failure, error.refusal);
  }

  /** What happens to the request after an attempt that failed. */
  #decide(failed: FailedAttempt, parked: Parked | null): void {
    const { error } = failed;
    const { clock, random } = this.#options;
    const { request: action } = this.#search.verdictOf(error.failure);
    switch (action) {
      case 'next_key':
        this.search();
        return;
      case 'next_project':
        if (this.#search.hasMore()) this.search();
        else this.#refuse(refused(error, parked?.until ?? null, clock.now()));
        return;
      case 'another_key':
        // Half to one and a half times the pause, so that many requests do not return together.
        if (this.#search.hasMore()) this.#pause(PAUSE_MS * (0.5 + random()));
        else this.search();
        return;
      case 'another_try': {
        const isFirst = this.#unusable === null;
        this.#unusable = failed;
        if (isFirst) this.search();
        else this.#answerUnusable(this.#unusable);
        return;
      }
      case 'answer':
        this.#end({ kind: ENDS[error.failure.kind] ?? 'broken_off' });
        this.#reader.onError(error, this.#answeredBy);
        return;
      case 'our_fault':
        this.#refuse(ourFault(error));
        return;
      case 'timeout':
        this.#refuse(upstreamTimeout(error));
        return;
      case 'stop':
        this.#refuse(clientGone());
        return;
      default:
        action satisfies never;
    }
  }

  #answerUnusable({ error, answeredBy }: FailedAttempt): void {
    this.#end({ kind: 'answered' });
    this.#reader.onError(error, answeredBy);
  }

  #pause(ms: number): void {
    const timer = this.#options.clock.after(ms, () => this.search());
    this.#state = { kind: 'waiting', cancel: () => timer.cancel() };
  }

  /** Ends the attempt; the request goes on. */
  #report(attempt: Attempt<End>, outcome: Outcome): Parked | null {
    const { lease, answeredBy, span, isHedge, startedAt, firstMs, timer, end } = attempt;
    const { responseModel } = answeredBy;
    timer?.cancel();
    const parked = lease.report(outcome, end?.usage?.inputTokens);
    const ended = {
      key: lease.key.id,
      target: lease.target,
      responseModel,
      otherModel: responseModel === lease.target.model ? null : responseModel,
      outcome,
      isProbe: lease.isProbe,
      isHedge,
      parked,
      startedAt,
      ms: this.#options.clock.now() - startedAt,
      firstMs,
      usage: usageIn(attempt, outcome),
      span,
    };
    const before = this.#trace.attempts.at(-1) ?? ended;
    this.#trace.attempts.push(ended);
    if (before !== ended && isFailover(before, ended)) this.#trace.failovers += 1;
    if (outcome.kind === 'success') {
      this.#trace.success = ended;
      return null;
    }
    this.#search.failed(lease, outcome, parked);
    const queue = this.#options.queues.get(lease.target.provider);
    if (queue !== undefined && queue.waiters.size > 0) queue.leaseFailed(concernedBy(lease));
    for (const sink of this.#options.sinks) sink.attemptFailed?.(ended, this.#trace);
    return parked;
  }

  #refuse(error: ServiceError): void {
    const { code, retryAfterMs } = error;
    if (this.#unusable !== null && code !== 'client_gone') {
      this.#answerUnusable(this.#unusable);
      return;
    }
    this.#end(code === 'client_gone' ? { kind: code } : { kind: 'refused', code, retryAfterMs });
    this.#reader.onError(error, this.#answeredBy);
  }

  #end(end: RequestEnd): void {
    // It gets its end here.
    const trace = this.#trace as EndedTrace;
    this.#state = ENDED;
    this.#request.caller.work = null;
    if (trace.hedge === 'started') trace.hedge = trace.success?.isHedge ? 'won' : 'wasted';
    trace.ms = this.#options.clock.now() - trace.startedAt;
    trace.end = end;
    const endedWell = end.kind === 'answered' || end.kind === 'client_gone';
    const hadTrouble = !endedWell || trace.attempts.length > 1;
    for (const sink of this.#options.sinks) {
      if (hadTrouble) sink.requestHadTrouble?.(trace);
      sink.requestEnded?.(trace);
    }
  }

  /** The first target's provider stands for the request. */
  #provider(): ProviderFacts {
    return providerOf(this.#options.providers, this.#request.targets[0].provider);
  }
}

/** Gets the answer of a hedge: its first word makes it the attempt that counts. */
class HedgeHandler<Chunk, End extends AnswerEnd> implements CallHandler<Chunk, End> {
  readonly #run: FailoverRun<unknown, Chunk, End>;
  readonly #attempt: Attempt<End>;
  #model: string | null = null;

  constructor(run: FailoverRun<unknown, Chunk, End>, attempt: Attempt<End>) {
    this.#run = run;
    this.#attempt = attempt;
  }

  get traceparent(): string | undefined {
    return this.#attempt.span?.traceparent;
  }

  onModel(name: string): void {
    this.#model = name;
  }

  onChunk(chunk: Chunk): void {
    this.#speak();
    this.#run.onChunk(chunk);
  }

  onFinish(end: End): void {
    this.#speak();
    this.#run.onFinish(end);
  }

  onEnd(end: End): void {
    this.#speak();
    this.#run.onEnd(end);
  }

  onFailure(error: unknown): void {
    this.#attempt.answeredBy.responseModel ??= this.#model;
    this.#run.attemptFailed(this.#attempt, error);
  }

  #speak(): void {
    this.#run.prefer(this.#attempt);
    if (this.#model !== null) this.#run.onModel(this.#model);
    this.#model = null;
  }
}

/** Blocked content, and an answer that broke off, may have used tokens too. */
const usageIn = ({ end, call }: Attempt<AnswerEnd>, outcome: Outcome): Usage | null =>
  ('usage' in outcome ? outcome.usage : (end?.usage ?? call?.usageSoFar?.())) ?? null;

const SUCCESS: Outcome = { kind: 'success' };
const NOT_READ: Failure = { kind: 'client_gone', message: 'the rest was not read' };
const CLIENT_GONE: Failure = { kind: 'client_gone', message: 'the client hung up' };
const superseded = (wasSlower: 'no' | 'perhaps' | 'clearly'): Failure => ({
  kind: 'superseded',
  wasSlower,
  message: 'another attempt answered first',
});
const OUR_BUG: Failure = { kind: 'internal_error', message: 'a bug of our own' };
const TIMED_OUT: Failure = {
  kind: 'upstream_down',
  timedOut: true,
  message: 'no answer within the limit',
};
const DEADLINE_EXCEEDED: Failure = {
  kind: 'deadline_exceeded',
  message: "the request's own deadline has passed",
};

/** After these another key is tried. */
const TRIES_ON: ReadonlySet<RequestAction> = new Set([
  'next_key',
  'next_project',
  'another_key',
  'another_try',
]);

/** Of the time of an answer that comes whole; the rest is for another key when the first one hangs. */
const SHARE_OF_WHOLE = 0.75;

/** A key that is asked because another one is slow does not step in for it. */
const isFailover = (before: AttemptTrace, after: AttemptTrace): boolean =>
  (before.key !== after.key || before.target !== after.target) &&
  before.outcome.kind !== 'superseded' &&
  after.outcome.kind !== 'superseded';

/** A probe concerns every target: it may test the key itself. */
const concernedBy = ({ isProbe, target }: Lease): Target | null => (isProbe ? null : target);

/** How a request ends by the failure of its last attempt, when no other key could step in any more. */
const ENDS: Partial<Record<Failure['kind'], Exclude<RequestEnd['kind'], 'refused'>>> = {
  content_blocked: 'answered',
  request_fault: 'at_fault',
  client_gone: 'client_gone',
  internal_error: 'internal_error',
};
