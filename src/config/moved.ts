interface Place {
  readonly port: number;
  readonly host: string;
}

/** Callers know where it listens, and so does whoever watches it: a rolling restart moves nothing. */
export const movedFaults = (before: Place, after: Place): readonly string[] =>
  (['port', 'host'] as const)
    .filter((name) => after[name] !== before[name])
    .map((name) => `${name.toUpperCase()}: has changed, which needs a real restart.`);
