import { randomUUID } from 'node:crypto';
import type { AttemptTrace, EndedTrace, RequestTrace, TraceSink } from '../failover/trace.ts';
import { WEB } from '../failover/wait-queue.ts';
import { atMost, type Clock, DAY_MS, isoTime, type Timer } from '../shared/clock.ts';
import type { DurableStore, NumberRow } from '../shared/durable-store.ts';
import type { Logger } from '../shared/logger.ts';
import { costOf, type Prices, withoutNoise } from '../shared/prices.ts';
import type { Target } from '../shared/target.ts';
import { type Overview, USAGE_COUNTS, USAGE_DIMENSIONS, type UsageReport } from './reports.ts';

export interface UsageOptions {
  readonly store: DurableStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Null without `PRICES`. */
  readonly prices: Prices | null;
}

/** What each client has used, by day, key and model. All instances with one store add to the same sums. */
export interface UsageStats {
  readonly sink: TraceSink;
  /** What this process has counted since its start. */
  totals(): Iterable<UsageTotal>;
  /** @throws StoreUnavailableError */
  report(query: UsageQuery): Promise<UsageReport>;
  /** The sum of all instances for this UTC day, at most half a minute old, or older while the store fails. */
  today(): Promise<Today>;
  /** Stores what is not stored yet, if that takes less than half a second. */
  stop(): Promise<void>;
}

/** One client and model, with all keys. */
export interface UsageTotal {
  readonly client: string;
  readonly model: string;
  readonly numbers: UsageNumbers;
}

export type Today = Pick<Overview['totals'], 'tokensToday' | 'costToday' | 'currency'>;

export interface UsageQuery {
  /** The first and the last day. Default: the last thirty. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly by: readonly UsageDimension[];
}

/** A request for which no key was asked. */
const NO_KEY = 'none';

/** In one report. */
const MAX_REPORTED = 10_000;
const KEPT_DAYS = 30;
const FLUSH_MS = 5000;
const STOP_LIMIT_MS = 500;
const TODAY_MS = 30_000;
const REFRESH_LIMIT_MS = 300;

export function createUsageStats(options: UsageOptions): UsageStats {
  const { store, clock, log, prices } = options;
  /** By number since the epoch. */
  const days = new Map<number, DayUsage>();
  const totals = new UsageTotals();
  let timer: Timer | null = null;
  let hasFailed = false;
  let lastWork: Promise<unknown> = Promise.resolve();
  let known = unknownOn(dayOf(clock.now()));

  /** The numbers to add to. */
  function pendingAt(at: number, client: string | null, key: string, target: Target) {
    timer ??= clock.after(FLUSH_MS, () => void exclusively(flush));
    const day = dayOf(at);
    let usage = days.get(day);
    if (usage === undefined) {
      usage = new DayUsage(totals);
      days.set(day, usage);
    }
    return usage.changing(client ?? WEB.name, key, modelName(target));
  }

  function attemptFailed(attempt: AttemptTrace, { client }: RequestTrace): void {
    const { key, target, startedAt, ms } = attempt;
    addAttempt(pendingAt(startedAt + ms, client, key, target), attempt);
  }

  function requestEnded(request: EndedTrace): void {
    const { client, startedAt, ms, success, failovers, end } = request;
    const { key, target } = countedFor(request);
    const pending = pendingAt(startedAt + ms, client, key, target);
    if (success !== null) addAttempt(pending, success);
    pending.requests += 1;
    pending.failovers += failovers;
    if (end.kind === 'answered') pending.answered += 1;
  }

  /** Reports and flushes run one after the other: else a report could count a batch twice or not at all. */
  function exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = lastWork.then(work);
    lastWork = result.catch(() => {});
    return result;
  }

  async function flush(): Promise<void> {
    timer?.cancel();
    timer = null;
    const isStored = await storeAll();
    if (isStored === hasFailed) logChange(log, isStored);
    hasFailed = !isStored;
    forgetOldDays();
    if (!isStored) timer ??= clock.after(FLUSH_MS, () => void exclusively(flush));
  }

  function forgetOldDays(): void {
    const now = clock.now();
    for (const [day, usage] of days) {
      const isOver = day < dayOf(now) && !usage.hasChanges;
      if (isOver || expiryOf(day) <= now) days.delete(day);
    }
  }

