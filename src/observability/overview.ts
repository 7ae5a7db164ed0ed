import type { Inspection } from '../pool/inspection.ts';
import { isoTime } from '../shared/clock.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { defaultTargets, type Target } from '../shared/target.ts';
import type { RecentRequests } from './recent-requests.ts';
import type { Overview } from './reports.ts';

export interface OverviewSources {
  readonly inspection: Inspection;
  readonly targets: readonly Target[];
  readonly mode: 'live' | 'demo';
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  readonly unprovenKeys: () => string[];
  readonly recent: Pick<RecentRequests, 'minutes' | 'latest'>;
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
  const { inspection, targets, mode, redis, unprovenKeys, recent } = sources;
  return {
    now: isoTime(now),
    startedAt: isoTime(startedAt),
    mode,
    redis: redis === null ? null : redis(),
    unprovenKeys: unprovenKeys(),
    services: defaultTargets(targets).map(({ provider }) => ({
      service: provider,
      inFlight: inspection.inFlight(provider),
      models: targets
        .filter((target) => target.provider === provider)
        .map((target) => reportTarget(inspection, target)),
    })),
    minutes: recent.minutes(now),
    latest: recent.latest(),
  };
}

function reportTarget(inspection: Inspection, { provider, label }: Target) {
  const { until, untilBy = null } = inspection.nextToReturn(provider, label) ?? {};
  return {
    model: label,
    ...inspection.counts(provider, label),
    causes: inspection.causes(provider, label),
    nextReturnAt: until === undefined ? null : isoTime(until),
    nextReturnBy: untilBy,
  };
}
