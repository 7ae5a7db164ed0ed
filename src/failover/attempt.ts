import type { Lease, Outcome, Parked } from '../pool/lease.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import { type Failure, UpstreamError, type Usage } from '../shared/failure.ts';

/** Calls upstream with the leased key and hands on what comes. Ends the call when the signal aborts. */
export type OpenUpstream<C> = (
  lease: Lease,
  signal: AbortSignal,
) => AsyncGenerator<C, void, undefined>;

export interface AttemptOptions<C> {
  readonly lease: Lease;
  readonly open: OpenUpstream<C>;
  readonly clock: Clock;
  /** The caller's own: aborted when the caller has gone. */
  readonly signal: AbortSignal;
  /** The longest until the first chunk of this attempt, and of the whole request. */
  readonly firstChunkMs: number;
  readonly deadline: number;
  /** The longest between two chunks. */
  readonly idleMs: number;
  /** Whether the answer is complete with this chunk, unless more of it follows. */
  readonly isLast: (chunk: C) => boolean;
  /** The tokens that the last chunk tells of. */
  readonly usageOf?: (chunk: C) => Usage | null;
  /** Called once, at the first chunk. */
  readonly onProven: () => void;
  /** Called once, when the lease has been reported. */
  readonly onEnd: (end: AttemptEnd) => void;
}

export interface AttemptEnd {
  readonly lease: Lease;
  readonly outcome: Outcome;
  /** Whether this was the one try of a key that had been parked. */
  readonly isProbe: boolean;
  /** What is parked by what was found. */
  readonly parked: Parked | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Milliseconds until the first chunk; null when none came. */
  readonly firstMs: number | null;
  readonly usage: Usage | null;
}

/** A finish reason may come before the last text: a model is silent for half a minute within an answer. */
const FINISHED_MS = 30_000;

type Limits = Pick<
  AttemptOptions<unknown>,
  'clock' | 'signal' | 'firstChunkMs' | 'deadline' | 'idleMs'
>;

type StoppedBy = 'client' | 'deadline' | 'limit';

/**
 * One attempt with one key: proves the lease at its first chunk, reports it exactly once, and leaves
 * no timer, listener or connection behind, however it ends.
 *
 * @throws UpstreamError when upstream failed or was too slow; any other error is a bug
 */
export async function* attempt<C>(options: AttemptOptions<C>): AsyncGenerator<C, void, undefined> {
  const { lease, clock, open, isLast, usageOf = unknownUsage, onProven, onEnd } = options;
  const startedAt = clock.now();
  const { isProbe: isTrial } = lease;
  const limits = watchLimits(options);
  const chunks = open(lease, limits.signal);
  let usage: Usage | null = null;
  const prove = () => {
    if (lease.prove()) onProven();
  };
  let outcome: Outcome | null = null;
  try {
    for (;;) {
      limits.startWaiting(outcome !== null);
      const { value, done } = await chunks.next();
      limits.stopWaiting(done !== true);
      if (done) break;
      prove();
      outcome = isLast(value) ? SUCCESS : null;
      usage = usageOf(value);
      yield value;
    }
    outcome = SUCCESS;
  } catch (error) {
    // Whatever goes wrong after the last chunk takes nothing away from a complete answer.
    if (outcome !== null) return;
    const cause = limits.explain(error);
    outcome = failureIn(cause);
    throw cause;
  } finally {
    const ended = outcome ?? ABANDONED;
    const parked = lease.report(ended);
    await limits.end(chunks);
    const { firstMs } = limits;
    usage = usageIn(ended, usage);
    onEnd({ lease, outcome: ended, isProbe: isTrial, parked, startedAt, firstMs, usage });
  }
}

const SUCCESS: Outcome = { kind: 'success' };
const ABANDONED: Failure = { kind: 'client_gone', message: 'nobody waited for the rest' };
const OUR_BUG: Failure = { kind: 'internal_error', message: 'a bug of our own' };

const failureIn = (error: unknown) => (error instanceof UpstreamError ? error.failure : OUR_BUG);

const unknownUsage = () => null;

/** What was blocked may have cost tokens too. */
const usageIn = (outcome: Outcome, told: Usage | null) =>
  outcome.kind === 'content_blocked' ? (outcome.usage ?? told) : told;

/** Why we stop an attempt; only the last reason may blame the key. */
const failureBy: Record<StoppedBy, Failure> = {
  client: { kind: 'client_gone', message: 'the client hung up' },
  deadline: { kind: 'deadline_exceeded', message: "the request's own deadline has passed" },
  limit: { kind: 'upstream_down', timedOut: true, message: 'no answer within the limit' },
};

function watchLimits({ clock, signal, firstChunkMs, deadline, idleMs }: Limits) {
  const controller = new AbortController();
  let stoppedBy: StoppedBy | null = null;
  const startedAt = clock.now();
  let firstMs: number | null = null;
  let timer: Timer | null = null;
  const stop = (by: StoppedBy) => {
    stoppedBy ??= by;
    // With a reason of its own, or Node would make an exception with a stack trace.
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
    /** What was thrown, or why we stopped the attempt, if it was thrown for that. */
    explain: (error: unknown) =>
      stoppedBy === null ? error : new UpstreamError(failureBy[stoppedBy]),
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