  /** @returns whether nothing is left */
  async function storeAll(): Promise<boolean> {
    for (const [day, usage] of days) {
      while (usage.hasChanges) {
        const { rows, id } = usage.nextBatch();
        try {
          await store.add(collectionOf(day), rows, expiryOf(day), id);
        } catch {
          return false;
        }
        usage.stored();
      }
    }
    return true;
  }

  async function report({ from, to, by }: UsageQuery): Promise<UsageReport> {
    const today = dayOf(clock.now());
    const first = from === undefined ? today - KEPT_DAYS + 1 : dayOf(Date.parse(from));
    const last = to === undefined ? today : dayOf(Date.parse(to));
    const table = new UsageTable(by, prices);
    // Clocks of other instances may be ahead.
    for (let day = Math.max(first, today - KEPT_DAYS); day <= Math.min(last, today + 1); day += 1) {
      table.add(dateOf(day), await store.rows(collectionOf(day)));
      table.add(dateOf(day), days.get(day)?.pending() ?? []);
      table.endDay();
    }
    return { from: dateOf(first), to: dateOf(last), by: [...by], ...table.end() };
  }

  function refreshToday(): Promise<void> {
    const now = clock.now();
    const date = dateOf(dayOf(now));
    known.at = now;
    return exclusively(() => report({ from: date, to: date, by: [] })).then(
      ({ totals }) => {
        const free = prices === null ? null : 0;
        known = {
          ...{ day: dayOf(now), at: now },
          tokensToday: totals.inputTokens + totals.outputTokens,
          costToday: totals.attempts === 0 ? free : totals.cost,
        };
      },
      () => {},
    );
  }

  return {
    sink: { attemptFailed, requestEnded },
    totals: () => totals.with(days.values()),
    report: (query) => exclusively(() => report(query)),
    async today() {
      const now = clock.now();
      if (known.day !== dayOf(now)) known = unknownOn(dayOf(now));
      // The clock may be set back.
      const isOld = Math.abs(now - known.at) >= TODAY_MS;
      // A store that is slow must not hold up the overview: the numbers come with the next one.
      if (isOld) await atMost(REFRESH_LIMIT_MS, clock, refreshToday(), undefined);
      const { tokensToday, costToday } = known;
      return { tokensToday, costToday, currency: prices?.currency ?? null };
    },
    async stop() {
      await atMost(STOP_LIMIT_MS, clock, exclusively(flush), undefined);
      timer?.cancel();
      timer = null;
    },
  };
}

type Known = Omit<Today, 'currency'> & { readonly day: number; at: number };

const unknownOn = (day: number): Known => ({
  ...{ day, at: Number.NEGATIVE_INFINITY },
  ...{ tokensToday: null, costToday: null },
});

const dayOf = (at: number) => Math.floor(at / DAY_MS);
const dateOf = (day: number) => isoTime(day * DAY_MS).slice(0, 10);
const collectionOf = (day: number) => `usage:${dateOf(day)}`;
const expiryOf = (day: number) => (day + KEPT_DAYS + 1) * DAY_MS;

const logChange = (log: Logger, isStored: boolean) =>
  isStored
    ? log.info('usage is stored again')
    : log.warn('usage cannot be stored; it is kept in memory and tried again');

/** The name in the settings, not that of the model that answers. */
export const modelName = ({ model, labels, label }: Target): string =>
  model ?? labels.model ?? label;

/** A request counts for the key that answered it, else for the last one that was asked. */
export const countedFor = (request: EndedTrace): Pick<AttemptTrace, 'key' | 'target'> =>
  request.success ?? request.attempts.at(-1) ?? { key: NO_KEY, target: request.targets[0] };

type UsageNumbers = Record<(typeof USAGE_COUNTS)[number], number>;

const noNumbers = (): UsageNumbers => ({
  requests: 0,
  answered: 0,
  attempts: 0,
  failovers: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  thoughtTokens: 0,
});

function addNumbers(sum: UsageNumbers, numbers: Readonly<Partial<UsageNumbers>>): void {
  for (const field of USAGE_COUNTS) sum[field] += numbers[field] ?? 0;
}

function addAttempt(sum: UsageNumbers, { usage }: AttemptTrace): void {
  sum.attempts += 1;
  if (usage === null) return;
  sum.inputTokens += usage.inputTokens;
  sum.outputTokens += usage.outputTokens;
  sum.cachedTokens += usage.cachedTokens;
  sum.thoughtTokens += usage.thoughtTokens;
}

