import type { TraceSink } from '../failover/trace.ts';
import type { Inspection, KeyState } from '../pool/inspection.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { defaultTargets, type Target } from '../shared/target.ts';
import { reportKey } from './key-report.ts';
import {
  createOperatorActions,
  type OperatorActions,
  type OperatorActionsOptions,
} from './operator-actions.ts';
import type { KeyReport, Overview } from './reports.ts';
import { createStats, type Stats } from './stats.ts';

export interface AdminViewOptions
  extends Omit<OperatorActionsOptions, 'inspection' | 'stats' | 'acted'> {
  readonly inspection: Inspection;
  readonly mode: Overview['mode'];
  readonly providers: readonly ProviderFacts[];
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
}

/** What the operator of this process sees and does. */
export interface AdminView {
  readonly sink: TraceSink;
  readonly actions: Pick<OperatorActions, 'release' | 'park'>;
  /** Our own limit for one address has refused a request. */
  turnedAway(): void;
  /**
   * A client was refused for its own limit.
   *
   * @param limit such as `requests_per_day`, or `share`
   */
  overBudget(client: string, limit: string): void;
  readonly targets: readonly Target[];
  /** At most a second old; new after an operator's action. */
  overview(): Overview;
  /** The state of each key for a target. */
  states(target: Target): readonly KeyState[];
  /** In the order of the question, without keys that do not exist. */
  keys(asked: readonly { readonly target: Target; readonly id: string }[]): KeyReport[];
}

export function createAdminView(options: AdminViewOptions): AdminView {
  const { inspection, targets, clock } = options;
  const stats = createStats();
  const actions = createOperatorActions({ ...options, stats, acted: () => overview.forget() });
  const overview = createOverview({ ...options, stats, unprovenKeys: actions.unprovenKeys });
  return {
    sink: stats,
    actions,
    turnedAway: () => stats.turnedAway(clock.now()),
    overBudget: () => stats.overBudget(clock.now()),
    targets,
    overview: overview.get,
    states: ({ provider, label }) => inspection.states(provider, label),
    keys(asked) {
      const now = clock.now();
      const retiredCauseOf = createRetiredCauses(options);
      return asked
        .map(({ target, id }) => inspection.facts(target.provider, target.label, id))
        .filter((facts) => facts !== null)
        .map((facts) => {
          const { id } = facts.key;
          const retiredCause = retiredCauseOf(facts.key);
          return reportKey(facts, stats.ofKey(id, now), actions.lastOf(id), now, retiredCause);
        });
    },
  };
}

/** Looks at the keys of each provider once. */
function createRetiredCauses({ inspection, providers }: AdminViewOptions) {
  const causes = new Map<ProviderName, string | null>();
  return (key: ApiKey): string | null => {
    const { retiredKeys } = providerOf(providers, key.provider);
    if (retiredKeys?.isOne(key) !== true) return null;
    const known = causes.get(key.provider);
    if (known !== undefined) return known;
    const isWhole = inspection.wereRejectedTogether(key.provider, retiredKeys.isOne);
    causes.set(key.provider, isWhole ? retiredKeys.cause : null);
    return isWhole ? retiredKeys.cause : null;
  };
}

interface OverviewSources
  extends Pick<AdminViewOptions, 'inspection' | 'targets' | 'mode' | 'redis' | 'clock'>,
    Pick<OperatorActions, 'unprovenKeys'> {
  readonly stats: Pick<Stats, 'minutes' | 'latest'>;
}

/** Each open dashboard polls every two seconds, and an overview walks all keys several times. */
const CACHED_MS = 1000;

/** The overview is at most a second old; after `forget` the next one is new. */
export function createOverview(sources: OverviewSources) {
  const { clock } = sources;
  const startedAt = clock.now();
  let cached: { readonly at: number; readonly overview: Overview } | null = null;
  return {
    get(): Overview {
      const now = clock.now();
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
  const { inspection, targets, mode, redis, unprovenKeys, stats } = sources;
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
    minutes: stats.minutes(now),
    latest: stats.latest(),
  };
}

function reportTarget(inspection: Inspection, { provider, label, use }: Target) {
  const { until, untilBy = null } = inspection.nextToReturn(provider, label) ?? {};
  return {
    model: label,
    embeds: use === 'embeddings',
    ...inspection.counts(provider, label),
    causes: inspection.causes(provider, label),
    nextReturnAt: until === undefined ? null : isoTime(until),
    nextReturnBy: untilBy,
  };
}
