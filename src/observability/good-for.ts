/** An answer that costs something, given to all who ask within a while. */
export interface Kept<Answer> {
  get(): Answer;
  /** Whoever asks from now on gets a new one. */
  forget(): void;
}

/**
 * @param make of a promise all who ask get the same, also before it has settled
 * @param ms how long an answer is good, from when it was asked for
 */
export function goodFor<Answer>(ms: number, now: () => number, make: () => Answer): Kept<Answer> {
  let kept: { readonly at: number; readonly answer: Answer } | null = null;
  const isGood = (at: number) => {
    const age = now() - at;
    // The clock may be set back meanwhile.
    return age >= 0 && age < ms;
  };
  return {
    get() {
      if (kept === null || !isGood(kept.at)) kept = { at: now(), answer: make() };
      return kept.answer;
    },
    forget() {
      kept = null;
    },
  };
}
