import type { Cause, Effect } from './verdicts.ts';

/** A time in which a scope was parked; all times are milliseconds since the epoch. */
export interface Episode {
  readonly from: number;
  /** When it ended or will end; `Infinity` while it needs action. */
  readonly to: number;
  readonly cause: Cause;
  readonly effect: Effect;
}

export const NO_EPISODES: readonly Episode[] = [];

const REMEMBERED_MS = 3_600_000;
const MAX_EPISODES = 60;

export interface Parking {
  readonly now: number;
  readonly until: number;
  readonly cause: Cause;
  readonly effect: Effect;
}

/** Begins an episode. One with the same cause that has not ended yet goes on instead. */
export function withEpisode(
  episodes: readonly Episode[],
  { now, until, cause, effect }: Parking,
): readonly Episode[] {
  const to = effect === 'needs_action' ? Number.POSITIVE_INFINITY : until;
  const kept = episodes.filter((one) => one.to > now - REMEMBERED_MS);
  const last = kept.at(-1);
  if (last !== undefined && last.cause === cause && last.to >= now) {
    return [...kept.slice(0, -1), { ...last, to }];
  }
  return withinLimit([...withEnd(kept, now), { from: now, to, cause, effect }]);
}

/** Joins the two oldest of too many episodes: the time between them counts as parked. */
function withinLimit(episodes: readonly Episode[]): readonly Episode[] {
  const [first, second, ...others] = episodes;
  if (first === undefined || second === undefined || episodes.length <= MAX_EPISODES) {
    return episodes;
  }
  return [{ ...second, from: first.from }, ...others];
}

/** Ends the last episode now, if it has not ended yet. */
export function withEnd(episodes: readonly Episode[], now: number): readonly Episode[] {
  const last = episodes.at(-1);
  if (last === undefined || last.to <= now) return episodes;
  return [...episodes.slice(0, -1), { ...last, to: now }];
}

/** The last hour of a candidate from the episodes of all its scopes, the gravest where they overlap, oldest first. */
export function historyOf(all: readonly Episode[], now: number): readonly Episode[] {
  const start = now - REMEMBERED_MS;
  const episodes = all.filter(({ from, to }) => to > start && from < now);
  const cuts = [...new Set(episodes.flatMap(({ from, to }) => [from, to]).concat(start, now))]
    .filter((at) => at >= start && at <= now)
    .sort((a, b) => a - b);
  return joined(cuts.flatMap((from, index) => gravestBetween(from, cuts[index + 1], episodes)));
}

function gravestBetween(
  from: number,
  to: number | undefined,
  episodes: readonly Episode[],
): readonly Episode[] {
  if (to === undefined) return [];
  const [gravest] = episodes
    .filter((episode) => episode.from <= from && episode.to >= to)
    .sort(byGravity);
  return gravest === undefined ? [] : [{ ...gravest, from, to }];
}

/** What needs action comes first, then what lasts longer. */
const byGravity = (a: Episode, b: Episode) =>
  Number(b.effect === 'needs_action') - Number(a.effect === 'needs_action') || b.to - a.to;

/** Joins neighbours with the same cause and effect. */
function joined(episodes: readonly Episode[]): readonly Episode[] {
  const result: Episode[] = [];
  for (const episode of episodes) {
    const last = result.at(-1);
    const goesOn =
      last?.to === episode.from && last.effect === episode.effect && last.cause === episode.cause;
    if (goesOn) result[result.length - 1] = { ...last, to: episode.to };
    else result.push(episode);
  }
  return result;
}
