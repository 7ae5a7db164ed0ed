import type { FailoverOptions, FailoverRequest } from './failover-request.ts';

type Request = Pick<
  FailoverRequest<never, never>,
  'comesWhole' | 'requestTimeoutMs' | 'attemptTimeoutMs'
>;

/** Of a whole answer's time: enough for a long one, and a rest for another key when the first one hangs. */
const SHARE_OF_WHOLE = 0.75;

/** Until the first piece of the answer, over all attempts and waiting. */
export const requestLimitMs = (usual: FailoverOptions, own: Request): number =>
  shorter(usual.requestTimeoutMs, own.requestTimeoutMs);

/** Until the first piece of one attempt. */
export function attemptLimitMs(usual: FailoverOptions, own: Request): number {
  if (!own.comesWhole) return shorter(usual.attemptTimeoutMs, own.attemptTimeoutMs);
  return Math.max(usual.attemptTimeoutMs, usual.requestTimeoutMs * SHARE_OF_WHOLE);
}

const shorter = (usual: number, own: number | undefined) =>
  own === undefined ? usual : Math.min(usual, own);
