import type { Failure } from '../../shared/failure.ts';
import { decide, describeFailure, type Finding, type Rule, rateLimited } from '../failure-rules.ts';
import type { ClassifyContext, ProviderAnswer } from '../provider.ts';
import { readRateLimitResetMs, readRetryAfterMs } from '../retry-headers.ts';
import { type AnamError, parseAnamError } from './anam-error.ts';

/**
 * Sorts a refusal of `POST /v1/auth/session-token`.
 *
 * @param persona whose persona was asked for: a caller's own is no fault of ours. Never throws.
 */
export function classifyAnamTokenAnswer(
  answer: ProviderAnswer,
  persona: 'ours' | 'callers',
  context: ClassifyContext,
): Failure {
  const retryHintMs =
    readRateLimitResetMs(answer.headers) ?? readRetryAfterMs(answer.headers, context.now);
  return classify(persona === 'ours' ? OUR_PERSONA : CALLERS_PERSONA, answer, context, retryHintMs);
}

/**
 * Sorts a refusal of `POST /v1/engine/session`, where spent minutes, slots and caps first show.
 * Never throws.
 *
 * @param context `estimatedWaitSeconds`: Anam's own estimate of when a slot comes free.
 */
export function classifyAnamSessionAnswer(
  answer: ProviderAnswer,
  persona: 'ours' | 'callers',
  context: ClassifyContext & { readonly estimatedWaitSeconds?: number | undefined },
): Failure {
  const rules = persona === 'ours' ? OUR_SESSION : CALLERS_SESSION;
  return classify(rules, answer, context, slotHintMs(context.estimatedWaitSeconds));
}

/** Whether a session was refused because all slots are taken, of which Anam can say when one comes free. */
export const isSlotsTaken = ({ status, body }: ProviderAnswer): boolean =>
  hasNoFreeSlot({ status, error: parseAnamError(body) });

interface AnamRefusal {
  /** Half a JSON is none, but still Anam's. */
  readonly isCut: boolean;
  readonly status: number;
  readonly error: AnamError;
  readonly retryHintMs: number | undefined;
}

type AnamRule = Rule<AnamRefusal>;

function classify(
  rules: readonly AnamRule[],
  { status, body, isCut = false }: ProviderAnswer,
  { redact }: ClassifyContext,
  retryHintMs: number | undefined,
): Failure {
  const error = parseAnamError(body);
  const finding = decide(rules, { status, error, retryHintMs, isCut }, UPSTREAM_DOWN);
  return describeFailure(finding, error.message, redact, status);
}

/** What no rule names is upstream trouble: 5xx, a 2xx without what was asked for, the unheard of. */
const UPSTREAM_DOWN: Finding = { kind: 'upstream_down', timedOut: false };
const SLOTS_TAKEN = /\bconcurrent session limit reached\b/i;

const answers =
  (...statuses: readonly number[]) =>
  ({ status }: AnamRefusal): boolean =>
    statuses.includes(status);

/** A page or no JSON at these statuses, or a redirect: it was not Anam's API that answered at our address. */
const WRONG_ADDRESS: AnamRule = {
  when: (refusal) =>
    (refusal.error.isHtml && answers(400, 403, 404, 405)(refusal)) ||
    (!refusal.isCut && !refusal.error.isAnams && answers(403, 404, 405)(refusal)) ||
    (refusal.status >= 300 && refusal.status < 400),
  failure: { kind: 'misconfigured' },
};
/** A page: the network in front of Anam refuses our address, which says nothing of key or account. */
const ADDRESS_REFUSED: AnamRule = {
  when: ({ status, error }) => status === 429 && error.isHtml,
  failure: UPSTREAM_DOWN,
};
const TIMED_OUT: AnamRule = {
  when: answers(408, 504),
  failure: { kind: 'upstream_down', timedOut: true },
};

const tokenRules = (badPersona: Finding, whose: 'key' | 'caller'): readonly AnamRule[] => [
  WRONG_ADDRESS,
  ADDRESS_REFUSED,
  { when: answers(400), failure: badPersona },
  { when: answers(401), failure: { kind: 'key_rejected' } },
  { when: answers(402), failure: { kind: 'out_of_credit' } },
  { when: answers(403, 404), failure: { kind: 'model_unavailable', whose } },
  { when: answers(429), failure: ({ retryHintMs }) => rateLimited(retryHintMs) },
  TIMED_OUT,
];

const OUR_PERSONA = tokenRules({ kind: 'misconfigured' }, 'key');
const CALLERS_PERSONA = tokenRules({ kind: 'request_fault' }, 'caller');

const sessionRules = (whose: 'key' | 'caller'): readonly AnamRule[] => [
  WRONG_ADDRESS,
  // Slots are counted for the whole organisation.
  {
    when: hasNoFreeSlot,
    failure: ({ retryHintMs }) => ({ ...rateLimited(retryHintMs), of: 'project' }),
  },
  ADDRESS_REFUSED,
  // "Spend cap reached", and whatever else Anam calls it: the usage minutes are spent.
  { when: answers(402, 429), failure: { kind: 'out_of_credit' } },
  { when: answers(400), failure: { kind: 'request_fault', provesNothing: true } },
  // Expired or used: the key that minted it is fine.
  {
    when: answers(401),
    failure: { kind: 'request_fault', provesNothing: true, about: 'session_token' },
  },
  { when: answers(403, 404), failure: { kind: 'model_unavailable', whose } },
  TIMED_OUT,
];

const OUR_SESSION = sessionRules('key');
const CALLERS_SESSION = sessionRules('caller');

function hasNoFreeSlot({ status, error }: Pick<AnamRefusal, 'status' | 'error'>): boolean {
  return status === 429 && SLOTS_TAKEN.test(error.reason);
}

/** How long a busy slot is given where Anam estimates nothing. */
const SLOT_WAIT_MS = 60_000;
const MS_PER_SECOND = 1000;

function slotHintMs(estimatedWaitSeconds: number | undefined): number {
  const isEstimated = estimatedWaitSeconds !== undefined && Number.isFinite(estimatedWaitSeconds);
  return isEstimated ? Math.round(estimatedWaitSeconds * MS_PER_SECOND) : SLOT_WAIT_MS;
}
