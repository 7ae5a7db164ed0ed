import type { CallFault } from '../key-ring.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { AnamRefusalKind, AnamStep, SlotsBusy } from './fault.ts';

type Refusal = (fault: CallFault, resetsInMs: number) => Reply;
type AnamRefusal = AnamRefusalKind | SlotsBusy['kind'] | 'bad_key' | 'spend_cap';

/** @returns the reply of a fault at this step; null when it does not strike there. */
export function anamRefusal(fault: CallFault, step: AnamStep, resetsInMs: number): Reply | null {
  return REFUSALS.get(fault.kind)?.[step]?.(fault, resetsInMs) ?? null;
}

export const isAnamRefusal = ({ kind }: CallFault): boolean => REFUSALS.has(kind);

/** @returns what a session start is refused with, whoever found the reason. */
export const startRefusal = (kind: keyof typeof START_REFUSALS): Reply => START_REFUSALS[kind]();

export const invalidKey = () => refused(401, 'Invalid API key');
export const personaMissing = () => refused(404, 'Persona not found');

export const rateLimited = (limit: number, resetsInMs: number): Reply =>
  jsonReply(
    429,
    { error: 'Too many requests, please try again later.' },
    rateLimitHeaders(limit, 0, resetsInMs),
  );

export const rateLimitHeaders = (limit: number, remaining: number, resetsInMs: number) => ({
  'RateLimit-Limit': String(limit),
  'RateLimit-Remaining': String(remaining),
  'RateLimit-Reset': String(Math.ceil(resetsInMs / SECOND_MS)),
});

const SECOND_MS = 1_000;
const DEFAULT_WAIT_SECONDS = 30;
/** The limit that the fault `rate_limited` names. */
const NAMED_LIMIT = 10;

const refused = (status: number, error: string): Reply => jsonReply(status, { error });

const START_REFUSALS = {
  no_plan: () => refused(402, 'An active plan is required to start a session'),
  spend_cap: () => refused(429, 'Spend cap reached'),
  usage_limit: () => refused(429, 'Usage limit reached'),
  slots_busy: () => refused(429, 'Concurrent session limit reached'),
  no_engines: () => refused(503, 'No engines available'),
  not_entitled: () => refused(403, 'Your plan does not include this feature'),
  token_expired: () => refused(401, 'Session token is invalid or has expired'),
  token_used: () => refused(401, 'Session token has already been used'),
} satisfies Record<string, () => Reply>;

const serverError = () => refused(500, 'Internal server error');

const noSlot = (fault: CallFault) => {
  const { estimatedWaitSeconds = DEFAULT_WAIT_SECONDS } = fault as SlotsBusy;
  return jsonReply(200, { limit: 1, active: 1, canStartSession: false, estimatedWaitSeconds });
};

const REFUSALS: ReadonlyMap<string, Partial<Record<AnamStep, Refusal>>> = new Map(
  Object.entries({
    bad_key: { mint: invalidKey, concurrency: invalidKey },
    forbidden: { mint: () => refused(403, 'You do not have permission to use this persona') },
    persona_missing: { mint: personaMissing },
    rate_limited: { mint: (_fault, resetsInMs) => rateLimited(NAMED_LIMIT, resetsInMs) },
    server_error: { mint: serverError, start: serverError, concurrency: serverError },
    no_plan: { start: START_REFUSALS.no_plan },
    spend_cap: { start: START_REFUSALS.spend_cap },
    usage_limit: { start: START_REFUSALS.usage_limit },
    slots_busy: { start: START_REFUSALS.slots_busy, concurrency: noSlot },
    no_engines: { start: START_REFUSALS.no_engines },
    not_entitled: { start: START_REFUSALS.not_entitled },
    token_expired: { start: START_REFUSALS.token_expired },
  } satisfies Record<AnamRefusal, Partial<Record<AnamStep, Refusal>>>),
);
