/** `unknown`: the answer says nothing about the key. */
export const CHECK_VERDICTS = [
  'works',
  'rejected',
  'no_quota',
  'no_credit',
  'unreachable',
  'unknown',
] as const;
export type CheckVerdict = (typeof CHECK_VERDICTS)[number];

/** The outcome of one check of a key by a call that uses no quota. */
export interface KeyCheck {
  readonly verdict: CheckVerdict;
  /** For people, without any key. */
  readonly sentence: string;
  /** Its end, as an ISO time. */
  readonly at: string;
  /** How long it took. */
  readonly ms: number;
}
