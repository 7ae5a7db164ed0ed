import { z } from 'zod';
import { MINUTE_MS } from '../shared/clock.ts';

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
export type Counted = (typeof COUNTED)[number];
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
    const counts = noCounts();
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
  const counts = noCounts();
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

const noCounts = () => Object.fromEntries(COUNTED.map((name) => [name, 0])) as Counts;

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
