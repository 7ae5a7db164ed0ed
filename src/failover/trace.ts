import type { Outcome, Parked } from '../pool/lease.ts';
import { FAILURE_KINDS, type Usage } from '../shared/failure.ts';
import type { Target } from '../shared/target.ts';
import type { ServiceErrorCode } from './service-error.ts';

/** What a provider is asked for; in OpenTelemetry's words where it has some. */
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

/** Told of what becomes of requests on their way through the keys. It neither throws nor keeps anybody waiting. */
export interface TraceSink {
  attemptEnded(attempt: AttemptTrace): void;
  /** Once for each request, after its last attempt; a streamed answer ends with its last piece. */
  requestEnded(request: RequestTrace): void;
}

interface TraceHead {
  readonly requestId: string;
  readonly operation: Operation;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** From start to end. */
  readonly ms: number;
  /** In line, for a key to come back, until then. */
  readonly waitedMs: number;
}

/** One call to a provider, with one key. */
export interface AttemptTrace extends TraceHead {
  /** The id of the key. */
  readonly key: string;
  readonly target: Target;
  readonly outcome: Outcome;
  /** Whether this was the one try of a key that had been parked. */
  readonly isProbe: boolean;
  readonly parked: Parked | null;
  /** Milliseconds until the first piece of the answer; null when none came. */
  readonly firstMs: number | null;
  /** Null where the provider's answer goes by unread, or has none. */
  readonly usage: Usage | null;
}

/** One request of a caller's, with all its attempts. */
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

/** Whether another key or target than the first was needed; one that was tried again is none. */
export function hasSteppedIn({ attempts }: Pick<RequestTrace, 'attempts'>): boolean {
  const [first] = attempts;
  return attempts.some(({ key, target }) => key !== first?.key || target !== first.target);
}
