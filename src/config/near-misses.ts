/** Shorter names are too near to too much. */
const MIN_LENGTH = 8;

/**
 * Names that are nearly ours, and therefore read by nobody: `CORS_ORIGIN`, `KEY_COOLDOWN`.
 *
 * @returns one sentence each
 */
export function warnOfNearMisses(
  names: Iterable<string>,
  known: readonly string[],
): readonly string[] {
  return [...names].flatMap((name) => {
    const meant = known.includes(name) ? undefined : known.find((ours) => isNear(name, ours));
    return meant === undefined ? [] : [`${name} is not read: did you mean ${meant}?`];
  });
}

const isNear = (name: string, ours: string) =>
  name.length >= MIN_LENGTH &&
  ours.length >= MIN_LENGTH &&
  (ours.startsWith(`${name}_`) || isOneTypoAway(name, ours));

/** What is left between a common beginning and a common end is one letter at the most. */
function isOneTypoAway(a: string, b: string): boolean {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < shorter - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  return Math.max(a.length, b.length) - start - end <= 1;
}
