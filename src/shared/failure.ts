/**
 * What went wrong in an attempt: the closed set into which `upstream/` sorts whatever the providers
 * answer, and the only word that `upstream/` and `pool/` have in common.
 */
export type Failure =
  /** A short window is spent. Without `retryAfterMs` the provider gave no hint. */
  | (Described & {
      readonly kind: 'rate_limited';
      readonly retryAfterMs?: number;
      /** Whose limit it is, where it is not the project's for one model. */
      readonly of?: 'project';
      /** The limit on input tokens a minute, where it is that limit which was reached. */
      readonly inputTokenLimit?: number;
      readonly isUnexplained?: Unexplained;
    })
  /** The day's quota is spent. */
  | (Described & { readonly kind: 'quota_exhausted' })
  /** Credit, plan or spend cap: only the owner of the project can mend it. */
  | (Described & { readonly kind: 'out_of_credit' })
  /** The key itself is bad for our use: unknown, leaked, suspended, blocked. */
  | (Described & { readonly kind: 'key_rejected' })
  | (Described & {
      readonly kind: 'model_unavailable';
      readonly whose: ModelOwner;
      readonly isUnexplained?: Unexplained;
    })
  /** The caller's own fault: every key would answer the same. */
  | (Described & {
      readonly kind: 'request_fault';
      /** It was found before anything was looked at that a key may lack. */
      readonly provesNothing?: true;
      /** What in the request: a stored thing that another project may own, or the token of a session. */
      readonly about?: 'resource' | 'session_token';
    })
  | (Described & { readonly kind: 'content_blocked'; readonly usage?: Usage })
  | (Described & { readonly kind: 'upstream_down'; readonly timedOut: boolean })
  /** Our address, our base URL or our persona setting: no key's fault, none of the caller's. */
  | (Described & { readonly kind: 'misconfigured' })
  | (Described & { readonly kind: 'client_gone' });

/** Every kind of failure; the verdicts' table does not compile with one more or one less. */
export const FAILURE_KINDS = [
  'rate_limited',
  'quota_exhausted',
  'out_of_credit',
  'key_rejected',
  'model_unavailable',
  'request_fault',
  'content_blocked',
  'upstream_down',
  'misconfigured',
  'client_gone',
] as const satisfies readonly Failure['kind'][];
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** The refusal names no cause: what is special about the request may be the cause. */
type Unexplained = true;

/**
 * Who lacks the model (for Anam: the persona): this one key, or its whole project ("limit 0").
 * `caller` means that the caller named something which we keep no health of: nothing is parked.
 */
export type ModelOwner = 'key' | 'project' | 'caller';

interface Described {
  /** For the log: redacted by whoever made it, at most a few hundred characters. */
  readonly message: string;
  /** The HTTP status that the provider answered with, where it answered. */
  readonly status?: number;
}

/** Tokens of one answer, as the provider counted them. */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
}

/** How a classified failure travels from `upstream/` to the failover loop. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly failure: Failure;
  readonly refusal: ProviderWords | null;

  constructor(failure: Failure, refusal: ProviderWords | null = null) {
    super(`${failure.kind}: ${failure.message}`);
    this.failure = failure;
    this.refusal = refusal;
  }
}

/** The provider's own words, without any key, for a caller who speaks its language. */
export interface ProviderWords {
  readonly status: number;
  /** The content type. */
  readonly type: string;
  readonly body: string;
}
