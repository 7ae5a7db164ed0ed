import type { KeyCounts } from '../pool/counts.ts';
import type { Cause } from '../pool/health.ts';
import type { Inspection } from '../pool/inspection.ts';
import type { UntilBy } from '../pool/key-state.ts';
import { SERVICES, type Service } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { goodFor } from './good-for.ts';
import type { Latest } from './latest.ts';
import type { Minutes } from './minutes.ts';
import type { ReportedModels } from './monitor.ts';
import type { ReleasedKeys } from './released-keys.ts';
import { reportRequest } from './request-report.ts';

/** The state of the pool and the last hour of requests; times are ISO 8601 in UTC. */
export type Overview = ReturnType<typeof reportOverview>;

export interface OverviewSources {
  readonly inspection: Inspection;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  readonly released: Pick<ReleasedKeys, 'unproven'>;
  readonly startedAt: number;
  readonly minutes: Minutes;
  readonly latest: Latest;
  readonly now: () => number;
}

/** Each open dashboard polls every two seconds, and an overview walks all keys several times. */
const CACHED_MS = 1000;

/** The overview is at most a second old; `forget` makes the next one new. */
export function createOverview(sources: OverviewSources) {
  const cached = goodFor(CACHED_MS, sources.now, () => reportOverview(sources));
  return {
    // The pages count down from `now`, so it is always the present.
    get: (): Overview => ({ ...cached.get(), now: isoTime(sources.now()) }),
    forget: cached.forget,
  };
}

function reportOverview(sources: OverviewSources) {
  const { inspection, models, mode, redis, released, startedAt, minutes, latest } = sources;
  const now = sources.now();
  return {
    now: isoTime(now),
    startedAt: isoTime(startedAt),
    mode,
    redis: redis === null ? null : redis(),
    unprovenKeys: released.unproven(),
    services: SERVICES.map((service) => ({
      service,
      inFlight: inspection.inFlight(service),
      models: models[service].map((model) => reportModel(inspection, service, model)),
    })),
    minutes: minutes.list(now).map((minute) => ({ ...minute, at: isoTime(minute.at) })),
    latest: latest.list().map(reportRequest),
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
  /** The number of unavailable keys by cause. */
  readonly causes: Readonly<Partial<Record<Cause, number>>>;
  /** When the first key comes back by itself; null when none is cooling down. */
  readonly nextReturnAt: string | null;
  /** What sets that time; `rule` is a time of our own, at which the key is only probed. */
  readonly nextReturnBy: UntilBy | null;
}
