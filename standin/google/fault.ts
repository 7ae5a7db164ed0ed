/** What only Google does; `bad_key` and `spend_cap` have their counterpart at Anam. */
export type GoogleFault =
  | { readonly kind: GoogleRefusalKind }
  | QuotaSpent
  | BrokenStream
  | BlockedAnswer
  | { readonly kind: EmptyAnswerKind }
  | OddShape;

/** Google's refusals that need no more than their name. */
export type GoogleRefusalKind =
  /** 400 with ErrorInfo `API_KEY_INVALID`. Anam: 401. */
  | 'bad_key'
  /** 400 `API_KEY_INVALID`, "API key expired". */
  | 'expired_key'
  /** 403 "reported as leaked", without ErrorInfo. */
  | 'leaked'
  /** 403 `CONSUMER_SUSPENDED`; message and containerInfo echo the key. */
  | 'suspended'
  /** 403 `SERVICE_DISABLED`: the API is off in this project. */
  | 'service_disabled'
  /** 403 `API_KEY_SERVICE_BLOCKED`: the key's restrictions exclude this API. */
  | 'key_blocked'
  /** 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`. */
  | 'unauthenticated'
  /** 429: this project has no quota for the model; a violation without quotaValue. */
  | 'limit_zero'
  /** 429 `RATE_LIMIT_EXCEEDED` with quota_limit_value "0": no quota for any model. */
  | 'quota_zero'
  /** 429 "Resource has been exhausted (e.g. check quota)." and nothing more. */
  | 'exhausted_no_details'
  /** 429 of the spend-based rate limit, a rolling ten-minute window. */
  | 'spend_rate'
  /** 429: the prepayment credits are depleted. */
  | 'prepay_empty'
  /** 429: the project's monthly spend cap is reached. Anam: 429 at session start. */
  | 'spend_cap'
  /** 429 `MODEL_CAPACITY_EXHAUSTED`: Google's capacity, not this key's quota. */
  | 'capacity'
  /** 429 as an HTML page about automated queries. */
  | 'html_429'
  /** 503 "The model is overloaded." */
  | 'overloaded'
  /** 500. */
  | 'internal'
  /** 502 as an HTML page. */
  | 'bad_gateway_html'
  /** 504 DEADLINE_EXCEEDED. */
  | 'gateway_timeout'
  /** 403 "The caller does not have permission". */
  | 'model_forbidden'
  /** 404 "no longer available to new users". */
  | 'model_gone'
  /** 404 as an HTML page: what a wrong base URL meets. */
  | 'html_404'
  /** 400 "User location is not supported". */
  | 'location'
  /** 400: the free tier is not available in this country. */
  | 'free_tier_country'
  /** 400 INVALID_ARGUMENT: the request's own fault. */
  | 'request_fault'
  /** 403 about a CachedContent of another project. */
  | 'cached_content'
  /** 403 about a File of another project. */
  | 'file_gone';

/** 429 of a spent window, whatever the limits: stays until the fault is taken away. */
export interface QuotaSpent {
  /**
   * `minute_spent`: with an honest delay. `day_spent`: with a short delay that lies.
   * `both_spent`: violations of both windows. `tokens_per_minute_spent`: of the input tokens.
   */
  readonly kind: 'minute_spent' | 'tokens_per_minute_spent' | 'day_spent' | 'both_spent';
  /** The delay to name. Default: the rest of the minute; for the day, 0 to 41 s. */
  readonly retryAfterMs?: number;
}

/** A good answer that breaks off after some chunks; a unary one breaks off inside its JSON. */
export interface BrokenStream {
  /**
   * `hang_mid_stream` sends nothing more; `cut_mid_stream` ends the connection; the others send a
   * `data:` line with an error, or bare JSON without `data:` (a unary call gets the error alone).
   */
  readonly kind:
    | 'hang_mid_stream'
    | 'cut_mid_stream'
    | 'error_mid_stream'
    | 'bare_error_mid_stream';
  /** Chunks sent before. Default 1. */
  readonly after?: number;
}

/** 200 whose candidate ends with SAFETY. */
export interface BlockedAnswer {
  readonly kind: 'blocked_answer';
  /** Chunks of text sent before, when streaming. Default 1. */
  readonly after?: number;
}

/** 200 without any text. */
export type EmptyAnswerKind =
  /** `promptFeedback.blockReason` and no candidate. */
  | 'blocked_prompt'
  /** Neither candidates nor feedback. */
  | 'no_candidates'
  /** One candidate that ended with MAX_TOKENS before its first word. */
  | 'tokens_spent';

/** An error body in a shape that parsers meet in the wild. */
export interface OddShape {
  /**
   * `array_wrapped`: `[{"error":…}]`. `double_encoded`: the body as a string in `error.message`.
   * `string_code`: `error.code` in quotes. `bare_details`: no `@type`, no `domain`.
   * `no_violations`: an empty list of violations.
   */
  readonly kind:
    | 'array_wrapped'
    | 'double_encoded'
    | 'string_code'
    | 'bare_details'
    | 'no_violations';
  /** The error inside. Default: `day_spent`. */
  readonly fault?: { readonly kind: GoogleRefusalKind } | QuotaSpent;
}
