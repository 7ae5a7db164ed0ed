/** How far another clock is ahead of ours, found out by asking it. */
export interface TimeDifference {
  /** In whole milliseconds; 0 while nothing was measured. */
  readonly ms: number;
  measured(sample: TimeSample): void;
}

/** All in milliseconds since the epoch: by our clock, by our clock, by the other. */
export interface TimeSample {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly time: number;
}

/** Clocks drift and are set: older samples are forgotten. */
const KEPT = 8;

interface Measured {
  readonly roundTripMs: number;
  readonly ms: number;
}

/** The other's time was read at some moment of the round trip. */
const doAgree = (one: Measured, other: Measured) =>
  Math.abs(one.ms - other.ms) <= (one.roundTripMs + other.roundTripMs) / 2 + 2;

/** The faster an answer came, the nearer it is to the truth: of the last samples the fastest one counts. */
export function createTimeDifference(): TimeDifference {
  const samples: Measured[] = [];
  return {
    get ms() {
      const [first, ...others] = samples;
      if (first === undefined) return 0;
      return others.reduce((best, one) => (one.roundTripMs < best.roundTripMs ? one : best), first)
        .ms;
    },
    measured({ sentAt, answeredAt, time }) {
      const newest = {
        roundTripMs: answeredAt - sentAt,
        ms: Math.round(time - (sentAt + answeredAt) / 2),
      };
      // A clock that was set makes all that was measured before wrong.
      const agreeing = samples.filter((one) => doAgree(one, newest));
      samples.splice(0, samples.length, newest, ...agreeing.slice(0, KEPT - 1));
    },
  };
}
