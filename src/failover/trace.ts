import type { Outcome, Parked } from '../pool/lease.ts';
import type { Clock } from '../shared/clock.ts';
import { FAILURE_KINDS, type Usage } from '../shared/failure.ts';
import type { Target } from '../shared/target.ts';
import type { AttemptEnd } from './attempt.ts';
import type { ServiceError, ServiceErrorCode } from './service-error.ts';

/** What a provider is asked to do, by OpenTelemetry's names where it has some. */
export const OPERATIONS = [
  'chat',
  'generate_content',
  'count_tokens',
  'list_models',
  'session_token',
  'session_start',
] as const;
export type Operation = (typeof OPERATIONS)[number];

/** How an attempt may end. */
export const OUTCOMES = ['success', ...FAILURE_KINDS] as const;

/** Reads the traces. Must neither throw nor take long, nor change them. */
export interface TraceSink {
  /** An attempt that did not succeed has ended. */
  attemptFailed(attempt: AttemptTrace, request: RequestTrace): void;
  /**
   * Once for each request, after its last attempt; for a streamed answer after its last chunk. Only the last
   * attempt can be a success.
   */
  requestEnded(request: RequestTrace): void;
}

/** One request of a caller with all its attempts so far. The failover fills it on the way. */
export interface RequestTrace {
  readonly requestId: string;
  readonly operation: Operation;
  readonly targets: readonly [Target, ...Target[]];
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** From start to end; 0 until it has ended. */
  ms: number;
  /** Milliseconds in the wait queue so far. */
  waitedMs: number;
  /** Those that have ended. */
  readonly attempts: AttemptTrace[];
  /** Null until it has ended. */
  end: RequestEnd | null;
}

/** One call to a provider with one key. */
export interface AttemptTrace {
  /** The id of the key. */
  readonly key: string;
  readonly target: Target;
  readonly outcome: Outcome;
  readonly isProbe: boolean;
  readonly parked: Parked | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** From start to end. */
  readonly ms: number;
  /** Milliseconds until the first chunk; null without one. */
  readonly firstMs: number | null;
  /** Null where the provider's answer is not read, or has none. */
  readonly usage: Usage | null;
}

/**
 * How a request may end. `at_fault`: the provider refused the request itself. `broken_off`: the answer
 * began and did not end. `internal_error`: a bug of ours.
 */
export const REQUEST_ENDS = [
  'answered',
  'at_fault',
  'broken_off',
  'internal_error',
  'client_gone',
  'refused',
] as const;

export type RequestEnd =
  | { readonly kind: Exclude<(typeof REQUEST_ENDS)[number], 'refused'> }
  | {
      readonly kind: 'refused';
      readonly code: ServiceErrorCode;
      readonly retryAfterMs: number | null;
    };

/** The attempt that answered; null where there was none. */
export function successIn(attempts: readonly AttemptTrace[]): AttemptTrace | null {
  const last = attempts.at(-1);
  return last?.outcome.kind === 'success' ? last : null;
}

/** Passes everything on to each sink, in this order. */
export const toAllSinks = (sinks: readonly Partial<TraceSink>[]): TraceSink => ({
  attemptFailed(attempt, request) {
    for (const sink of sinks) sink.attemptFailed?.(attempt, request);
  },
  requestEnded(request) {
    for (const sink of sinks) sink.requestEnded?.(request);
  },
});

/** Whether another key or target than the first was needed. */
export function hasSteppedIn({ attempts }: Pick<RequestTrace, 'attempts'>): boolean {
  const [first] = attempts;
  return (
    attempts.length > 1 &&
    attempts.some(({ key, target }) => key !== first?.key || target !== first.target)
  );
}

interface TracedRequest extends Pick<RequestTrace, 'operation' | 'targets'> {
  readonly caller: { readonly requestId: string; trace: RequestTrace | null };
}

/** Traces one request. */
export class RequestTracer {
  readonly #now: Clock['now'];
  readonly #sink: TraceSink;
  readonly #trace: RequestTrace;

  constructor(options: { clock: Clock; sink: TraceSink }, request: TracedRequest) {
    const { operation, targets, caller } = request;
    this.#now = options.clock.now;
    this.#sink = options.sink;
    this.#trace = {
      requestId: caller.requestId,
      operation,
      targets,
      startedAt: this.#now(),
      ms: 0,
      waitedMs: 0,
      attempts: [],
      end: null,
    };
    caller.trace = this.#trace;
  }

  /** How many have ended. */
  get attempts(): number {
    return this.#trace.attempts.length;
  }

  waited(ms: number): void {
    this.#trace.waitedMs += ms;
  }

  attemptEnded({ lease, ...end }: AttemptEnd): void {
    const { key, target, isProbe } = lease;
    const ms = this.#now() - end.startedAt;
    const attempt = { key: key.id, target, isProbe, ms, ...end };
    this.#trace.attempts.push(attempt);
    if (end.outcome.kind !== 'success') this.#sink.attemptFailed(attempt, this.#trace);
  }

  /** The last attempt was committed to, or its failure is the answer. */
  answered(): void {
    const last = this.#trace.attempts.at(-1)?.outcome.kind;
    this.#end({ kind: last === undefined ? 'answered' : (ENDS[last] ?? 'broken_off') });
  }

  failed({ code, retryAfterMs }: ServiceError): void {
    const isGone = code === 'client_gone';
    this.#end(isGone ? { kind: 'client_gone' } : { kind: 'refused', code, retryAfterMs });
  }

  broke(): void {
    this.#end({ kind: 'internal_error' });
  }

  #end(end: RequestEnd): void {
    this.#trace.ms = this.#now() - this.#trace.startedAt;
    this.#trace.end = end;
    this.#sink.requestEnded(this.#trace);
  }
}

/** How a request ends by the outcome of its last attempt, when no other key could step in any more. */
const ENDS: Partial<Record<Outcome['kind'], Exclude<RequestEnd['kind'], 'refused'>>> = {
  success: 'answered',
  content_blocked: 'answered',
  request_fault: 'at_fault',
  client_gone: 'client_gone',
  internal_error: 'internal_error',
};
