/** All in milliseconds since the epoch: the first two by our clock, `time` by the other. */
export interface ClockSample {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly time: number;
}

interface Measured {
  readonly roundTripMs: number;
  readonly ms: number;
}

/** Clocks drift and are set: older samples are forgotten. */
const KEPT = 8;

/** The offset of another clock from ours, estimated from its answers: of the last samples the fastest counts. */
export class ClockOffset {
  #samples: readonly Measured[] = [];
  #ms = 0;

  /** In whole milliseconds, positive when the other clock is ahead; 0 before the first sample. */
  get ms(): number {
    return this.#ms;
  }

  add({ sentAt, answeredAt, time }: ClockSample): void {
    const newest = {
      roundTripMs: answeredAt - sentAt,
      ms: Math.round(time - (sentAt + answeredAt) / 2),
    };
    // A clock that was set makes all earlier samples wrong.
    const agreeing = this.#samples.filter((one) => doAgree(one, newest));
    this.#samples = [newest, ...agreeing].slice(0, KEPT);
    const [fastest = newest] = this.#samples.toSorted((a, b) => a.roundTripMs - b.roundTripMs);
    this.#ms = fastest.ms;
  }
}

/** The other clock was read at some moment of the round trip. */
const doAgree = (one: Measured, other: Measured) =>
  Math.abs(one.ms - other.ms) <= (one.roundTripMs + other.roundTripMs) / 2 + 2;
