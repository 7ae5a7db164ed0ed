/**
 * Milliseconds between calls that are not of one moment, such as those of several processes that find
 * a key spent before they hear of each other.
 *
 * @param times in order
 */
export const gapsOf = (times: readonly number[]): readonly number[] =>
  times.map((at, index) => at - (times[index - 1] ?? at)).filter((gap) => gap > ONE_MOMENT_MS);

const ONE_MOMENT_MS = 500;
