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

/** Gets every attempt and every request. Must neither throw nor take long. */
export interface TraceSink {
  attemptEnded(attempt: AttemptTrace): void;
  /** Once for each request, after its last attempt; for a streamed answer after its last chunk. */
  requestEnded(request: RequestTrace): void;
}

interface TraceHead {
  readonly requestId: string;
  readonly operation: Operation;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** From start to end. */
  readonly ms: number;
  /** Milliseconds in the wait queue until then. */
  readonly waitedMs: number;
}

/** One call to a provider with one key. */
export interface AttemptTrace extends TraceHead {
  /** The id of the key. */
  readonly key: string;
  readonly target: Target;
  readonly outcome: Outcome;
  readonly isProbe: boolean;
  readonly parked: Parked | null;
  /** Milliseconds until the first chunk; null without one. */
  readonly firstMs: number | null;
  /** Null where the provider's answer is not read, or has none. */
  readonly usage: Usage | null;
}

/** One request of a caller with all its attempts. */
export interface RequestTrace extends TraceHead {
  readonly targets: readonly [Target, ...Target[]];
  readonly attempts: readonly AttemptTrace[];
  readonly end: RequestEnd;
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

/** Passes everything on to each sink, in this order. */
export const toAllSinks = (sinks: readonly Partial<TraceSink>[]): TraceSink => ({
  attemptEnded(attempt) {
    for (const sink of sinks) sink.attemptEnded?.(attempt);
  },
  requestEnded(request) {
    for (const sink of sinks) sink.requestEnded?.(request);
  },
});

/** Whether another key or target than the first was needed. */
export function hasSteppedIn({ attempts }: Pick<RequestTrace, 'attempts'>): boolean {
  const [first] = attempts;
  return attempts.some(({ key, target }) => key !== first?.key || target !== first.target);
}

interface TracedRequest {
  readonly operation: Operation;
  readonly targets: readonly [Target, ...Target[]];
  readonly caller: { readonly requestId: string };
}

/** Traces one request. */
export class RequestTracer {
  readonly #clock: Clock;
  readonly #sink: TraceSink;
  readonly #request: TracedRequest;
  readonly #startedAt: number;
  readonly #attempts: AttemptTrace[] = [];
  #waitedMs = 0;

  constructor({ clock, sink }: { clock: Clock; sink: TraceSink }, request: TracedRequest) {
    this.#clock = clock;
    this.#sink = sink;
    this.#request = request;
    this.#startedAt = clock.now();
  }

  /** How many have ended. */
  get attempts(): number {
    return this.#attempts.length;
  }

  waited(ms: number): void {
    this.#waitedMs += ms;
  }

  attemptEnded({ lease, ...end }: AttemptEnd): void {
    const { key, target, isProbe } = lease;
    const attempt = { ...this.#head(end.startedAt), ...end, key: key.id, target, isProbe };
    this.#attempts.push(attempt);
    this.#sink.attemptEnded(attempt);
  }

  /** The last attempt was committed to, or its failure is the answer. */
  answered(): void {
    const last = this.#attempts.at(-1)?.outcome.kind;
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
    const { targets } = this.#request;
    const head = this.#head(this.#startedAt);
    this.#sink.requestEnded({ ...head, targets, attempts: this.#attempts, end });
  }

  #head(startedAt: number): TraceHead {
    const { operation, caller } = this.#request;
    return {
      requestId: caller.requestId,
      operation,
      startedAt,
      ms: this.#clock.now() - startedAt,
      waitedMs: this.#waitedMs,
    };
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
