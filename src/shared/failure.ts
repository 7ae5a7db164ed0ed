/** Every kind of failure; the table of verdicts does not compile with one more or one less. */
export const FAILURE_KINDS = [
  'rate_limited',
  'quota_exhausted',
  'quota_unexplained',
  'request_too_large',
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
  'superseded',
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
      /** Whether nothing but the limit on input tokens was reached: see `request_too_large`. */
      readonly isOfTokens?: true;
      /** Whether the request itself may be larger than the limit: its size is an estimate. */
      readonly mayBeTooLarge?: true;
    } & NamesQuotas &
      MayConcernRequest)
  /** The day's quota is spent. */
  | (Described & { readonly kind: 'quota_exhausted' } & NamesQuotas & MayConcernRequest)
  /** A quota, of which the provider says nothing: what is special about the request may be the cause. */
  | (Described & { readonly kind: 'quota_unexplained'; readonly retryAfterMs?: number })
  /** The request is larger than the project's whole limit on input tokens: smaller ones fit. */
  | (Described & { readonly kind: 'request_too_large'; readonly inputTokenLimit: number })
  /** Credit, plan or spend cap: only the owner of the project can change it. */
  | (Described & {
      readonly kind: 'out_of_credit';
      /** Whether the account that pays has no credit, and with it every project that it pays for. Default: the project. */
      readonly of?: 'billing';
    } & MayConcernRequest)
  /** The key is unknown, leaked, suspended or blocked. */
  | (Described & {
      readonly kind: 'key_rejected';
      /** Undefined where the provider does not say why. */
      readonly rejection?: Rejection | undefined;
    } & MayConcernRequest)
  /** This key, or its whole project ("limit 0"), may not use the model; for Anam: the persona. */
  | (Described & {
      readonly kind: 'model_unavailable';
      /** Null for a call that uses no quota: nothing is parked, and other calls may succeed. */
      readonly whose: 'key' | 'project' | null;
    } & MayConcernRequest)
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
  /** Another attempt of the same request has answered first: see `failover/hedging.ts`. */
  | (Described & {
      readonly kind: 'superseded';
      /** Whether this attempt was the slower one; `clearly` where no recent answer took nearly as long. */
      readonly wasSlower: 'no' | 'perhaps' | 'clearly';
    })
  | (Described & { readonly kind: 'internal_error' });

/** Why a provider rejects a key. `blocked`: for the API that is asked, or for callers such as this server. */
export const REJECTIONS = ['unknown', 'expired', 'leaked', 'suspended', 'blocked'] as const;
export type Rejection = (typeof REJECTIONS)[number];

/** What is special about the request, if anything, may be the cause: the refusal quotes it, or names no cause. */
interface MayConcernRequest {
  readonly mayConcernRequest?: true;
}

interface NamesQuotas {
  /** Those that were reached and whose sizes the refusal names. */
  readonly limits?: readonly QuotaLimit[];
  /** The model that owns the quota, where the refusal names it: several names may share one. */
  readonly quotaModel?: string;
}

/** A quota of one model in one project, and its size. */
export interface QuotaLimit {
  readonly of: QuotaName;
  readonly value: number;
}

/** Requests a minute, input tokens a minute, requests a day. */
export const QUOTA_NAMES = ['rpm', 'tpm', 'rpd'] as const;
export type QuotaName = (typeof QUOTA_NAMES)[number];
export type QuotaLimits = Readonly<Partial<Record<QuotaName, number>>>;

interface Described {
  /** For the log: already redacted, at most a few hundred characters. */
  readonly message: string;
  /** The HTTP status of the provider's answer, where there is one. */
  readonly status?: number;
  /** What of the answer cannot be true: it is bounded or ignored. */
  readonly implausible?: Implausible;
}

type Implausible = 'retry_hint' | 'quota_size';

/** Tokens of one answer, as the provider counted them. */
export interface Usage {
  readonly inputTokens: number;
  /** Thoughts are billed as output, and counted here too. */
  readonly outputTokens: number;
  readonly totalTokens: number;
  /** The part of the input that the provider had cached. */
  readonly cachedTokens: number;
  /** The part of the output that is thoughts. */
  readonly thoughtTokens: number;
}

export const NO_USAGE: Usage = {
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  cachedTokens: 0,
  thoughtTokens: 0,
};

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
