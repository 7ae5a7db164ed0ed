import type { TraceSink } from '../failover/trace.ts';
import type { Inspection, KeyState } from '../pool/inspection.ts';
import type { ApiKey, KnownKey, KnownKeys, ProviderName } from '../shared/api-key.ts';
import { isoTime, MINUTE_MS } from '../shared/clock.ts';
import type { KeyCheck } from '../shared/key-check.ts';
import type { Prices } from '../shared/prices.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { InstanceQuestions, RedisState } from '../shared/shared-store.ts';
import { defaultTargets, type Target } from '../shared/target.ts';
import { mergeFailures } from './failure-groups.ts';
import { createInstances, type Instances, type Snapshot } from './instances.ts';
import { fingerprintOf, reportKey, reportUnusedKey } from './key-report.ts';
import {
  createOperatorActions,
  type OperatorAction,
  type OperatorActions,
  type OperatorActionsOptions,
} from './operator-actions.ts';
import {
  type History,
  type KeyReport,
  MAX_POINTS,
  type Overview,
  type RequestReport,
  type Unused,
  type Verdict,
} from './reports.ts';
import { type SituationWatchOptions, watchSituations } from './situation-watch.ts';
import {
  addUp,
  createStats,
  DAY_MINUTES,
  lastHour,
  mergePeriods,
  type Period,
  p95Of,
} from './stats.ts';
import { createTroubles, type RefusedCaller, type Troubles } from './troubles.ts';
import type { Today, UsageStats } from './usage.ts';

export interface AdminViewOptions
  extends Omit<OperatorActionsOptions, 'inspection' | 'stats' | 'acted'>,
    Pick<SituationWatchOptions, 'store' | 'atOtherAddress' | 'checkWorkedAt' | 'isClient'> {
  readonly inspection: Inspection;
  readonly registry: KnownKeys & { onChange(listener: () => void): void };
  readonly mode: Overview['mode'];
  readonly providers: readonly ProviderFacts[];
  readonly lastCheckOf: (key: ApiKey) => KeyCheck | null;
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  readonly usage: Pick<UsageStats, 'today'>;
  /** Null without `PRICES`. */
  readonly prices: Prices | null;
  /** The name of this instance among those of one Redis. */
  readonly instance: string;
  /** Null without Redis. */
  readonly questions: InstanceQuestions | null;
  readonly measuresProcess: boolean;
}

/** What the operator of this process sees and does. */
export interface AdminView {
  readonly sinks: readonly TraceSink[];
  readonly actions: Pick<OperatorActions, 'release' | 'park' | 'needsAction'>;
  /** Our own limit for one address has refused a request. */
  turnedAway(caller: RefusedCaller): void;
  /**
   * A client was refused for its own limit.
   *
   * @param limit such as `requests_per_day`, or `share`
   */
  overBudget(client: string, limit: string): void;
  /** What is wrong now. */
  verdict(): Verdict;
  readonly troubles: Troubles;
  readonly targets: readonly Target[];
  /** At most a second old; new after an operator's action. */
  overview(): Promise<Overview>;
  /**
   * At most the last 24 hours.
   *
   * @param from milliseconds since the epoch; default: a day before `to`
   * @param to default: now
   */
  history(from: number | null, to: number | null): Promise<History>;
  /** One request of any instance; null when it is forgotten. */
  request(id: string): Promise<RequestReport | null>;
  /** The state of each key for a target; paused and retired keys come too. */
  states(target: Target): readonly ListedState[];
  /** The ids of the keys whose id, project, billing label or fingerprint has this text, in any case. */
  search(text: string): ReadonlySet<string>;
  /** In the order of the question, without keys that do not exist. */
  keys(asked: readonly { readonly target: Target; readonly id: string }[]): KeyReport[];
}

export type ListedState = KeyState | { readonly id: string; readonly state: Unused };

