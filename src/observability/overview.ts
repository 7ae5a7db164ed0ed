import type { Inspection } from '../pool/inspection.ts';
import { SERVICES, type Service } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import type { RedisState } from '../shared/shared-store.ts';
import type { createLatestRequests, createMinutes } from './recent-requests.ts';
import type { Overview } from './reports.ts';

/** The models of each service that reports list; the first is the default. */
export type ReportedModels = Readonly<Record<Service, readonly [string, ...string[]]>>;

export interface OverviewSources {
  readonly inspection: Inspection;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  readonly unprovenKeys: () => string[];
  readonly minutes: ReturnType<typeof createMinutes>;
  readonly latest: ReturnType<typeof createLatestRequests>;
  readonly now: () => number;
}

/** Each open dashboard polls every two seconds, and an overview walks all keys several times. */
const CACHED_MS = 1000;

/** The overview is at most a second old; after `forget` the next one is new. */
export function createOverview(sources: OverviewSources) {
  const startedAt = sources.now();
  let cached: { readonly at: number; readonly overview: Overview } | null = null;
  return {
    get(): Overview {
      const now = sources.now();
      // The clock may be set back.
      if (cached === null || now < cached.at || now - cached.at >= CACHED_MS) {
        cached = { at: now, overview: reportOverview(sources, startedAt, now) };
      }
      // The pages count down from `now`, so it is always the present.
      return { ...cached.overview, now: isoTime(now) };
    },
    forget(): void {
      cached = null;
    },
  };
}

function reportOverview(sources: OverviewSources, startedAt: number, now: number): Overview {
  const { inspection, models, mode, redis, unprovenKeys, minutes, latest } = sources;
  return {
    now: isoTime(now),
    startedAt: isoTime(startedAt),
    mode,
    redis: redis === null ? null : redis(),
    unprovenKeys: unprovenKeys(),
    services: SERVICES.map((service) => ({
      service,
      inFlight: inspection.inFlight(service),
      models: models[service].map((model) => reportModel(inspection, service, model)),
    })),
    minutes: minutes.list(now).map((minute) => ({ ...minute, at: isoTime(minute.at) })),
    latest: latest.list(),
  };
}

function reportModel(inspection: Inspection, service: Service, model: string) {
  const { until, untilBy = null } = inspection.nextToReturn(service, model) ?? {};
  return {
    model,
    ...inspection.counts(service, model),
    causes: inspection.causes(service, model),
    nextReturnAt: until === undefined ? null : isoTime(until),
    nextReturnBy: untilBy,
  };
}
