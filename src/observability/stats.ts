import { z } from 'zod';
import type { AttemptTrace, EndedTrace, RequestEnd, TraceSink } from '../failover/trace.ts';
import type { Parked } from '../pool/lease.ts';
import { provedBy, verdictOf } from '../pool/verdicts.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { isoTime, MINUTE_MS } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import { PLAIN } from '../shared/request-shape.ts';
import { createFailureGroups, type FailureGroups } from './failure-groups.ts';
import type { KeyReport } from './reports.ts';
import type { KeptRequest } from './request-report.ts';

/**
 * The calls with each key since the start, the requests of the last day by minute, the failures of the last hour, and
 * the latest requests.
 */
export interface Stats extends TraceSink {
  requestEnded(request: EndedTrace): void;
  requestHadTrouble(request: EndedTrace): void;
  attemptFailed(attempt: AttemptTrace): void;
  ofKey(id: string, now: number): KeyStats;
  /**
   * Whether an attempt that began at this time or later has shown the state of the key: it works, or it
   * is parked for a reason that is shown anyway.
   */
  hasSettledSince(id: string, at: number): boolean;
  /** How many requests a provider has answered since the start. */
  answersOf(provider: ProviderName): number;
  /** Our own limit for one address has refused a request. */
  turnedAway(now: number): void;
  /** A client was over its budget or its share. */
  overBudget(now: number): void;
  /** Of the last 24 hours, as `MinuteCounts` has them. */
  periods(span: Span): ReturnType<MinuteCounts['periods']>;
  readonly failures: Pick<FailureGroups, 'list'>;
  /** Newest first, with their last attempts. */
  latest(): readonly KeptRequest[];
  /**
   * The latest request with this id; null when it is forgotten. Those that had trouble are remembered longer, and the
   * latest of each group of failures as long as the group.
   */
  find(requestId: string): KeptRequest | null;
}

export type KeyStats = Pick<
  KeyReport,
  'calls' | 'successes' | 'failures' | 'latency' | 'lastError'
>;

const MAX_LATEST = 50;
const MAX_TROUBLED = 500;

export function createStats(): Stats {
  const byKey = new Map<string, KeyCounts>();
  const minutes = new MinuteCounts();
  const failures = createFailureGroups();
  const latest = new LatestRequests(MAX_LATEST);
  const troubled = new LatestRequests(MAX_TROUBLED);
  const answers = new Map<ProviderName, number>();
  const answersOf = (provider: ProviderName) => answers.get(provider) ?? 0;
  const countAttempt = (attempt: AttemptTrace) => {
    let counts = byKey.get(attempt.key);
    if (counts === undefined) {
      counts = noCounts();
      byKey.set(attempt.key, counts);
    }
    const { outcome, firstMs, startedAt, ms, usage } = attempt;
    counts.calls += 1;
    if (usage !== null) minutes.add(startedAt + ms, 'tokens', usage.totalTokens);
    if (firstMs !== null) counts.firstMs.add(startedAt + ms, firstMs);
    if (outcome.kind !== 'success') countFailure(outcome, attempt, counts);
    else {
      counts.successes += 1;
      counts.settledAt = Math.max(counts.settledAt, startedAt);
    }
  };
  return {
    attemptFailed: countAttempt,
    requestEnded(request) {
      if (request.success !== null) countAttempt(request.success);
      countRequest(request, minutes);
      latest.add(keepRequest(request));
      if (request.end.kind !== 'answered') return;
      const [{ provider }] = request.targets;
      answers.set(provider, answersOf(provider) + 1);
    },
    requestHadTrouble(request) {
      const kept = keepRequest(request);
      troubled.add(kept);
      failures.add(kept);
    },
    answersOf,
    ofKey(id, now) {
      const { firstMs, settledAt: _, ...counts } = byKey.get(id) ?? noCounts();
      return { ...counts, latency: firstMs.latency(now) };
    },
    hasSettledSince: (id, at) => (byKey.get(id)?.settledAt ?? 0) >= at,
    turnedAway: (now) => minutes.add(now, 'turnedAway'),
    overBudget: (now) => minutes.add(now, 'overBudget'),
    periods: (span) => minutes.periods(span),
    failures,
    latest: () => latest.list(),
    find(requestId) {
      const isAsked = ({ request }: KeptRequest) => request.requestId === requestId;
      return (
        latest.list().find(isAsked) ??
        troubled.list().find(isAsked) ??
        failures.requests().findLast(isAsked) ??
        null
      );
    },
  };
}

