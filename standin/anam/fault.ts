/** What only Anam does. */
export type AnamFault = { readonly kind: AnamRefusalKind } | SlotsBusy;

/** Anam's refusals; `bad_key` and `spend_cap` are shared with Google. */
export type AnamRefusalKind =
  /** 403 at the token route. */
  | 'forbidden'
  /** 404 at the token route: not a persona of this account. */
  | 'persona_missing'
  /** 429 at the token route, with RateLimit headers. */
  | 'rate_limited'
  /** 500 at every route. */
  | 'server_error'
  /** 402 at session start. */
  | 'no_plan'
  /** 429 "Usage limit reached" at session start. */
  | 'usage_limit'
  /** 503 at session start. */
  | 'no_engines'
  /** 403 at session start: the plan lacks what was asked for. */
  | 'not_entitled'
  /** 401 at session start: as if the token had expired. */
  | 'token_expired';

/** 429 "Concurrent session limit reached" at session start; `concurrency` says so too. */
export interface SlotsBusy {
  readonly kind: 'slots_busy';
  /** Default 30, as `GET /v1/sessions/concurrency` tells it. */
  readonly estimatedWaitSeconds?: number;
}

/** Anam's three routes: minting a token, starting a session with it, asking for free slots. */
export type AnamStep = 'mint' | 'start' | 'concurrency';
