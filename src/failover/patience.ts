import type { Lease } from '../pool/lease.ts';
import type { CandidateSearch } from './candidate-search.ts';

/** Both as milliseconds since the epoch. */
export interface Patience {
  /** When a key must have come back. */
  readonly until: number;
  /**
   * A key that is back by then, but still under its trial, is waited for until its outcome: nobody is
   * sent away while the very key that it waited for is about to prove good. This long at most, the
   * turn of those before it included.
   */
  readonly outcomeUntil: number;
}

/**
 * Whose patience ends gets what can be had, rather than a refusal: a suspected key where there is no
 * better one, and at the very end a good one before its turn, for all the pace.
 */
export function lastChance(
  search: CandidateSearch,
  { until, outcomeUntil }: Patience,
  now: number,
): Lease | null {
  if (now < until) return null;
  if (search.hasReturned()) return now < outcomeUntil ? null : search.nextReturned();
  return search.lastResort();
}

/**
 * When to look again; null when no key comes back in time. A trial in flight tells by itself when it
 * ends, but meanwhile another key may come back, or a rest may end.
 */
export function nextHope(
  { returnsAt, nextDueAt }: Prospect,
  { until, outcomeUntil }: Patience,
  now: number,
): number | null {
  if (returnsAt === null) return null;
  const limit = now < until || returnsAt > now ? until : outcomeUntil;
  if (limit <= now || returnsAt > limit) return null;
  return Math.min(limit, nextDueAt ?? limit);
}

/** What the pool says of when keys come back, for one question. */
interface Prospect {
  readonly returnsAt: number | null;
  readonly nextDueAt: number | null;
}

/** Most of a line ask the same: each question is put to the pool once. */
export function createProspects(): (search: CandidateSearch) => Prospect {
  const known = new Map<unknown, Prospect>();
  return (search) => {
    const prospect = known.get(search.question) ?? {
      returnsAt: search.returnsAt(),
      nextDueAt: search.nextDueAt(),
    };
    known.set(search.question, prospect);
    return prospect;
  };
}