export function createAdminView(options: AdminViewOptions): AdminView {
  const { inspection, registry, targets, clock, lastCheckOf } = options;
  const stats = createStats();
  const services = defaultTargets(targets).map(({ provider }) => provider);
  const startedAt = clock.now();
  const instances = createInstances({ ...options, stats, services, startedAt });
  const actions = createOperatorActions({ ...options, stats, acted: () => overview.forget() });
  const troubles = createTroubles(stats.answersOf);
  const { unprovenKeys } = actions;
  const verdict = watchSituations({ ...options, troubles, unprovenKeys });
  const overview = createOverview({
    ...options,
    ...{ instances, startedAt, unprovenKeys, verdict },
  });
  registry.onChange(overview.forget);
  return {
    sinks: [stats, troubles],
    actions,
    turnedAway(caller) {
      stats.turnedAway(clock.now());
      troubles.turnedAway(caller, clock.now());
    },
    overBudget(client, limit) {
      stats.overBudget(clock.now());
      troubles.overBudget(client, limit, clock.now());
    },
    verdict,
    troubles,
    targets,
    overview: overview.get,
    history(from, to) {
      const now = clock.now();
      const end = to ?? now;
      return reportHistory(instances, from ?? end - DAY_MINUTES * MINUTE_MS, end, now);
    },
    request: instances.request,
    states: ({ provider, label }) =>
      inKnownOrder(registry, provider, inspection.states(provider, label)),
    search(text) {
      const isMeant = createSearch(text);
      return new Set(
        [...registry.all()]
          .map(({ key }) => key)
          .filter(isMeant)
          .map(({ id }) => id),
      );
    },
    keys(asked) {
      const now = clock.now();
      const retiredCauseOf = createRetiredCauses(options);
      return asked.flatMap(({ target, id }) => {
        const known = registry.get(id);
        if (known?.key.provider !== target.provider) return [];
        const notes = {
          ...stats.ofKey(id, now),
          origin: known.origin,
          lastAction: later(actions.lastOf(id), known.lastChange),
          lastCheck: lastCheckOf(known.key),
        };
        if (known.use !== 'used') {
          const inFlight = inspection.inFlightOf(id);
          return [reportUnusedKey(known.key, known.use, target, inFlight, notes)];
        }
        const facts = inspection.facts(target.provider, target.label, id);
        return facts === null ? [] : [reportKey(facts, notes, now, retiredCauseOf(facts.key))];
      });
    },
  };
}

/** A fingerprint takes a digest, so it is only made where the text may be part of one. */
function createSearch(text: string) {
  const sought = text.toLowerCase();
  const mayBeFingerprint = /^[0-9a-f]{1,10}$/.test(sought);
  return (key: ApiKey): boolean =>
    [key.id, key.project, key.billing ?? ''].some((one) => one.toLowerCase().includes(sought)) ||
    (mayBeFingerprint && fingerprintOf(key).includes(sought));
}

function inKnownOrder(
  known: KnownKeys,
  provider: ProviderName,
  states: readonly KeyState[],
): readonly ListedState[] {
  const byId = new Map(states.map((state) => [state.id, state]));
  return [...known.all()].flatMap(({ key: { id, ...key }, use }: KnownKey): ListedState[] => {
    if (key.provider !== provider) return [];
    if (use !== 'used') return [{ id, state: use }];
    const state = byId.get(id);
    return state === undefined ? [] : [state];
  });
}

/** ISO times compare as texts. */
const later = (one: OperatorAction | null, other: OperatorAction | null) =>
  one === null || (other !== null && other.at > one.at) ? other : one;

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
  extends Pick<AdminViewOptions, 'inspection' | 'targets' | 'mode' | 'redis' | 'clock' | 'usage'>,
    Pick<OperatorActions, 'unprovenKeys'> {
  readonly instances: Pick<Instances, 'snapshots'>;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly verdict: () => Verdict;
}

/** Each open dashboard polls every two seconds, and an overview walks all keys. */
const CACHED_MS = 1000;

/** The overview is at most a second old; after `forget` the next one is new. */
export function createOverview(sources: OverviewSources) {
  const { clock } = sources;
  let cached: { readonly at: number; readonly overview: Promise<Overview> } | null = null;
  return {
    async get(): Promise<Overview> {
      const now = clock.now();
      // The clock may be set back.
      if (cached === null || now < cached.at || now - cached.at >= CACHED_MS) {
        cached = { at: now, overview: reportOverview(sources) };
      }
      const overview = await cached.overview;
      // The pages count down from `now`, so it is always the present.
      return { ...overview, now: isoTime(clock.now()) };
    },
    forget(): void {
      cached = null;
    },
  };
}

