import type { KeyCounts } from '../pool/counts.ts';
import type { Cause } from '../pool/health.ts';
import type { Inspection } from '../pool/inspection.ts';
import type { UntilBy } from '../pool/key-state.ts';
import { SERVICES, type Service } from '../shared/api-key.ts';
import type { RedisState } from '../shared/common.ts';
import { isoTime } from '../shared/iso-time.ts';
import type { ReportedModels } from './monitor.ts';
import { addTallies, type OverviewTally } from './overview-tally.ts';
import type { ReleasedKeys } from './released-keys.ts';

/** What answers at a glance; times are ISO 8601 in UTC. */
export type Overview = ReturnType<typeof reportOverview>;

export interface OverviewSources {
  readonly inspection: Inspection;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  /** Null where there is none. */
  readonly redis: (() => RedisState) | null;
  readonly released: Pick<ReleasedKeys, 'unproven'>;
}

/** @param tallies what each process that tells of itself has counted */
export function reportOverview(
  { inspection, models, mode, redis, released }: OverviewSources,
  tallies: readonly [OverviewTally, ...OverviewTally[]],
  now: number,
) {
  const { startedAt, inFlight, minutes, latest } = addTallies(tallies, now);
  return {
    now: isoTime(now),
    startedAt: isoTime(startedAt),
    mode,
    processes: tallies.length,
    redis: redis === null ? null : redis(),
    unprovenKeys: released.unproven(),
    services: SERVICES.map((service) => ({
      service,
      inFlight: inFlight[service],
      models: models[service].map((model) => reportModel(inspection, service, model)),
    })),
    minutes: minutes.map((minute) => ({ ...minute, at: isoTime(minute.at) })),
    latest,
  };
}

function reportModel(inspection: Inspection, service: Service, model: string): ModelReport {
  const { until, untilBy } = inspection.nextToReturn(service, model) ?? {};
  return {
    model,
    ...inspection.counts(service, model),
    causes: inspection.causes(service, model),
    nextReturnAt: until === undefined ? null : isoTime(until),
    nextReturnBy: untilBy ?? null,
  };
}

interface ModelReport extends KeyCounts {
  readonly model: string;
  /** Why keys cannot be had, and how many for each reason. */
  readonly causes: Readonly<Partial<Record<Cause, number>>>;
  /** When the first key that comes back by itself does; null when none is cooling down. */
  readonly nextReturnAt: string | null;
  /** Who says so; by a `rule` it is only tried again then. */
  readonly nextReturnBy: UntilBy | null;
}
