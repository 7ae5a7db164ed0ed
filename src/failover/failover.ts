import type { KeyPool } from '../pool/key-pool.ts';
import type { Lease, Outcome, Parked } from '../pool/lease.ts';
import type { AnswerEnd, Call, CallHandler, Client } from '../providers/provider.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import { type Failure, UpstreamError } from '../shared/failure.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { Target } from '../shared/target.ts';
import { CandidateSearch, type SearchOptions } from './candidate-search.ts';
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
import type { EndedTrace, Operation, RequestEnd, RequestTrace, TraceSink } from './trace.ts';
import type { WaitQueue, WaitQueues } from './wait-queue.ts';

export interface FailoverOptions {
  readonly pool: KeyPool;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly queues: WaitQueues;
  /** Of every target that a request names. */
  readonly providers: readonly ProviderFacts[];
  readonly sinks: readonly TraceSink[];
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
  /** The failure of an attempt as failover has to treat it. Default: as it is. */
  readonly explain?: (error: UpstreamError, key: ApiKey) => UpstreamError;
}

/** Who asks. One request of a caller is one run of the failover. */
export interface Caller {
  readonly requestId: string;
  /** Whether the connection has closed before the answer was out. */
  isGone: boolean;
  /** What works for the caller; told when that happens. No function: see `docs/performance.md` about the old space. */
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
  | { readonly kind: 'attempting' | 'committed'; readonly attempt: Attempt<End> }
  | { readonly kind: 'ended' };

const SEARCHING = { kind: 'searching' } as const;
const ENDED = { kind: 'ended' } as const;

/** One call with one lease. Times are milliseconds since the epoch. */
interface Attempt<End> {
  readonly lease: Lease;
  readonly answeredBy: AnsweredBy;
  readonly startedAt: number;
  /** Null while it is being started. */
  call: Call | null;
  /** Milliseconds until the first chunk; null before it. */
  firstMs: number | null;
  /** When the silence is too long. */
  limitAt: number;
  /** How long the provider may be silent within its answer. */
  silenceMs: number;
  /** Set where the answer is complete, unless more of it follows. */
  end: End | null;
  isPaused: boolean;
  timer: Timer | null;
  ringsAt: number;
}

interface UnusableAnswer {
  readonly error: UpstreamError;
  readonly answeredBy: AnsweredBy | null;
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
  #unusable: UnusableAnswer | null = null;
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
      operation,
      targets,
      startedAt,
      ms: 0,
      waitedMs: 0,
      attempts: [],
      failovers: 0,
      success: null,
      end: null,
    };
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
    else this.#refuse(noKeysConfigured(this.#provider()));
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
      this.#state = { kind: 'committed', attempt };
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
    if (state.kind === 'attempting' || state.kind === 'committed') this.#fail(state, error);
    // A bug in what the reader does with the last part of the answer.
    else if (!(error instanceof UpstreamError)) this.#reader.onError(error, this.#answeredBy);
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
        else this.#fail(state, new UpstreamError(CLIENT_GONE));
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
        this.#attemptOrConclude(lease ?? this.#search.lastResort());
      },
    );
    // The queue may have answered at once.
    if (this.#state !== SEARCHING) return;
    const cancel = () => {
      this.#trace.waitedMs += clock.now() - now;
      leave();
    };
    this.#state = { kind: 'waiting', cancel };
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
    else this.#refuse(conclude(this.#search, this.#errors, now, this.#provider()));
  }

  #attempt(lease: Lease): void {
    const { key, target } = lease;
    const { clients, question } = this.#request;
    const client = clients.get(target.provider);
    if (client === undefined) throw new Error(`${target.provider} cannot be asked for this`);
    const startedAt = this.#options.clock.now();
    const attempts = this.#trace.attempts.length + 1;
    const answeredBy = { target, key, attempts, responseModel: null };
    const attempt: Attempt<End> = {
      lease,
      answeredBy,
      startedAt,
      call: null,
      firstMs: null,
      limitAt: Number.POSITIVE_INFINITY,
      silenceMs: this.#options.streamIdleMs,
      end: null,
      isPaused: false,
      timer: null,
      ringsAt: Number.POSITIVE_INFINITY,
    };
    this.#state = { kind: 'attempting', attempt };
    this.#answeredBy = answeredBy;
    this.#reader.onAttempt();
    this.#limit(attempt, Math.min(startedAt + this.#attemptMs, this.#deadline));
    attempt.call = client.call(question, key, target, this);
  }

  /** Something came: the key works. */
  #hear(attempt: Attempt<End>): void {
    const { lease, startedAt } = attempt;
    const now = this.#options.clock.now();
    if (attempt.firstMs === null) {
      attempt.firstMs = now - startedAt;
      const isNews = lease.prove();
      const queue = this.#options.queues.get(lease.target.provider);
      if (isNews && queue !== undefined && queue.waiters.size > 0) {
        queue.keyProved(concernedBy(lease));
      }
    }
    this.#limit(attempt, now + attempt.silenceMs);
  }

  /** A later limit sets no new timer: the present one looks again when it rings. */
  #limit(attempt: Attempt<End>, limitAt: number): void {
    attempt.limitAt = limitAt;
    if (limitAt >= attempt.ringsAt) return;
    const { clock } = this.#options;
    attempt.timer?.cancel();
    attempt.ringsAt = limitAt;
    attempt.timer = clock.after(limitAt - clock.now(), () => this.#ring(attempt));
  }

  #ring(attempt: Attempt<End>): void {
    const state = this.#state;
    if (state.kind !== 'attempting' && state.kind !== 'committed') return;
    const now = this.#options.clock.now();
    attempt.ringsAt = Number.POSITIVE_INFINITY;
    // The time of a slow reader does not count.
    if (attempt.isPaused) this.#limit(attempt, now + attempt.silenceMs);
    else if (now < attempt.limitAt) this.#limit(attempt, attempt.limitAt);
    else {
      attempt.call?.abort();
      if (attempt.end !== null) this.onEnd(attempt.end);
      else this.#fail(state, new UpstreamError(this.#silenceOf(attempt)));
    }
  }

  #silenceOf({ startedAt, firstMs }: Attempt<End>): Failure {
    const isDeadline = firstMs === null && this.#deadline < startedAt + this.#attemptMs;
    return isDeadline ? DEADLINE_EXCEEDED : TIMED_OUT;
  }

  #fail({ kind, attempt }: Extract<State<End>, { attempt: unknown }>, thrown: unknown): void {
    const error = this.#explain(thrown, attempt.lease.key);
    const failure = error instanceof UpstreamError ? error.failure : OUR_BUG;
    const parked = this.#report(attempt, failure);
    if (!(error instanceof UpstreamError)) {
      this.#end({ kind: 'internal_error' });
      this.#reader.onError(error, this.#answeredBy);
    } else if (kind === 'committed') {
      this.#end({ kind: ENDS[failure.kind] ?? 'broken_off' });
      this.#reader.onError(brokenOff(error), this.#answeredBy);
    } else {
      this.#errors.push(error);
      this.#decide(error, parked);
    }
  }

  #explain(thrown: unknown, key: ApiKey): unknown {
    const { explain } = this.#request;
    return explain !== undefined && thrown instanceof UpstreamError ? explain(thrown, key) : thrown;
  }

  /** What happens to the request after an attempt that failed. */
  #decide(error: UpstreamError, parked: Parked | null): void {
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
        this.#unusable = { error, answeredBy: this.#answeredBy };
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

  #answerUnusable({ error, answeredBy }: UnusableAnswer): void {
    this.#end({ kind: 'answered' });
    this.#reader.onError(error, answeredBy);
  }

  #pause(ms: number): void {
    const timer = this.#options.clock.after(ms, () => this.search());
    this.#state = { kind: 'waiting', cancel: () => timer.cancel() };
  }

  /** Ends the attempt; the request goes on. */
  #report(attempt: Attempt<End>, outcome: Outcome): Parked | null {
    const { lease, answeredBy, startedAt, firstMs, timer, end } = attempt;
    const { responseModel } = answeredBy;
    this.#state = SEARCHING;
    timer?.cancel();
    const parked = lease.report(outcome);
    const ended = {
      key: lease.key.id,
      target: lease.target,
      responseModel,
      otherModel: responseModel === lease.target.model ? null : responseModel,
      outcome,
      isProbe: lease.isProbe,
      parked,
      startedAt,
      ms: this.#options.clock.now() - startedAt,
      firstMs,
      // Blocked content may have used tokens too.
      usage: ('usage' in outcome ? outcome.usage : end?.usage) ?? null,
    };
    const before = this.#trace.attempts.at(-1) ?? ended;
    this.#trace.attempts.push(ended);
    if (before.key !== ended.key || before.target !== ended.target) this.#trace.failovers += 1;
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
    trace.ms = this.#options.clock.now() - trace.startedAt;
    trace.end = end;
    const hadTrouble = end.kind === 'refused' || trace.attempts.length > 1;
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

const SUCCESS: Outcome = { kind: 'success' };
const NOT_READ: Failure = { kind: 'client_gone', message: 'the rest was not read' };
const CLIENT_GONE: Failure = { kind: 'client_gone', message: 'the client hung up' };
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

/** Of the time of an answer that comes whole; the rest is for another key when the first one hangs. */
const SHARE_OF_WHOLE = 0.75;

/** A probe concerns every target: it may test the key itself. */
const concernedBy = ({ isProbe, target }: Lease): Target | null => (isProbe ? null : target);

/** How a request ends by the failure of its last attempt, when no other key could step in any more. */
const ENDS: Partial<Record<Failure['kind'], Exclude<RequestEnd['kind'], 'refused'>>> = {
  content_blocked: 'answered',
  request_fault: 'at_fault',
  client_gone: 'client_gone',
  internal_error: 'internal_error',
};
