import { tokensOf } from '../../standin/google/request.ts';
import { createQuotaWindows } from '../../standin/quota-window.ts';
import type { Limits } from '../../standin/standin.ts';
import type { Arrival } from './arrivals.ts';
import type { Outcome, Played } from './outcome.ts';
import {
  answerOf,
  type FaultSpan,
  limitsOf,
  MINUTE,
  modelsOf,
  projectOf,
  type Scenario,
  type ScenarioKey,
} from './scenario.ts';

/** As long as Understudy lets a request wait for a key: its default KEY_WAIT_SECONDS. */
const MAX_WAIT_MS = 5000;

/**
 * What a client would serve that knows every quota window and fault beforehand: each request, in the
 * order of arrival, takes the first moment within its wait at which any quota has room for it. It makes
 * no call in vain, asks no slow or broken key, gets all of a flaky key's quota, and saves a day's quota
 * while a minute's will do. Special requests are refused whoever asks, so it asks none.
 */
export function playAllKnowing(scenario: Scenario, arrivals: readonly Arrival[]): Played {
  const quotas = quotasOf(scenario);
  const { firstChunkMs, chunks, chunkMs } = answerOf(scenario);
  const answerMs = firstChunkMs + (chunks - 1) * chunkMs;
  const outcomes = arrivals.map(({ at: askedAt, message }): Outcome => {
    const servedAt = serve(quotas, askedAt, tokensOf(message.length));
    if (servedAt === null) return { status: 503, askedAt, endedAt: askedAt };
    return { status: 200, askedAt, endedAt: servedAt + answerMs };
  });
  const upstreamCalls = outcomes.filter(({ status }) => status === 200).length;
  return { outcomes, upstreamCalls, specials: null, watchedInVain: null, latestMs: 0 };
}

const WINDOWS = createQuotaWindows(1);

/** The quota of one model in one project. */
interface Quota {
  readonly limits: Limits;
  /** Of each key of the project, when it cannot be used. */
  readonly outages: readonly (readonly Span[])[];
  /** Requests and tokens used, by when their window ends. */
  readonly minutes: Map<number, number>;
  readonly minuteTokens: Map<number, number>;
  readonly days: Map<number, number>;
}

interface Span {
  readonly from: number;
  readonly to: number;
}

function quotasOf(scenario: Scenario): readonly Quota[] {
  return projectsOf(scenario).flatMap((keys) => {
    const outages = keys.map((key) => outagesOf(key, scenario.startsAt));
    return modelsOf(scenario).map((model): Quota => {
      const [first = {}] = keys;
      return {
        limits: limitsOf(first, model),
        outages,
        minutes: new Map(),
        minuteTokens: new Map(),
        days: new Map(),
      };
    });
  });
}

/** The keys of each project, which share its limits. */
function projectsOf({ keys }: Scenario): readonly (readonly ScenarioKey[])[] {
  const projects = new Map<string, ScenarioKey[]>();
  for (const [index, key] of keys.entries()) {
    const project = projectOf(key, index);
    projects.set(project, [...(projects.get(project) ?? []), key]);
  }
  return [...projects.values()];
}

const outagesOf = ({ faults = [] }: ScenarioKey, startsAt: number): readonly Span[] =>
  faults.filter(preventsAll).map(({ from = 0, to = Number.POSITIVE_INFINITY }) => ({
    from: startsAt + from * MINUTE,
    to: startsAt + to * MINUTE,
  }));

const preventsAll = ({ fault }: FaultSpan) => fault.kind !== 'flaky';

/** @returns when the request is served, null when it cannot be in time */
function serve(quotas: readonly Quota[], askedAt: number, tokens: number): number | null {
  for (const at of momentsOf(quotas, askedAt)) {
    const [best] = quotas
      .filter((quota) => hasRoom(quota, at, tokens))
      .toSorted((a, b) => leftOfDay(b, at) - leftOfDay(a, at));
    if (best === undefined) continue;
    count(best.minutes, WINDOWS.minuteEnd(at), 1);
    count(best.minuteTokens, WINDOWS.minuteEnd(at), tokens);
    count(best.days, WINDOWS.dayEnd(at), 1);
    return at;
  }
  return null;
}

/** At once, and whenever something comes back while the request may wait. */
function momentsOf(quotas: readonly Quota[], askedAt: number): readonly number[] {
  const mended = quotas.flatMap(({ outages }) => outages.flat().map(({ to }) => to));
  return [askedAt, WINDOWS.minuteEnd(askedAt), ...mended]
    .filter((at) => at >= askedAt && at <= askedAt + MAX_WAIT_MS)
    .toSorted((a, b) => a - b);
}

function hasRoom(quota: Quota, at: number, tokens: number): boolean {
  const isUsable = quota.outages.some((spans) => !spans.some((s) => s.from <= at && at < s.to));
  const { rpm = Infinity, tpm = Infinity } = quota.limits;
  const windowEnd = WINDOWS.minuteEnd(at);
  const isInMinute =
    (quota.minutes.get(windowEnd) ?? 0) < rpm &&
    (quota.minuteTokens.get(windowEnd) ?? 0) + tokens <= tpm;
  return isUsable && isInMinute && leftOfDay(quota, at) > 0;
}

/** Not infinite, so that two endless ones can be compared. */
const leftOfDay = ({ limits: { rpd = Number.MAX_SAFE_INTEGER }, days }: Quota, at: number) =>
  rpd - (days.get(WINDOWS.dayEnd(at)) ?? 0);

const count = (used: Map<number, number>, windowEnd: number, by: number) =>
  void used.set(windowEnd, (used.get(windowEnd) ?? 0) + by);
