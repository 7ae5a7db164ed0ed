import type { Failover, FailoverRequest } from '../failover/failover.ts';
import type { AnswerEnd, Client } from '../providers/provider.ts';

export interface ValueEnd<Value> extends AnswerEnd {
  readonly value: Value;
}

/** For a token. A provider mints one within a second; a call that takes longer hangs. */
export const MINT_LIMITS = { requestTimeoutMs: 60_000, attemptTimeoutMs: 20_000 } as const;

type ValueRequest<Question, Value> = Omit<
  FailoverRequest<Question, never, ValueEnd<Value>>,
  'clients' | 'isStreamed'
> & {
  /** The client of the first target's provider. */
  readonly client: Client<Question, never, ValueEnd<Value>>;
};

/**
 * Asks the keys of one provider in turn for one value.
 *
 * @throws UpstreamError where the failure is the answer; ServiceError when no key could answer
 */
export const valueFrom = <Question, Value>(
  failover: Failover,
  { client, ...request }: ValueRequest<Question, Value>,
): Promise<Value> =>
  new Promise((resolve, reject) => {
    const clients = new Map([[request.targets[0].provider, client]]);
    failover(
      { ...request, clients, isStreamed: false },
      {
        onAttempt() {},
        onChunk: () => true,
        onEnd: ({ value }) => resolve(value),
        onError: reject,
      },
    );
  });
