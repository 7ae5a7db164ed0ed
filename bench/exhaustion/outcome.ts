/** What became of one request; times in virtual milliseconds since the epoch. */
export interface Outcome {
  /** 0 when the caller gave up. */
  readonly status: number;
  readonly askedAt: number;
  readonly endedAt: number;
}

/** How one contender has played a scenario. */
export interface Played {
  readonly outcomes: readonly Outcome[];
  readonly upstreamCalls: number;
  /** Of the watched key, without those that were answered. */
  readonly watchedInVain: number | null;
  /** The latest that a request was sent after its time: how true the scaled clock is. */
  readonly latestMs: number;
}
