/** Every kind of failure; the table of verdicts does not compile with one more or one less. */
export const FAILURE_KINDS = [
  'rate_limited',
  'quota_exhausted',
  'out_of_credit',
  'key_rejected',
  'model_unavailable',
  'not_owned',
  'request_fault',
  'content_blocked',
  'unusable_answer',
  'upstream_down',
  'misconfigured',
  'deadline_exceeded',
  'client_gone',
  'internal_error',
] as const satisfies readonly Failure['kind'][];
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** What went wrong in an attempt. `providers/` classifies into this closed set; the pool decides by it. */
export type Failure =
  /** A short window is spent. Without `retryAfterMs` the provider gave no hint. */
  | (Described & {
      readonly kind: 'rate_limited';
      readonly retryAfterMs?: number;
      /** Set where the limit is the project's for all models. */
      readonly of?: 'project';
      /** The limit on input tokens a minute, where that limit was reached. */
      readonly inputTokenLimit?: number;
      readonly isUnexplained?: Unexplained;
    })
  /** The day's quota is spent. */
  | (Described & { readonly kind: 'quota_exhausted' })
  /** Credit, plan or spend cap: only the owner of the project can change it. */
  | (Described & { readonly kind: 'out_of_credit' })
  /** The key is unknown, leaked, suspended or blocked. */
  | (Described & { readonly kind: 'key_rejected' })
  /** This key, or its whole project ("limit 0"), may not use the model; for Anam: the persona. */
  | (Described & {
      readonly kind: 'model_unavailable';
      /** Null for a call that uses no quota: nothing is parked, and other calls may succeed. */
      readonly whose: 'key' | 'project' | null;
      readonly isUnexplained?: Unexplained;
    })
  /** The caller names a file, a cached content, a persona or a model that this key has no access to. */
  | (Described & { readonly kind: 'not_owned' })
  /** Every key would refuse the request alike. */
  | (Described & {
      readonly kind: 'request_fault';
      /** The provider refused it before it looked at anything that a key may lack. */
      readonly provesNothing?: true;
      /** The part at fault: something stored that another project may own, or the token of a session. */
      readonly about?: 'resource' | 'session_token';
    })
  | (Described & { readonly kind: 'content_blocked'; readonly usage?: Usage })
  /** An answer with nothing in it, or one that the model could not finish. */
  | (Described & { readonly kind: 'unusable_answer'; readonly usage: Usage })
  | (Described & { readonly kind: 'upstream_down'; readonly timedOut: boolean })
  /** Our address, base URL or persona setting is wrong. */
  | (Described & { readonly kind: 'misconfigured' })
  /** The request's own deadline passed during the attempt. */
  | (Described & { readonly kind: 'deadline_exceeded' })
  | (Described & { readonly kind: 'client_gone' })
  | (Described & { readonly kind: 'internal_error' });

/** The refusal names no cause: what is special about the request may be the cause. */
type Unexplained = true;

interface Described {
  /** For the log: already redacted, at most a few hundred characters. */
  readonly message: string;
  /** The HTTP status of the provider's answer, where there is one. */
  readonly status?: number;
}

/** Tokens of one answer, as the provider counted them. */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
}

/** A classified failure of an attempt. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly failure: Failure;
  /** The provider's answer, for a caller that uses the provider's protocol. */
  readonly refusal: ProviderWords | null;

  constructor(failure: Failure, refusal: ProviderWords | null = null) {
    super(`${failure.kind}: ${failure.message}`);
    this.failure = failure;
    this.refusal = refusal;
  }
}

/** The same refusal, as a matter of this key alone. */
export const notOwned = ({ failure: { message }, refusal }: UpstreamError): UpstreamError =>
  new UpstreamError({ kind: 'not_owned', message }, refusal);

/** A provider's refusal as it was written, without any key. */
export interface ProviderWords {
  readonly status: number;
  /** The content type. */
  readonly type: string;
  readonly body: string;
}