/** Counts a request in the minute of its end. */
function countRequest(request: EndedTrace, minutes: MinuteCounts): void {
  const { startedAt, ms, end, failovers, operation, success } = request;
  const at = startedAt + ms;
  const outcome = COUNTED_AS[end.kind];
  minutes.add(at, 'requests');
  if (outcome !== undefined) minutes.add(at, outcome);
  if (outcome === 'answered' && failovers > 0) minutes.add(at, 'fallbacks');
  // An answer in the protocol of Gemini may come whole, and has no first words then.
  if (success === null || success.firstMs === null || operation !== 'chat') return;
  minutes.addFirstWords(at, success.startedAt + success.firstMs - startedAt);
}

/** A fault of the request, and a client that left, count as requests only. */
const COUNTED_AS: Partial<Record<RequestEnd['kind'], Counted>> = {
  answered: 'answered',
  refused: 'refused',
  broken_off: 'brokenOff',
  internal_error: 'brokenOff',
};

interface KeyCounts extends Omit<KeyStats, 'latency'> {
  readonly firstMs: LatencySamples;
  /** When the last attempt began that settled the key; 0 for none. */
  settledAt: number;
}

const noCounts = (): KeyCounts => ({
  calls: 0,
  successes: 0,
  failures: {},
  firstMs: new LatencySamples(),
  lastError: null,
  settledAt: 0,
});

function countFailure(failure: Failure, attempt: AttemptTrace, counts: KeyCounts): void {
  const { kind, message, status = null } = failure;
  // Another attempt was faster: that is no failure.
  if (kind === 'superseded') return;
  const { parked, startedAt, ms, target } = attempt;
  counts.failures[kind] = (counts.failures[kind] ?? 0) + 1;
  if (settles(failure, parked)) counts.settledAt = Math.max(counts.settledAt, startedAt);
  if (BLAMELESS.has(kind)) return;
  counts.lastError = { at: isoTime(startedAt + ms), kind, model: target.label, message, status };
}

const settles = (failure: Failure, parked: Parked | null) =>
  parked === null
    ? provedBy(failure, verdictOf(failure, PLAIN)) !== 'nothing'
    : parked.scope !== 'project_model_feature';

/** Failures that say nothing about the key or its provider. */
const BLAMELESS: ReadonlySet<FailureKind> = new Set([
  'not_owned',
  'request_fault',
  'content_blocked',
  'unusable_answer',
  'deadline_exceeded',
  'client_gone',
  'superseded',
  'internal_error',
]);

const LATENCY_WINDOW_MS = 300_000;
const MAX_SAMPLES = 64;

/** The latest answers of one key: the newest few, and none older than five minutes. */
class LatencySamples {
  /** Plain numbers, since there may be thousands of keys. */
  readonly #at = new Float64Array(MAX_SAMPLES);
  readonly #ms = new Float64Array(MAX_SAMPLES);
  #next = 0;

  add(at: number, ms: number): void {
    this.#at[this.#next] = at;
    this.#ms[this.#next] = ms;
    this.#next = (this.#next + 1) % MAX_SAMPLES;
  }

