import type { KeyTally } from '../../src/monitor/key-tally.ts';
import { createLatest } from '../../src/monitor/latest.ts';
import { createMinutes } from '../../src/monitor/minutes.ts';
import { type OverviewTally, takeTally } from '../../src/monitor/overview-tally.ts';
import type { RequestRecord } from '../../src/service/observer.ts';

/** What a process has counted of these requests, as it stands at `now`. */
export function tallyOf(
  requests: readonly RequestRecord[],
  now: number,
  { startedAt = 0, inFlight = 0 } = {},
): OverviewTally {
  const [minutes, latest] = [createMinutes(), createLatest()];
  for (const request of requests) {
    minutes.requestEnded(request);
    latest.requestEnded(request);
  }
  const inspection = { inFlight: () => inFlight };
  return takeTally({ inspection, startedAt, minutes, latest }, now);
}

/** Of a key that nobody has used, but for what is said otherwise. */
export const keyTallyOf = (changed: Partial<KeyTally> = {}): KeyTally => ({
  inFlight: 0,
  calls: 0,
  successes: 0,
  failures: {},
  firstMs: [],
  lastError: null,
  lastAction: null,
  ...changed,
});
