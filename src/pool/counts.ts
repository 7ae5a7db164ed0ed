import type { Candidate } from './candidate.ts';
import { describeCandidate } from './key-state.ts';

/** `total` is always the sum of the other three. */
export interface KeyCounts {
  readonly total: number;
  readonly available: number;
  /** Comes back by itself. */
  readonly cooling_down: number;
  /** Needs somebody to act. */
  readonly exhausted: number;
}

export function countKeys(entries: readonly Candidate[], now: number): KeyCounts {
  const counts = { available: 0, cooling_down: 0, exhausted: 0 };
  for (const entry of entries) counts[describeCandidate(entry, now).state] += 1;
  return { total: entries.length, ...counts };
}