async function reportOverview(sources: OverviewSources): Promise<Overview> {
  const { inspection, targets, mode, redis, unprovenKeys, instances, clock, usage, verdict } =
    sources;
  const [{ parts, silent }, today] = await Promise.all([instances.snapshots(), usage.today()]);
  const now = clock.now();
  return {
    now: isoTime(now),
    startedAt: isoTime(sources.startedAt),
    mode,
    redis: redis === null ? null : redis(),
    verdict: verdict(),
    unprovenKeys: unprovenKeys(),
    services: defaultTargets(targets).map(({ provider }) => ({
      service: provider,
      inFlight: sumOf(parts, ({ inFlight }) => inFlight[provider] ?? 0),
      models: targets
        .filter((target) => target.provider === provider)
        .map((target) => reportTarget(inspection, target)),
    })),
    instances: parts.map(({ report }) => report),
    silentInstances: silent,
    ...reportRequests(parts, today, now),
  };
}

const MAX_LATEST = 50;

function reportRequests(parts: readonly Snapshot[], today: Today, now: number) {
  const span = lastHour(now);
  const minutes = mergePeriods(
    parts.map(({ periods }) => periods),
    span,
  );
  const total = addUp(span.from, minutes);
  const { answered, refused, brokenOff, turnedAway, overBudget } = total;
  const ofOurLimits = turnedAway + overBudget;
  const ended = answered + refused + brokenOff + ofOurLimits;
  const byEnd = (a: RequestReport, b: RequestReport) => Date.parse(b.at) - Date.parse(a.at);
  return {
    totals: {
      minutes: 60,
      requests: total.requests + ofOurLimits,
      answered,
      successPercent: ended === 0 ? null : percentOf(answered, ended),
      p95FirstMs: p95Of(total),
      ...today,
    },
    failures: mergeFailures(parts.map(({ failures }) => failures)),
    minutes: minutes.map(reportPeriod),
    latest: parts
      .flatMap(({ latest }) => latest)
      .sort(byEnd)
      .slice(0, MAX_LATEST),
  } as const;
}

/** With one decimal. 100 means all. */
const percentOf = (part: number, whole: number) =>
  part === whole ? 100 : Math.min(Math.round((part / whole) * 1000) / 10, 99.9);

const sumOf = (parts: readonly Snapshot[], numberOf: (part: Snapshot) => number) =>
  parts.reduce((sum, part) => sum + numberOf(part), 0);

const reportPeriod = ({ minute, firstWords, ...counts }: Period) => ({
  at: isoTime(minute * MINUTE_MS),
  ...counts,
  p95FirstMs: p95Of({ firstWords }),
});

/** Periods begin at whole steps since the epoch, so that they stay the same while time passes. */
async function reportHistory(
  instances: Instances,
  from: number,
  to: number,
  now: number,
): Promise<History> {
  const { to: present } = lastHour(now);
  const end = to < now ? Math.ceil(to / MINUTE_MS) : present;
  const start = Math.max(Math.floor(from / MINUTE_MS), present - DAY_MINUTES);
  const step = Math.max(Math.ceil((end - start) / MAX_POINTS), 1);
  const span = { from: Math.ceil(start / step) * step, to: end, step };
  const { parts, silent } = await instances.periods(span);
  return {
    stepSeconds: step * (MINUTE_MS / 1000),
    points: mergePeriods(parts, span).map(reportPeriod),
    silentInstances: silent,
  };
}

function reportTarget(inspection: Inspection, { provider, label, use }: Target) {
  const { counts, causes, nextToReturn } = inspection.summary(provider, label);
  const { until, untilBy = null } = nextToReturn ?? {};
  return {
    model: label,
    embeds: use === 'embeddings',
    ...counts,
    causes,
    nextReturnAt: until === undefined ? null : isoTime(until),
    nextReturnBy: untilBy,
  };
}
