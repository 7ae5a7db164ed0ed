import { nextPacificMidnight } from '../src/shared/pacific-midnight.ts';

/** When quota windows end, in the clock's milliseconds. */
export interface QuotaWindows {
  /** How many times faster than real ones the windows are. */
  readonly speed: number;
  /** Second 00 of the next minute, which lasts 60 s divided by the speed. */
  minuteEnd(now: number): number;
  /** At speed 1 the next midnight in Los Angeles, else the end of the scaled day. */
  dayEnd(now: number): number;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export const createQuotaWindows = (speed: number): QuotaWindows => ({
  speed,
  minuteEnd: (now) => windowEnd(now, MINUTE_MS / speed),
  dayEnd: (now) => (speed === 1 ? nextPacificMidnight(now) : windowEnd(now, DAY_MS / speed)),
});

const windowEnd = (now: number, lengthMs: number) => (Math.floor(now / lengthMs) + 1) * lengthMs;
