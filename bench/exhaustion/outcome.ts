/** What became of one request; times in virtual milliseconds since the epoch. */
export interface Outcome {
  /** 0 when the caller gave up. */
  readonly status: number;
  readonly askedAt: number;
  readonly endedAt: number;
}

/** How one contender has played a scenario. */
export interface Played {
  /** Of the plain requests. */
  readonly outcomes: readonly Outcome[];
  /** Of the plain requests. */
  readonly upstreamCalls: number;
  /** Null where there are none. */
  readonly specials: PlayedSpecials | null;
  /** Of the watched key, without those that were answered. */
  readonly watchedInVain: number | null;
  /** The latest that a request was sent after its time: how true the scaled clock is. */
  readonly latestMs: number;
}

/** What became of the special requests. */
export interface PlayedSpecials {
  readonly outcomes: readonly Outcome[];
  readonly upstreamCalls: number;
  /** The upstream calls of the one that made the most. */
  readonly mostCalls: number;
}
