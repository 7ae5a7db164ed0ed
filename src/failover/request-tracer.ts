import type { Outcome } from '../pool/lease.ts';
import type { Clock } from '../shared/clock.ts';
import type { Target } from '../shared/target.ts';
import type { AttemptEnd } from './attempt.ts';
import type { ServiceError } from './service-error.ts';
import type { AttemptTrace, Operation, RequestEnd, TraceSink } from './trace.ts';

interface Asked {
  readonly operation: Operation;
  readonly targets: readonly [Target, ...Target[]];
  readonly caller: { readonly requestId: string };
}

/** What becomes of one request, told as it happens. */
export class RequestTracer {
  readonly #clock: Clock;
  readonly #sink: TraceSink;
  readonly #asked: Asked;
  readonly #startedAt: number;
  readonly #attempts: AttemptTrace[] = [];
  #waitedMs = 0;

  constructor({ clock, sink }: { clock: Clock; sink: TraceSink }, asked: Asked) {
    this.#clock = clock;
    this.#sink = sink;
    this.#asked = asked;
    this.#startedAt = clock.now();
  }

  /** How many have ended. */
  get attempts(): number {
    return this.#attempts.length;
  }

  /** Adds to its time in line. */
  waited(ms: number): void {
    this.#waitedMs += ms;
  }

  attemptEnded({ lease, ...end }: AttemptEnd): void {
    const attempt = {
      ...this.#told(end.startedAt),
      ...end,
      key: lease.key.id,
      target: lease.target,
    };
    this.#attempts.push(attempt);
    this.#sink.attemptEnded(attempt);
  }

  /** With an answer, be it that the request itself was at fault. */
  answered(): void {
    const last = this.#attempts.at(-1)?.outcome.kind;
    this.#end({ kind: last === undefined ? 'answered' : ENDS[last] });
  }

  /** By a bug of our own. */
  broke(): void {
    this.#end({ kind: 'internal_error' });
  }

  /** With a refusal, or because the caller has gone. */
  failed({ code, retryAfterMs }: ServiceError): void {
    const isGone = code === 'client_gone';
    this.#end(isGone ? { kind: 'client_gone' } : { kind: 'refused', code, retryAfterMs });
  }

  #end(end: RequestEnd): void {
    const { targets } = this.#asked;
    this.#sink.requestEnded({
      ...this.#told(this.#startedAt),
      targets,
      attempts: this.#attempts,
      end,
    });
  }

  #told(startedAt: number) {
    const { operation, caller } = this.#asked;
    return {
      requestId: caller.requestId,
      operation,
      startedAt,
      ms: this.#clock.now() - startedAt,
      waitedMs: this.#waitedMs,
    };
  }
}

/** What the last attempt of an answered request tells of its answer: after the first piece no other key can step in. */
const ENDS: Record<Outcome['kind'], Exclude<RequestEnd['kind'], 'refused'>> = {
  success: 'answered',
  content_blocked: 'answered',
  request_fault: 'at_fault',
  client_gone: 'client_gone',
  rate_limited: 'broken_off',
  quota_exhausted: 'broken_off',
  out_of_credit: 'broken_off',
  key_rejected: 'broken_off',
  model_unavailable: 'broken_off',
  upstream_down: 'broken_off',
  not_owned: 'broken_off',
  misconfigured: 'broken_off',
  deadline_exceeded: 'broken_off',
  internal_error: 'internal_error',
};
