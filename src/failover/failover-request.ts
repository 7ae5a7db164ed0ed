import type { KeyPool } from '../pool/key-pool.ts';
import type { Reach } from '../pool/scope.ts';
import type { ApiKey } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Usage } from '../shared/failure.ts';
import type { ProviderFacts } from '../shared/provider.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import type { OpenUpstream } from './attempt.ts';
import type { Operation, TraceSink } from './trace.ts';
import type { WaitQueues } from './wait-queue.ts';

export interface FailoverOptions {
  readonly pool: KeyPool;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly queues: WaitQueues;
  /** Of every target that a request names. */
  readonly providers: readonly ProviderFacts[];
  /** Told of every attempt and every request. */
  readonly sink: TraceSink;
  /** Until the first chunk, over all attempts and waiting. */
  readonly requestTimeoutMs: number;
  /** Until the first chunk of one attempt. */
  readonly attemptTimeoutMs: number;
  /** Between two chunks. */
  readonly streamIdleMs: number;
  /** How long one request may stand in line altogether until a key is back. */
  readonly keyWaitMs: number;
}

/** Who asks, and how to tell that nobody waits any more. */
export interface Caller {
  readonly requestId: string;
  readonly signal: AbortSignal;
}

export interface FailoverRequest<C, T> {
  readonly operation: Operation;
  /** In the order of preference: a further one is used when those before have no key left. */
  readonly targets: readonly [Target, ...Target[]];
  readonly caller: Caller;
  /** Whether a key can serve this request at all; without it, any. Asked anew for each attempt. */
  readonly only?: (key: ApiKey) => boolean;
  /** The id of the key that is tried first, if it may be used. */
  readonly preferred?: string;
  /** What a provider may refuse for the request's own sake. Called once at most. Default: plain. */
  readonly shape?: () => RequestShape;
  /** Default: `whole`. */
  readonly reach?: Reach;
  /** Shorter limits than everybody's, for a caller of less patience. */
  readonly requestTimeoutMs?: number;
  readonly attemptTimeoutMs?: number;
  /** The first piece of the answer is all of it, and may take most of the request's time. */
  readonly comesWhole?: boolean;
  readonly open: OpenUpstream<C>;
  /** Whether the answer is complete with this chunk. */
  readonly isLast: (chunk: C) => boolean;
  /** The tokens that the last chunk tells of. */
  readonly usageOf?: (chunk: C) => Usage | null;
  /**
   * Takes from the answer what must be there before the caller is given anything that cannot be
   * taken back. Until it returns another key may step in; it is then called again with a new answer.
   */
  readonly commit: (answer: Answer<C>) => Promise<T>;
}

export interface Answer<C> extends AnsweredBy {
  readonly chunks: AsyncGenerator<C, void, undefined>;
}

export interface AnsweredBy {
  readonly target: Target;
  /** The id of the key. */
  readonly key: string;
  /** Which attempt of the request this is: 1 for the first. */
  readonly attempts: number;
}
