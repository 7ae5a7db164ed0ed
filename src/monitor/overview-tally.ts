import { z } from 'zod';
import type { Inspection } from '../pool/inspection.ts';
import type { Service } from '../shared/api-key.ts';
import { type Latest, MAX_REQUESTS } from './latest.ts';
import { addMinutes, type Minutes, minute } from './minutes.ts';
import { type RequestReport, reportRequest, requestReport } from './request-report.ts';

const perService = z.object({ google: z.number(), anam: z.number() } satisfies Record<
  Service,
  z.ZodNumber
>);

/** What one process has counted of the requests; times are in milliseconds since the epoch. */
export const overviewTally = z.object({
  startedAt: z.number(),
  /** Calls to a provider that have not ended yet. */
  inFlight: perService,
  /** Those of the last hour in which anything has ended, oldest first. */
  minutes: z.array(minute),
  /** Newest first. */
  latest: z.array(requestReport),
});

export type OverviewTally = z.output<typeof overviewTally>;

export interface Counted {
  readonly inspection: Pick<Inspection, 'inFlight'>;
  readonly startedAt: number;
  readonly minutes: Minutes;
  readonly latest: Latest;
}

export function takeTally(counted: Counted, now: number): OverviewTally {
  const { inspection, startedAt, minutes, latest } = counted;
  return {
    startedAt,
    inFlight: { google: inspection.inFlight('google'), anam: inspection.inFlight('anam') },
    minutes: minutes.list(now).filter(({ requests, turnedAway }) => requests + turnedAway > 0),
    latest: latest.list().map(reportRequest),
  };
}

/** What several processes have counted, as if it were one: since the first of them started, each minute of the last hour. */
export function addTallies(
  tallies: readonly [OverviewTally, ...OverviewTally[]],
  now: number,
): OverviewTally {
  const inFlight = (service: Service) =>
    tallies.reduce((sum, tally) => sum + tally.inFlight[service], 0);
  return {
    startedAt: Math.min(...tallies.map(({ startedAt }) => startedAt)),
    inFlight: { google: inFlight('google'), anam: inFlight('anam') },
    minutes: addMinutes(
      tallies.flatMap(({ minutes }) => minutes),
      now,
    ),
    latest: tallies
      .flatMap(({ latest }) => latest)
      .sort(byTime)
      .slice(0, MAX_REQUESTS),
  };
}

/** Newest first. */
const byTime = (a: RequestReport, b: RequestReport) => Number(a.at < b.at) - Number(a.at > b.at);
