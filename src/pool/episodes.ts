import type { Cause, Finding } from './health.ts';
import type { Effect } from './verdicts.ts';

/** A time for which a scope was parked. */
export interface Episode {
  /** Milliseconds since the epoch. */
  readonly from: number;
  /** When it was, or will be, over; `Infinity` while it needs action. */
  readonly to: number;
  readonly cause: Cause;
  readonly effect: Effect;
}

export const NO_EPISODES: readonly Episode[] = [];

/** How long they are remembered, and how many of one scope. */
export const REMEMBERED_MS = 3_600_000;
const MAX_EPISODES = 60;

export interface Parking {
  readonly now: number;
  readonly until: number;
  readonly finding: Pick<Finding, 'cause' | 'effect'>;
}

/** Begins one; what was parked for the same reason until now is the same one, going on. */
export function withEpisode(
  episodes: readonly Episode[],
  { now, until, finding: { cause, effect } }: Parking,
): readonly Episode[] {
  const to = effect === 'needs_action' ? Number.POSITIVE_INFINITY : until;
  const kept = episodes.filter((one) => one.to > now - REMEMBERED_MS);
  const last = kept.at(-1);
  if (last !== undefined && last.cause === cause && last.to >= now) {
    return [...kept.slice(0, -1), { ...last, to }];
  }
  return withinBounds([...withEnd(kept, now), { from: now, to, cause, effect }]);
}

/** Of too many, the two oldest become one: a time of troubles is better told too long than not at all. */
function withinBounds(episodes: readonly Episode[]): readonly Episode[] {
  const [first, second, ...others] = episodes;
  if (first === undefined || second === undefined || episodes.length <= MAX_EPISODES) {
    return episodes;
  }
  return [{ ...second, from: first.from }, ...others];
}

/** What has not ended by now ends now. */
export function withEnd(episodes: readonly Episode[], now: number): readonly Episode[] {
  const last = episodes.at(-1);
  if (last === undefined || last.to <= now) return episodes;
  return [...episodes.slice(0, -1), { ...last, to: now }];
}