  latency(now: number): KeyReport['latency'] {
    const isRecent = (_: number, index: number) => (this.#at[index] ?? 0) > now - LATENCY_WINDOW_MS;
    const sorted = this.#ms.filter(isRecent).sort();
    if (sorted.length === 0) return null;
    const p50Ms = percentile(sorted, 0.5);
    return { p50Ms, p95Ms: percentile(sorted, 0.95), answers: sorted.length };
  }
}

/** The smallest value that this share of the samples does not exceed. */
const percentile = (sorted: Float64Array, share: number): number =>
  sorted[Math.ceil(sorted.length * share) - 1] ?? 0;

const MAX_ATTEMPTS = 10;

/** A request that has tried thousands of keys keeps its last attempts only. */
export const keepRequest = (request: EndedTrace): KeptRequest => ({
  request:
    request.attempts.length > MAX_ATTEMPTS
      ? { ...request, attempts: request.attempts.slice(-MAX_ATTEMPTS) }
      : request,
  attemptsInAll: request.attempts.length,
});

/** A ring with the latest requests. */
class LatestRequests {
  readonly #max: number;
  readonly #kept: KeptRequest[] = [];
  #added = 0;

  constructor(max: number) {
    this.#max = max;
  }

  add(kept: KeptRequest): void {
    this.#kept[this.#added % this.#max] = kept;
    this.#added += 1;
  }

  /** Newest first. */
  list(): readonly KeptRequest[] {
    const next = this.#added % this.#max;
    return [...this.#kept.slice(next), ...this.#kept.slice(0, next)].reverse();
  }
}

/** What is counted of each minute. `requests` are those that ended within it. */
const COUNTED = [
  'requests',
  'answered',
  'fallbacks',
  'refused',
  'brokenOff',
  'turnedAway',
  'overBudget',
  'tokens',
] as const;
type Counted = (typeof COUNTED)[number];
type Counts = Record<Counted, number>;

/** The counts of one or several minutes. Travels between instances as it is. */
export type Period = z.output<typeof periodSchema>;

export const DAY_MINUTES = 1440;

/** The minutes of the last 24 hours, in half a megabyte. */
export class MinuteCounts {
  /** Of each minute modulo a day, in minutes since the epoch. */
  readonly #minutes = new Float64Array(DAY_MINUTES);
  readonly #counts = new Float64Array(DAY_MINUTES * COUNTED.length);
  readonly #firstWords = new Uint32Array(DAY_MINUTES * BUCKETS);

  /** @param at milliseconds since the epoch */
  add(at: number, counted: Counted, number = 1): void {
    const index = this.#slotOf(at) * COUNTED.length + PLACES[counted];
    this.#counts[index] = (this.#counts[index] ?? 0) + number;
  }

  /** @param ms from the request to the first words of its answer */
  addFirstWords(at: number, ms: number): void {
    const index = this.#slotOf(at) * BUCKETS + bucketOf(ms);
    this.#firstWords[index] = (this.#firstWords[index] ?? 0) + 1;
  }

  /**
   * The minutes from `from` until before `to`, added up over `step` minutes each; without periods in which nothing
   * happened. A minute that is a day old is forgotten.
   */
  periods({ from, to, step }: Span): readonly Period[] {
    const periods: Period[] = [];
    for (let minute = from; minute < to; minute += step) {
      const period = this.#period(minute, Math.min(minute + step, to));
      if (!isEmpty(period)) periods.push(period);
    }
    return periods;
  }

  #period(minute: number, to: number): Period {
    const counts = noMinute();
    const answers = new Float64Array(BUCKETS);
    for (let one = minute; one < to; one += 1) {
      for (const counted of COUNTED) counts[counted] += this.#countOf(one, PLACES[counted]);
      this.#addAnswers(one, answers);
    }
    return { minute, ...counts, firstWords: withoutEmpty(answers) };
  }

  #countOf(minute: number, place: number): number {
    const slot = minute % DAY_MINUTES;
    return this.#minutes[slot] === minute ? (this.#counts[slot * COUNTED.length + place] ?? 0) : 0;
  }

