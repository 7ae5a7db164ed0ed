import type { AttemptTrace, RequestTrace } from '../failover/trace.ts';

/** The latest requests, newest first: a bounded number, each with a bounded number of its attempts. */
export interface Latest {
  requestEnded(request: RequestTrace): void;
  list(): readonly RememberedRequest[];
}

export interface RememberedRequest extends RequestTrace {
  /** The last of them, which decided. */
  readonly attempts: readonly AttemptTrace[];
  /** How many there were. */
  readonly attemptsInAll: number;
}

const MAX_REQUESTS = 50;
const MAX_ATTEMPTS = 10;

export function createLatest(): Latest {
  const kept: RememberedRequest[] = [];
  return {
    requestEnded(request) {
      const { attempts } = request;
      const attemptsInAll = attempts.length;
      kept.push({ ...request, attempts: attempts.slice(-MAX_ATTEMPTS), attemptsInAll });
      if (kept.length > 2 * MAX_REQUESTS) kept.splice(0, MAX_REQUESTS);
    },
    list: () => kept.slice(-MAX_REQUESTS).reverse(),
  };
}