type UsageDimension = UsageReport['by'][number];

/** One client, key and model on one day. */
interface UsageRow {
  readonly name: string;
  readonly total: UsageTotal;
  /** What is not stored yet. */
  pending: UsageNumbers;
}

/** Names of clients and ids of keys have no spaces. */
const nameOf = (client: string, key: string, model: string) => `${client} ${key} ${model}`;

function readName(name: string): { client: string; key: string; model: string } {
  const keyAt = name.indexOf(' ') + 1;
  const modelAt = name.indexOf(' ', keyAt) + 1;
  const [client, key] = [name.slice(0, keyAt - 1), name.slice(keyAt, modelAt - 1)];
  return { client, key, model: name.slice(modelAt) };
}

/** Of one day. In further rows the key is `other`. */
const MAX_ROWS = 50_000;
/** Of one day, with the key `other`. In further rows the client is `other` too. */
const MAX_OTHER_ROWS = 1000;
const OTHER = 'other';
/** Rows that are stored together. */
const BATCH = 1000;

/** The rows of this process on one day. */
class DayUsage {
  /** By client, key and model: three look-ups are faster than a joined name. */
  readonly #rows = new Map<string, Map<string, Map<string, UsageRow>>>();
  #size = 0;
  readonly #changed = new Set<UsageRow>();
  #batch: Batch | null = null;
  readonly #totals: UsageTotals;

  constructor(totals: UsageTotals) {
    this.#totals = totals;
  }

  get hasChanges(): boolean {
    return this.#batch !== null || this.#changed.size > 0;
  }

  /** The numbers to add to. */
  changing(client: string, key: string, model: string): UsageNumbers {
    const row = this.#rowOf(client, key, model);
    this.#changed.add(row);
    return row.pending;
  }

  /** The rows whose numbers no batch has taken. */
  changed(): Iterable<UsageRow> {
    return this.#changed;
  }

