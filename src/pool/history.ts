import type { Candidate } from './candidate.ts';
import { type Episode, REMEMBERED_MS } from './episodes.ts';
import type { Cause } from './health.ts';
import { countedAs } from './key-state.ts';

/** A time in which a key could not be had. */
export interface Stretch {
  /** Milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
  readonly state: ReturnType<typeof countedAs>;
  readonly cause: Cause;
}

/** The last hour of an entry: what its scopes went through, the gravest of it where they overlap, oldest first. */
export function historyOf({ all, rest }: Candidate, now: number): readonly Stretch[] {
  const start = now - REMEMBERED_MS;
  const episodes = [...all, rest]
    .flatMap((scope) => scope.episodes)
    .filter(({ from, to }) => to > start && from < now);
  const cuts = [...new Set(episodes.flatMap(({ from, to }) => [from, to]).concat(start, now))]
    .filter((at) => at >= start && at <= now)
    .sort((a, b) => a - b);
  return joined(cuts.flatMap((from, index) => stretchAt(from, cuts[index + 1], episodes)));
}

function stretchAt(
  from: number,
  to: number | undefined,
  episodes: readonly Episode[],
): readonly Stretch[] {
  if (to === undefined) return [];
  const [gravest] = episodes
    .filter((episode) => episode.from <= from && episode.to >= to)
    .sort(byGravity);
  return gravest === undefined
    ? []
    : [{ from, to, state: countedAs(gravest.effect), cause: gravest.cause }];
}

/** What needs action outweighs what comes back by itself; then the longer one. */
const byGravity = (a: Episode, b: Episode) =>
  Number(b.effect === 'needs_action') - Number(a.effect === 'needs_action') || b.to - a.to;

/** Of neighbours that say the same one is made. */
function joined(stretches: readonly Stretch[]): readonly Stretch[] {
  const result: Stretch[] = [];
  for (const stretch of stretches) {
    const last = result.at(-1);
    const goesOn =
      last?.to === stretch.from && last.state === stretch.state && last.cause === stretch.cause;
    if (goesOn && last !== undefined) result[result.length - 1] = { ...last, to: stretch.to };
    else result.push(stretch);
  }
  return result;
}
