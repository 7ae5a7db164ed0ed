import type { Lease, Outcome, Parked } from '../pool/lease.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import { type Failure, UpstreamError, type Usage } from '../shared/failure.ts';

/** How a provider is called, and how its chunks are read. */
export interface UpstreamCall<C> {
  /** Calls the provider with the leased key. Must end the call when the signal aborts. */
  readonly open: (lease: Lease, signal: AbortSignal) => AsyncGenerator<C, void, undefined>;
  /** Whether the answer is complete with this chunk, unless more of it follows. */
  readonly isLast: (chunk: C) => boolean;
  /** The tokens that the last chunk counts. Default: unknown. */
  readonly usageOf?: (chunk: C) => Usage | null;
}

export interface AttemptOptions<C> {
  readonly lease: Lease;
  readonly call: UpstreamCall<C>;
  readonly clock: Clock;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
  /** Until the first chunk of this attempt, in milliseconds. */
  readonly firstChunkMs: number;
  /** When the first chunk of the whole request must be there: milliseconds since the epoch. */
  readonly deadline: number;
  /** Between two chunks, in milliseconds. */
  readonly idleMs: number;
  /** Called once, at the first chunk. */
  readonly onProven: () => void;
  /** Called once, after the lease is reported. */
  readonly onEnd: (end: AttemptEnd) => void;
}

export interface AttemptEnd {
  readonly lease: Lease;
  readonly outcome: Outcome;
  readonly parked: Parked | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Milliseconds until the first chunk; null without one. */
  readonly firstMs: number | null;
  readonly usage: Usage | null;
}

/** The finish reason may come before the last text: a model may be silent this long within an answer. */
const FINISHED_MS = 30_000;

/**
 * One attempt with one key: proves the lease at the first chunk, reports it once, and leaves no timer, listener
 * or connection behind.
 *
 * @throws UpstreamError when upstream failed or was too slow; any other error is a bug
 */
export async function* attempt<C>(options: AttemptOptions<C>): AsyncGenerator<C, void, undefined> {
  const { lease, clock, call, onProven, onEnd } = options;
  const startedAt = clock.now();
  const limits = watchLimits(options);
  const chunks = call.open(lease, limits.signal);
  const prove = () => {
    if (lease.prove()) onProven();
  };
  let last: C | null = null;
  let outcome: Outcome | null = null;
  try {
    for (;;) {
      limits.startWaiting(outcome !== null);
      const { value, done } = await chunks.next();
      limits.stopWaiting(done !== true);
      if (done) break;
      prove();
      outcome = call.isLast(value) ? SUCCESS : null;
      last = value;
      yield value;
    }
    outcome = SUCCESS;
  } catch (error) {
    // What goes wrong after the last chunk takes nothing away from a complete answer.
    if (outcome !== null) return;
    const cause = limits.explain(error);
    outcome = failureIn(cause);
    throw cause;
  } finally {
    const ended = outcome ?? ABANDONED;
    const parked = lease.report(ended);
    await limits.end(chunks);
    const usage = usageIn(ended, call, last);
    onEnd({ lease, outcome: ended, parked, startedAt, firstMs: limits.firstMs, usage });
  }
}

const SUCCESS: Outcome = { kind: 'success' };
const ABANDONED: Failure = { kind: 'client_gone', message: 'the rest was not read' };
const OUR_BUG: Failure = { kind: 'internal_error', message: 'a bug of our own' };

const failureIn = (error: unknown) => (error instanceof UpstreamError ? error.failure : OUR_BUG);

function usageIn<C>(outcome: Outcome, { usageOf }: UpstreamCall<C>, last: C | null) {
  const counted = last === null ? null : (usageOf?.(last) ?? null);
  // Blocked content may have used tokens too.
  return outcome.kind === 'content_blocked' ? (outcome.usage ?? counted) : counted;
}

/** Why we stop an attempt; only `limit` may blame the key. */
type StoppedBy = 'client' | 'deadline' | 'limit';

const FAILURE_BY: Record<StoppedBy, Failure> = {
  client: { kind: 'client_gone', message: 'the client hung up' },
  deadline: { kind: 'deadline_exceeded', message: "the request's own deadline has passed" },
  limit: { kind: 'upstream_down', timedOut: true, message: 'no answer within the limit' },
};

type Limits = Pick<
  AttemptOptions<unknown>,
  'clock' | 'signal' | 'firstChunkMs' | 'deadline' | 'idleMs'
>;

function watchLimits({ clock, signal, firstChunkMs, deadline, idleMs }: Limits) {
  const controller = new AbortController();
  let stoppedBy: StoppedBy | null = null;
  const startedAt = clock.now();
  let firstMs: number | null = null;
  let timer: Timer | null = null;
  const stop = (by: StoppedBy) => {
    stoppedBy ??= by;
    // Without a reason Node would create an exception with a stack trace.
    controller.abort(by);
  };
  const onClientGone = () => stop('client');
  signal.addEventListener('abort', onClientGone);
  if (signal.aborted) onClientGone();

  const nextLimit = (isComplete: boolean): [number, StoppedBy] => {
    if (isComplete) return [FINISHED_MS, 'limit'];
    if (firstMs !== null) return [idleMs, 'limit'];
    const left = deadline - clock.now();
    return left < firstChunkMs ? [left, 'deadline'] : [firstChunkMs, 'limit'];
  };

  return {
    signal: controller.signal,
    get firstMs() {
      return firstMs;
    },
    /** Why we stopped the attempt, if we did; else what was thrown. */
    explain: (error: unknown) =>
      stoppedBy === null ? error : new UpstreamError(FAILURE_BY[stoppedBy]),
    startWaiting(isComplete: boolean): void {
      const [ms, reason] = nextLimit(isComplete);
      timer = clock.after(ms, () => stop(reason));
    },
    stopWaiting(hasCome: boolean): void {
      timer?.cancel();
      if (hasCome) firstMs ??= clock.now() - startedAt;
    },
    async end(chunks: AsyncGenerator<unknown>) {
      timer?.cancel();
      signal.removeEventListener('abort', onClientGone);
      await chunks.return(undefined);
    },
  };
}