  /** What is not stored yet. */
  pending(): readonly NumberRow[] {
    return [...(this.#batch?.rows ?? []), ...[...this.#changed].map(toNumberRow)];
  }

  /** The same batch until it is stored: the store may have added it although the call has failed. */
  nextBatch(): Batch {
    this.#batch ??= { id: randomUUID(), rows: this.#take() };
    return this.#batch;
  }

  stored(): void {
    this.#batch = null;
  }

  #take(): readonly NumberRow[] {
    const taken: NumberRow[] = [];
    for (const row of this.#changed) {
      if (taken.length === BATCH) break;
      taken.push(toNumberRow(row));
      addNumbers(row.total.numbers, row.pending);
      row.pending = noNumbers();
      this.#changed.delete(row);
    }
    return taken;
  }

  #rowOf(client: string, key: string, model: string): UsageRow {
    const row = this.#rows.get(client)?.get(key)?.get(model);
    if (row !== undefined) return row;
    const max = key === OTHER ? MAX_ROWS + MAX_OTHER_ROWS : MAX_ROWS;
    if (this.#size < max || client === OTHER) return this.#create(client, key, model);
    return this.#rowOf(key === OTHER ? OTHER : client, OTHER, model);
  }

  #create(client: string, key: string, model: string): UsageRow {
    const total = this.#totals.of(client, model);
    const row = { name: nameOf(client, key, model), total, pending: noNumbers() };
    childOf(childOf(this.#rows, client), key).set(model, row);
    this.#size += 1;
    return row;
  }
}

interface Batch {
  readonly id: string;
  readonly rows: readonly NumberRow[];
}

const toNumberRow = ({ name, pending }: UsageRow): NumberRow => ({
  name,
  numbers: Object.fromEntries(Object.entries(pending).filter(([, number]) => number > 0)),
});

/** The others count together as `other`. */
const MAX_TOTAL_CLIENTS = 1000;

/** The numbers that batches have taken, by client and model. */
class UsageTotals {
  readonly #byClient = new Map<string, Map<string, UsageTotal>>();

  of(client: string, model: string): UsageTotal {
    const isKnown = this.#byClient.has(client) || this.#byClient.size < MAX_TOTAL_CLIENTS;
    const name = isKnown ? client : OTHER;
    const models = childOf(this.#byClient, name);
    const known = models.get(model) ?? { client: name, model, numbers: noNumbers() };
    models.set(model, known);
    return known;
  }

  /** With what has been counted since. */
  with(days: Iterable<DayUsage>): Iterable<UsageTotal> {
    const sums = new Map<UsageTotal, UsageNumbers>();
    for (const models of this.#byClient.values()) {
      for (const total of models.values()) sums.set(total, { ...total.numbers });
    }
    for (const day of days) {
      for (const { total, pending } of day.changed()) {
        addNumbers(sums.get(total) ?? noNumbers(), pending);
      }
    }
    return [...sums].map(([total, numbers]) => ({ ...total, numbers }));
  }
}

function childOf<V>(parent: Map<string, Map<string, V>>, name: string): Map<string, V> {
  const child = parent.get(name) ?? new Map<string, V>();
  parent.set(name, child);
  return child;
}

type ReportedRow = UsageReport['rows'][number];
type Sum = Omit<UsageReport['totals'], 'cost'> & { cost: number | null };

/** Sums rows up by some of their dimensions. */
class UsageTable {
  readonly #by: readonly UsageDimension[];
  readonly #prices: Prices | null;
  readonly #rows: ReportedRow[] = [];
  readonly #totals = noSum();
  readonly #unpriced = new Set<string>();
  #groups = new Map<string, Group>();
  #isCut = false;

  constructor(by: readonly UsageDimension[], prices: Prices | null) {
    this.#by = USAGE_DIMENSIONS.filter((dimension) => by.includes(dimension));
    this.#prices = prices;
  }

  add(day: string, rows: readonly NumberRow[]): void {
    for (const { name, numbers } of rows) {
      const { client, key, model } = readName(name);
      const cost = this.#costOf(model, numbers);
      addSum(this.#groupOf({ day, client, key, model }).sum, numbers, cost);
    }
  }

  /** Bounds the memory: beside the reported rows only those of one day are held. */
  endDay(): void {
    if (this.#by.includes('day')) this.#settle();
  }

  end(): Pick<UsageReport, 'currency' | 'rows' | 'totals' | 'isCut' | 'unpricedModels'> {
    this.#settle();
    return {
      currency: this.#prices?.currency ?? null,
      rows: this.#rows,
      totals: withRoundCost(this.#totals),
      unpricedModels: [...this.#unpriced].sort(),
      isCut: this.#isCut,
    };
  }

  #groupOf(names: Group['names']): Group {
    let key = '';
    for (const dimension of this.#by) key += `${names[dimension]} `;
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { names, sum: noSum() };
      this.#groups.set(key, group);
    }
    return group;
  }

  #costOf(model: string, numbers: NumberRow['numbers']): number | null {
    if (this.#prices === null) return null;
    const price = this.#prices.models.get(model);
    const usage = { ...noNumbers(), ...numbers };
    if (price !== undefined) return costOf(price, usage, usage.answered);
    if (usage.inputTokens + usage.outputTokens > 0) this.#unpriced.add(model);
    return null;
  }

  #settle(): void {
    const sorted = [...this.#groups].sort(byName).map(([, group]) => group);
    this.#groups = new Map();
    const room = MAX_REPORTED - this.#rows.length;
    this.#isCut ||= sorted.length > room;
    this.#rows.push(...sorted.slice(0, room).map((group) => this.#toRow(group)));
    for (const { sum } of sorted) addSum(this.#totals, sum, sum.cost);
  }

  #toRow({ names, sum }: Group): ReportedRow {
    const asked = Object.fromEntries(this.#by.map((dimension) => [dimension, names[dimension]]));
    return { ...asked, ...withRoundCost(sum) };
  }
}

interface Group {
  readonly names: Readonly<Record<UsageDimension, string>>;
  readonly sum: Sum;
}

function addSum(sum: Sum, numbers: Readonly<Partial<UsageNumbers>>, cost: number | null): void {
  addNumbers(sum, numbers);
  if (cost !== null) sum.cost = (sum.cost ?? 0) + cost;
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : 1);

const noSum = (): Sum => ({ ...noNumbers(), cost: null });

const withRoundCost = (sum: Sum): Sum => ({
  ...sum,
  cost: sum.cost === null ? null : withoutNoise(sum.cost),
});
