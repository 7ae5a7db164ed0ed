import { quantile } from '../support/quantile.ts';
import type { Outcome, Played } from './outcome.ts';
import { MINUTE, type Scenario } from './scenario.ts';

/**
 * What a run comes to; times in virtual seconds. Percentiles are of all requests that were not refused
 * with 503: who gives up has waited, too.
 */
export interface Figures {
  readonly requests: number;
  readonly served: number;
  readonly callsPerAnswer: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  /** The longest from capacity's return to the first answer; null when there was none in time. */
  readonly recovery: number | null;
  /** How many requests ended with each status other than 200 and 503. */
  readonly odd: ReadonlyMap<number, number>;
}

export function figuresOf(scenario: Scenario, { outcomes, upstreamCalls }: Played): Figures {
  const served = outcomes.filter(({ status }) => status === 200);
  const waited = outcomes.filter(({ status }) => status !== 503);
  const latencies = waited.map(({ askedAt, endedAt }) => (endedAt - askedAt) / 1000);
  latencies.sort((a, b) => a - b);
  const answeredAt = served.map(({ endedAt }) => endedAt).toSorted((a, b) => a - b);
  return {
    requests: outcomes.length,
    served: served.length,
    callsPerAnswer: upstreamCalls / served.length,
    p50: quantile(latencies, 0.5),
    p90: quantile(latencies, 0.9),
    p99: quantile(latencies, 0.99),
    recovery: longestRecovery(scenario, answeredAt),
    odd: countStatuses(outcomes.filter(({ status }) => status !== 200 && status !== 503)),
  };
}

/** After each return the first answer has until the next return, or the end. */
function longestRecovery({ startsAt, recoversAt = [] }: Scenario, answeredAt: readonly number[]) {
  const returns = recoversAt.map((minutes) => startsAt + minutes * MINUTE);
  const recoveries = returns.map((at, index) => {
    const next = returns[index + 1] ?? Number.POSITIVE_INFINITY;
    const first = answeredAt.find((answered) => answered >= at && answered < next);
    return first === undefined ? null : (first - at) / 1000;
  });
  return recoveries.includes(null) ? null : Math.max(...recoveries.map(Number));
}

/** @returns how many requests ended with each status */
export function countStatuses(outcomes: readonly Outcome[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const { status } of outcomes) counts.set(status, (counts.get(status) ?? 0) + 1);
  return counts;
}