  #addAnswers(minute: number, answers: Float64Array): void {
    const slot = minute % DAY_MINUTES;
    if (this.#minutes[slot] !== minute) return;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      addTo(answers, bucket, this.#firstWords[slot * BUCKETS + bucket] ?? 0);
    }
  }

  /** Empties the place of a minute that is a day old. */
  #slotOf(at: number): number {
    const minute = Math.floor(at / MINUTE_MS);
    const slot = minute % DAY_MINUTES;
    if (this.#minutes[slot] !== minute) {
      this.#minutes[slot] = minute;
      this.#counts.fill(0, slot * COUNTED.length, (slot + 1) * COUNTED.length);
      this.#firstWords.fill(0, slot * BUCKETS, (slot + 1) * BUCKETS);
    }
    return slot;
  }
}

/** Minutes since the epoch, `to` excluded, `step` of them in one period. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

/** Every period of the span, each with what all lists have of it. */
export function mergePeriods(
  lists: readonly (readonly Period[])[],
  { from, to, step }: Span,
): readonly Period[] {
  const byMinute = new Map<number, Period[]>();
  for (const period of lists.flat()) {
    const same = byMinute.get(period.minute);
    if (same === undefined) byMinute.set(period.minute, [period]);
    else same.push(period);
  }
  const merged: Period[] = [];
  for (let minute = from; minute < to; minute += step) {
    merged.push(addUp(minute, byMinute.get(minute) ?? []));
  }
  return merged;
}

/** The last sixty minutes; the present one is the last. */
export function lastHour(now: number): Span {
  const minute = Math.floor(now / MINUTE_MS);
  return { from: minute - 59, to: minute + 1, step: 1 };
}

/** @param minute the first one of the sum */
export function addUp(minute: number, periods: readonly Period[]): Period {
  const counts = noMinute();
  const answers = new Float64Array(BUCKETS);
  for (const period of periods) {
    for (const counted of COUNTED) counts[counted] += period[counted];
    for (const [bucket, number] of period.firstWords) addTo(answers, bucket, number);
  }
  return { minute, ...counts, firstWords: withoutEmpty(answers) };
}

/**
 * What nineteen of twenty answers did not exceed, at most a tenth off, in whole milliseconds; null where none was
 * measured.
 */
export function p95Of({ firstWords }: Pick<Period, 'firstWords'>): number | null {
  const total = firstWords.reduce((sum, [, answers]) => sum + answers, 0);
  let left = Math.ceil(total * 0.95);
  for (const [bucket, answers] of firstWords) {
    left -= answers;
    if (left <= 0) return Math.round(middleOf(bucket));
  }
  return null;
}

/** Each is a fifth longer than the one before: from a millisecond to a quarter of an hour. */
const BUCKETS = 80;
const BUCKETS_PER_DOUBLING = 4;

const count = z.int().min(0);

export const periodSchema = z.object({
  /** The first minute, in minutes since the epoch. */
  minute: count,
  ...(Object.fromEntries(COUNTED.map((name) => [name, count])) as Record<Counted, typeof count>),
  /** How often the first words of an answer took how long: the buckets that are not empty. */
  firstWords: z.array(z.tuple([count.max(BUCKETS - 1), count])),
});

const bucketOf = (ms: number): number =>
  Math.min(Math.round(Math.log2(Math.max(ms, 1)) * BUCKETS_PER_DOUBLING), BUCKETS - 1);

const middleOf = (bucket: number): number => 2 ** (bucket / BUCKETS_PER_DOUBLING);

const PLACES = Object.fromEntries(COUNTED.map((name, index) => [name, index])) as Counts;

const noMinute = () => Object.fromEntries(COUNTED.map((name) => [name, 0])) as Counts;

const isEmpty = (period: Period) => COUNTED.every((counted) => period[counted] === 0);

function addTo(answers: Float64Array, bucket: number, number: number): void {
  answers[bucket] = (answers[bucket] ?? 0) + number;
}

function withoutEmpty(answers: Float64Array): Period['firstWords'] {
  const filled: Period['firstWords'] = [];
  answers.forEach((number, bucket) => {
    if (number > 0) filled.push([bucket, number]);
  });
  return filled;
}
