import { jsonReply, type Reply } from '../reply.ts';

/** Anam's routes: minting a token, starting a session with it, asking for free slots, listing personas. */
export type AnamStep = 'mint' | 'start' | 'concurrency' | 'personas';

/** A fault that refuses a call at the steps where Anam has it. */
export interface AnamFault {
  readonly kind: keyof typeof REFUSALS;
  /** Of `slots_busy`, as `GET /v1/sessions/concurrency` names it. Default 30. */
  readonly estimatedWaitSeconds?: number;
}

export const isAnamFault = (fault: { readonly kind: string }): fault is AnamFault =>
  Object.hasOwn(REFUSALS, fault.kind);

/** @returns null for a fault that Anam does not have at this step. */
export function refuse(fault: AnamFault, step: AnamStep, resetsInMs: number): Reply | null {
  const atSteps: Partial<Record<AnamStep, Refusal>> = REFUSALS[fault.kind];
  const refusal = atSteps[step] ?? null;
  return typeof refusal === 'function' ? refusal(fault, resetsInMs) : refusal;
}

export const rateLimited = (limit: number, resetsInMs: number): Reply =>
  jsonReply(
    429,
    { error: 'Too many requests, please try again later.' },
    rateLimitHeaders(limit, 0, resetsInMs),
  );

export const rateLimitHeaders = (limit: number, remaining: number, resetsInMs: number) => ({
  'RateLimit-Limit': String(limit),
  'RateLimit-Remaining': String(remaining),
  'RateLimit-Reset': String(Math.ceil(resetsInMs / 1_000)),
});

export const INVALID_KEY = error(401, 'Invalid API key');
export const PERSONA_MISSING = error(404, 'Persona not found');
export const TOKEN_EXPIRED = error(401, 'Session token is invalid or has expired');
export const TOKEN_USED = error(401, 'Session token has already been used');
export const START_REFUSED = {
  slots_busy: error(429, 'Concurrent session limit reached'),
  usage_limit: error(429, 'Usage limit reached'),
};

type Refusal = Reply | ((fault: AnamFaultOptions, resetsInMs: number) => Reply);
interface AnamFaultOptions {
  readonly estimatedWaitSeconds?: number;
}

const SERVER_ERROR = error(500, 'Internal server error');

const REFUSALS = {
  bad_key: { mint: INVALID_KEY, concurrency: INVALID_KEY, personas: INVALID_KEY },
  /** A persona that this account may not use. */
  forbidden: { mint: error(403, 'You do not have permission to use this persona') },
  /** A persona that is not of this account. */
  persona_missing: { mint: PERSONA_MISSING },
  rate_limited: { mint: (_fault, resetsInMs) => rateLimited(10, resetsInMs) },
  server_error: {
    mint: SERVER_ERROR,
    start: SERVER_ERROR,
    concurrency: SERVER_ERROR,
    personas: SERVER_ERROR,
  },
  no_plan: { start: error(402, 'An active plan is required to start a session') },
  spend_cap: { start: error(429, 'Spend cap reached') },
  usage_limit: { start: START_REFUSED.usage_limit },
  slots_busy: {
    start: START_REFUSED.slots_busy,
    concurrency: ({ estimatedWaitSeconds = 30 }) =>
      jsonReply(200, { limit: 1, active: 1, canStartSession: false, estimatedWaitSeconds }),
  },
  no_engines: { start: error(503, 'No engines available') },
  /** The plan lacks what was asked for. */
  not_entitled: { start: error(403, 'Your plan does not include this feature') },
  token_expired: { start: TOKEN_EXPIRED },
} satisfies Record<string, Partial<Record<AnamStep, Refusal>>>;

function error(status: number, message: string): Reply {
  return jsonReply(status, { error: message });
}
