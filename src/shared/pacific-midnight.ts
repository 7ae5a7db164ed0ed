const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * When Google's daily quotas start again: "requests per day reset at midnight Pacific time"
 * (https://ai.google.dev/gemini-api/docs/rate-limits).
 *
 * @param now milliseconds since the epoch
 * @returns the next midnight in America/Los_Angeles, later than `now`, on days of 23 and 25 hours too
 */
export function nextPacificMidnight(now: number): number {
  const wholeSecond = now - (now % 1000);
  const guess = wholeSecond - timeOfDay(wholeSecond) + DAY_MS;
  const offBy = timeOfDay(guess);
  if (offBy === 0) return guess;
  // The day has 23 or 25 hours: the guess is an hour past midnight, or an hour short of it.
  return offBy < DAY_MS / 2 ? guess - offBy : guess + (DAY_MS - offBy);
}

/** Created once, when it is first needed: that costs far more than using it. */
let pacificTime: Intl.DateTimeFormat | undefined;

/** Milliseconds since midnight, local time in Los Angeles. */
function timeOfDay(at: number): number {
  pacificTime ??= new Intl.DateTimeFormat('en-US', {
    timeZone: 'America/Los_Angeles',
    hourCycle: 'h23',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const parts = pacificTime.formatToParts(at);
  const part = (type: 'hour' | 'minute' | 'second') =>
    Number(parts.find((candidate) => candidate.type === type)?.value ?? 0);
  return part('hour') * HOUR_MS + part('minute') * 60_000 + part('second') * 1000;
}
