import { z } from 'zod';
import type { Cause, Known } from '../pool/health.ts';

/**
 * What is known of a scope, as text: `openedAt|foundAt|until|finding`. The numbers stand in front for
 * those who merge records without reading the rest; without a finding they are 0, and the last is empty.
 * All times are the exchange's, in milliseconds since the epoch.
 */
export function writeRecord({ openedAt, found }: Known, clockAhead: number): string {
  const there = (at: number) => (at === 0 ? 0 : at + clockAhead);
  if (found === null) return `${there(openedAt)}|0|0|`;
  const { until, finding } = found;
  const { cause, effect, reach, isHinted, since, foundAt } = finding;
  const rest = { cause, effect, reach, isHinted, since: there(since) };
  return [there(openedAt), there(foundAt), there(until), JSON.stringify(rest)].join('|');
}

/** What a record may not exceed, whoever wrote it. */
export interface RecordLimits {
  readonly clockAhead: number;
  readonly now: number;
  readonly cooldownMs: number;
}

/** Clocks are known to each other to a few milliseconds; events of one millisecond are told apart by less than one. */
const TOLERANCE_MS = 1000;
/** So long an operator may park a key. */
const OPERATORS_MAX_MS = 7 * 86_400_000;

/** @returns null for what is none, or of a version that knows more than this one */
export function readRecord(record: string, limits: RecordLimits): Known | null {
  const [opened = '', found = '', until = '', ...rest] = record.split('|');
  const times = TIMES.safeParse([opened, found, until]);
  if (!times.success) return null;
  const here = (at: number) => (at === 0 ? 0 : at - limits.clockAhead);
  // Nothing has happened later than about now, whatever the clock of whoever saw it.
  const past = (at: number) => Math.min(here(at), limits.now + TOLERANCE_MS);
  const [openedAt, foundAt, parkedUntil] = times.data;
  if (foundAt === 0) return { openedAt: past(openedAt), found: null };
  const finding = readFinding(rest.join('|'));
  if (finding === null) return null;
  const maxMs = finding.cause === 'operator' ? OPERATORS_MAX_MS : limits.cooldownMs;
  return {
    openedAt: past(openedAt),
    found: {
      until: Math.min(here(parkedUntil), limits.now + maxMs),
      finding: { ...finding, since: past(finding.since), foundAt: past(foundAt) },
    },
  };
}

function readFinding(text: string) {
  try {
    return FINDING.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

const time = z.coerce.number().min(0).max(8.64e15);

const TIMES = z.tuple([time, time, time]);

/** Resting is a suspicion of one process, and is not shared. */
const CAUSES = [
  'rate_limited',
  'quota_exhausted',
  'out_of_credit',
  'key_rejected',
  'model_unavailable',
  'operator',
] as const satisfies readonly Cause[];

const FINDING = z.object({
  cause: z.enum(CAUSES),
  effect: z.enum(['cooling_down', 'exhausted']),
  reach: z.enum(['part', 'whole']),
  isHinted: z.boolean(),
  since: time,
});
