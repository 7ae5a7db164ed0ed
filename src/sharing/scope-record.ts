import { z } from 'zod';
import type { SharedHealth } from '../pool/scope.ts';
import { EFFECTS, PARKING_KINDS } from '../pool/verdicts.ts';
import { REJECTIONS } from '../shared/failure.ts';
import { parseJson } from '../shared/json.ts';

/**
 * What is known of a scope, as text: `openedAt|foundAt|until|finding`. The times come first so that Redis can
 * merge records without reading the rest; without a finding they are 0 and the rest is empty.
 * All times are those of the store's clock, in milliseconds since the epoch.
 */
export function writeRecord({ openedAt, found }: SharedHealth, clockOffset: number): string {
  const there = (at: number) => (at === 0 ? 0 : at + clockOffset);
  if (found === null) return `${there(openedAt)}|0|0|`;
  const { until, finding } = found;
  const { foundAt, ...rest } = finding;
  return [
    there(openedAt),
    there(foundAt),
    there(until),
    JSON.stringify({ ...rest, since: there(finding.since) }),
  ].join('|');
}

export interface RecordLimits {
  readonly clockOffset: number;
  readonly now: number;
  readonly cooldownMs: number;
}

/** Clocks are compared to a few milliseconds; events of one millisecond differ by a fraction of it. */
const TOLERANCE_MS = 1000;
/** The longest time for which an operator may park a key. */
const OPERATORS_MAX_MS = 7 * 86_400_000;

/** @returns null for an invalid record, or one of a newer version */
export function readRecord(record: string, limits: RecordLimits): SharedHealth | null {
  const times = readTimes(record);
  if (times === null) return null;
  const here = (at: number) => (at === 0 ? 0 : at - limits.clockOffset);
  // No event lies in the future, whatever the clock of the instance that wrote it.
  const past = (at: number) => Math.min(here(at), limits.now + TOLERANCE_MS);
  const openedAt = past(times.openedAt);
  if (times.foundAt === 0) return { openedAt, found: null };
  const finding = FINDING.safeParse(parseJson(times.finding)).data;
  if (finding === undefined) return null;
  const maxMs = finding.cause === 'operator' ? OPERATORS_MAX_MS : limits.cooldownMs;
  return {
    openedAt,
    found: {
      until: Math.min(here(times.until), limits.now + maxMs),
      finding: { ...finding, since: past(finding.since), foundAt: past(times.foundAt) },
    },
  };
}

const RECORD = /^([\d.]+)\|([\d.]+)\|([\d.]+)\|(.*)$/s;

function readTimes(record: string) {
  const [, openedAt, foundAt, until, finding = ''] = RECORD.exec(record) ?? [];
  const times = { openedAt: Number(openedAt), foundAt: Number(foundAt), until: Number(until) };
  const isValid = Object.values(times).every(Number.isFinite);
  return isValid ? { ...times, finding } : null;
}

/** An ejection is local to one instance and is not shared. */
const CAUSES = [...PARKING_KINDS, 'operator'] as const;

const FINDING = z.object({
  cause: z.enum(CAUSES),
  rejection: z.enum(REJECTIONS).optional(),
  effect: z.enum(EFFECTS),
  reach: z.enum(['part', 'whole']),
  isHinted: z.boolean(),
  since: z.number().min(0),
});

/** Clocks drift by some milliseconds; without this every instance would publish every record again. */
const DRIFT_MS = 50;

/** Whether two records say the same, but for the drift of clocks. */
export function isSameRecord(one: string | undefined, other: string): boolean {
  const [a, b] = [readTimes(one ?? ''), readTimes(other)];
  if (a === null || b === null) return false;
  const isNear = (x: number, y: number) => Math.abs(x - y) <= DRIFT_MS && (x === 0) === (y === 0);
  const isOpened = isNear(a.openedAt, b.openedAt);
  return isOpened && isNear(a.foundAt, b.foundAt) && isNear(a.until, b.until);
}
