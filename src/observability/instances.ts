import { monitorEventLoopDelay } from 'node:perf_hooks';
import { z } from 'zod';
import type { Inspection } from '../pool/inspection.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { type Clock, isoTime } from '../shared/clock.ts';
import { parseJson } from '../shared/json.ts';
import type { Prices } from '../shared/prices.ts';
import type { InstanceQuestions, RedisState } from '../shared/shared-store.ts';
import { failureGroup, instanceReport, type RequestReport, requestReport } from './reports.ts';
import { reportRequest } from './request-report.ts';
import type { Stats } from './stats.ts';
import { addUp, DAY_MINUTES, lastHour, type Period, periodSchema, type Span } from './stats.ts';

/** Asks all instances of one Redis. The answer has the part of this instance, and those of the others that answer in time. */
export interface Instances {
  /** The own one is the first. */
  snapshots(): Promise<Parts<Snapshot>>;
  periods(span: Span): Promise<Parts<readonly Period[]>>;
  /** Null when every instance has forgotten it. */
  request(id: string): Promise<RequestReport | null>;
}

export interface Parts<Part> {
  readonly parts: readonly Part[];
  /** How many instances did not answer in time. */
  readonly silent: number;
}

/** What one instance adds to an overview. */
export type Snapshot = z.output<typeof snapshotSchema>;

export interface InstancesOptions {
  readonly instance: string;
  /** Null without Redis. */
  readonly questions: InstanceQuestions | null;
  readonly stats: Pick<Stats, 'periods' | 'failures' | 'latest' | 'find'>;
  readonly inspection: Pick<Inspection, 'inFlight'>;
  readonly services: readonly ProviderName[];
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  /** Null without `PRICES`. */
  readonly prices: Prices | null;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly measuresProcess: boolean;
}

/** The last snapshot of an instance that is too busy to answer counts this long. */
const KEPT_MS = 5000;

export function createInstances(options: InstancesOptions): Instances {
  const { instance, questions, stats, prices, clock } = options;
  const lagMs = options.measuresProcess ? measureLag(clock) : () => null;
  /** The last answers of the others. */
  let known = new Map<string, KnownSnapshot>();
  questions?.listen((text) => answerTo(text, options, lagMs()));

  async function ask<Part>(question: Question, schema: z.ZodType<Part>) {
    const { texts, silent } = (await questions?.ask(JSON.stringify(question))) ?? NOBODY;
    const answers = [...texts].map(([id, text]) => [id, readAs(schema, text)] as const);
    const readable = answers.filter((answer): answer is [string, Part] => answer[1] !== null);
    return { answers: new Map(readable), silent };
  }

  return {
    async snapshots() {
      const { answers, silent } = await ask({ about: 'overview' }, snapshotSchema);
      const now = clock.now();
      const isKept = ([id, { at }]: [string, KnownSnapshot]) =>
        silent > 0 && !answers.has(id) && at > now - KEPT_MS && at <= now;
      const heard = [...answers].map(([id, snapshot]) => [id, { snapshot, at: now }] as const);
      known = new Map([...heard, ...[...known].filter(isKept)]);
      const others = [...known.values()].map(({ snapshot }) => snapshot);
      return { parts: [takeSnapshot(options, lagMs(), 'all'), ...others], silent };
    },
    async periods(span) {
      const { answers, silent } = await ask({ about: 'periods', ...span }, z.array(periodSchema));
      return { parts: [stats.periods(span), ...answers.values()], silent };
    },
    async request(id) {
      const kept = stats.find(id);
      if (kept !== null) return reportRequest(kept, instance, prices);
      const { answers } = await ask({ about: 'request', id }, requestReport);
      return [...answers.values()].sort((a, b) => (a.at < b.at ? 1 : -1))[0] ?? null;
    },
  };
}

