import type { Outcome, Parked } from '../pool/lease.ts';
import { FAILURE_KINDS, type Usage } from '../shared/failure.ts';
import type { Target } from '../shared/target.ts';
import type { ServiceErrorCode } from './service-error.ts';

/** What a provider is asked to do, by OpenTelemetry's names where it has some. */
export const OPERATIONS = [
  'chat',
  'generate_content',
  'embeddings',
  'count_tokens',
  'list_models',
  'live_token',
  'session_token',
  'session_start',
] as const;
export type Operation = (typeof OPERATIONS)[number];

/** How an attempt may end. */
export const OUTCOMES = ['success', ...FAILURE_KINDS] as const;

/** Whether a hedge has brought the answer. */
export const HEDGE_ENDS = ['won', 'wasted'] as const;
type HedgeEnd = (typeof HEDGE_ENDS)[number];

/** Reads the traces. Must neither throw nor take long, nor change them. */
export interface TraceSink {
  /** In an attempt another model begins to answer than was asked for. */
  otherModelAnswers?(target: Target, responseModel: string): void;
  /** An attempt that did not succeed has ended. */
  attemptFailed?(attempt: AttemptTrace, request: RequestTrace): void;
  /** Before `requestEnded`, for a request that needed more than one attempt, or was neither answered nor left by its client. */
  requestHadTrouble?(request: EndedTrace): void;
  /**
   * Once for each request, after its last attempt; for a streamed answer after its last chunk. Only the last
   * attempt can be a success.
   */
  requestEnded?(request: EndedTrace): void;
}

/** Starts the spans of a distributed trace. `observability/otel.ts` ends them. */
export interface Tracing {
  /** @param traceparent W3C's header as the caller sent it; one that is malformed begins a new trace */
  startRequest(
    request: Pick<RequestTrace, 'operation' | 'targets' | 'client' | 'startedAt'>,
    traceparent: string | undefined,
  ): RequestSpan;
}

export interface RequestSpan {
  readonly traceId: string;
  /** @param key its id */
  startAttempt(target: Target, key: string, startedAt: number): AttemptSpan;
  end(request: EndedTrace): void;
}

export interface AttemptSpan {
  /** W3C's header for the provider. */
  readonly traceparent: string;
  end(attempt: AttemptTrace): void;
}

/** One request of a caller with all its attempts so far. The failover fills it on the way. */
export interface RequestTrace {
  readonly requestId: string;
  /** The name of the client whose token was sent; null without one. */
  readonly client: string | null;
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
  /** How often another key or target stepped in. A second attempt with the same key does not count. */
  failovers: number;
  /** The attempt that answered; null where there is none yet. */
  success: AttemptTrace | null;
  /** What became of the second attempt beside a slow one; null where there was none. */
  hedge: HedgeEnd | 'started' | null;
  /** Null until it has ended. */
  end: RequestEnd | null;
  /** Null where no spans are exported. */
  span: RequestSpan | null;
}

export interface EndedTrace extends RequestTrace {
  end: RequestEnd;
}

/** One call to a provider with one key. */
export interface AttemptTrace {
  /** The id of the key. */
  readonly key: string;
  readonly target: Target;
  /** The model that answered, as the provider names it; null where it does not. */
  readonly responseModel: string | null;
  /** The same if it is not the one that was asked for, else null. */
  readonly otherModel: string | null;
  readonly outcome: Outcome;
  readonly isProbe: boolean;
  /** Whether it was started because another one was slow. */
  readonly isHedge: boolean;
  readonly parked: Parked | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** From start to end. */
  readonly ms: number;
  /** Milliseconds until the first chunk; null without one. */
  readonly firstMs: number | null;
  /** Null where the provider's answer is not read, or has none. */
  readonly usage: Usage | null;
  /** Null where no spans are exported. */
  readonly span: AttemptSpan | null;
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