interface KnownSnapshot {
  readonly snapshot: Snapshot;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

const NOBODY = { texts: new Map<string, string>(), silent: 0 } as const;

const minutesSchema = z.int().min(0);

const snapshotSchema = z.object({
  report: instanceReport,
  inFlight: z.record(z.string(), z.int().min(0)),
  /** Of the last hour. */
  periods: z.array(periodSchema),
  // Another version may write these in another form: then they are left out.
  failures: z.array(failureGroup).catch([]),
  latest: z.array(requestReport).catch([]),
});

const questionSchema = z.discriminatedUnion('about', [
  z.object({ about: z.literal('overview') }),
  z
    .object({ about: z.literal('periods'), from: minutesSchema, to: minutesSchema })
    .extend({ step: z.int().min(1) })
    .refine(({ from, to }) => to - from <= DAY_MINUTES),
  z.object({ about: z.literal('request'), id: z.string() }),
]);
type Question = z.output<typeof questionSchema>;

/** Null: another version wrote it, and it cannot be read. */
function readAs<Value>(schema: z.ZodType<Value>, text: string): Value | null {
  return schema.safeParse(parseJson(text)).data ?? null;
}

/** @returns JSON; empty where this instance knows nothing */
function answerTo(text: string, options: InstancesOptions, lagMs: number | null): string {
  const { instance, stats, prices } = options;
  const question = readAs(questionSchema, text);
  switch (question?.about) {
    case undefined:
      return '';
    case 'overview':
      return JSON.stringify(shortened(takeSnapshot(options, lagMs, 'unquoted')));
    case 'periods':
      return JSON.stringify(stats.periods(question));
    case 'request': {
      const kept = stats.find(question.id);
      return kept === null ? '' : JSON.stringify(reportRequest(kept, instance, prices, 'unquoted'));
    }
    default:
      return question satisfies never;
  }
}

const MAX_SENT_REQUESTS = 20;
const MAX_SENT_ATTEMPTS = 3;

const shortened = (snapshot: Snapshot): Snapshot => ({
  ...snapshot,
  latest: snapshot.latest.map((report) => ({
    ...report,
    attempts: report.attempts.slice(-MAX_SENT_ATTEMPTS),
  })),
});

/** @param words `all` for the own overview, `unquoted` for another instance's */
function takeSnapshot(
  options: InstancesOptions,
  lagMs: number | null,
  words: 'all' | 'unquoted',
): Snapshot {
  const { instance, stats, inspection, services, redis, prices, clock, startedAt } = options;
  const now = clock.now();
  const periods = stats.periods(lastHour(now));
  const { requests, answered } = addUp(0, periods);
  const inFlight = services.map((service) => [service, inspection.inFlight(service)] as const);
  return {
    report: {
      id: instance,
      isThis: words === 'all',
      startedAt: isoTime(startedAt),
      redis: redis === null ? null : redis(),
      inFlight: inFlight.reduce((sum, [, calls]) => sum + calls, 0),
      requests,
      answered,
      memoryMb: Math.round(process.memoryUsage.rss() / 2 ** 20),
      lagMs,
    },
    inFlight: Object.fromEntries(inFlight),
    periods: [...periods],
    failures: [...stats.failures.list(now)],
    latest: stats
      .latest()
      .slice(0, words === 'all' ? undefined : MAX_SENT_REQUESTS)
      .map((kept) => reportRequest(kept, instance, prices, words)),
  };
}

const LAG_RESOLUTION_MS = 50;
const LAG_WINDOW_MS = 10_000;

/** The p99 of the last seconds, or of the time since it was last read, whichever is longer. */
function measureLag(clock: Pick<Clock, 'now'>): () => number {
  const delays = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  delays.enable();
  let last = { at: clock.now(), ms: 0 };
  return () => {
    const now = clock.now();
    if (now - last.at >= LAG_WINDOW_MS) {
      const ms = Math.round(delays.percentile(99) / 1e6) - LAG_RESOLUTION_MS;
      last = { at: now, ms: Math.max(ms, 0) };
      delays.reset();
    }
    return last.ms;
  };
}
