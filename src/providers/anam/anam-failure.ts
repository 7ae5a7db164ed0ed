import type { Failure } from '../../shared/failure.ts';
import { asObjects, asText, isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import type { PersonaOwner } from '../../shared/target.ts';
import {
  decide,
  describeFailure,
  type Finding,
  htmlToText,
  isHtml,
  type Rule,
  rateLimited,
  readRateLimitResetMs,
  readRetryAfterMs,
  TIMED_OUT,
  UPSTREAM_DOWN,
} from '../failure-rules.ts';
import type { ClassifyContext, ProviderAnswer } from '../provider.ts';

/**
 * Classifies a refusal of `POST /v1/auth/session-token`. Never throws.
 *
 * @param persona whose persona was asked for: a caller's persona is not our fault
 */
export function classifyAnamTokenAnswer(
  answer: ProviderAnswer,
  persona: PersonaOwner,
  context: ClassifyContext,
): Failure {
  const retryHintMs =
    readRateLimitResetMs(answer.headers) ?? readRetryAfterMs(answer.headers, context.now());
  return classify(TOKEN_RULES[persona], answer, context, retryHintMs);
}

/**
 * Classifies a refusal of `POST /v1/engine/session`, where spent minutes, slots and caps first show.
 * Never throws.
 *
 * @param context `estimatedWaitSeconds`: Anam's estimate of when a slot comes free.
 */
export function classifyAnamSessionAnswer(
  answer: ProviderAnswer,
  persona: PersonaOwner,
  context: ClassifyContext & { readonly estimatedWaitSeconds?: number | undefined },
): Failure {
  const retryHintMs = slotHintMs(context.estimatedWaitSeconds);
  return classify(SESSION_RULES[persona], answer, context, retryHintMs);
}

/** Whether a session was refused because all slots are taken, of which Anam can say when one comes free. */
export const isSlotsTaken = ({ status, body }: ProviderAnswer): boolean =>
  hasNoFreeSlot({ status, error: parseAnamError(body) });

interface AnamRefusal {
  readonly status: number;
  readonly error: AnamError;
  /** A truncated JSON cannot be parsed, but is still Anam's. */
  readonly isCut: boolean;
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
  // What no rule names is upstream trouble: 5xx, a 2xx without what was asked for, unknown statuses.
  const finding = decide(rules, { status, error, isCut, retryHintMs }, UPSTREAM_DOWN);
  return describeFailure(finding, error.message, redact, status);
}

/** A page or no JSON at these statuses, or a redirect: something other than Anam's API answers at our address. */
const WRONG_ADDRESS: AnamRule = {
  when: (refusal) =>
    (refusal.error.isHtml && answers(400, 403, 404, 405)(refusal)) ||
    (!refusal.isCut && !refusal.error.isAnams && answers(403, 404, 405)(refusal)) ||
    (refusal.status >= 300 && refusal.status < 400),
  failure: { kind: 'misconfigured' },
};

/** A page: the network in front of Anam refuses our address, which does not concern key or account. */
const ADDRESS_REFUSED: AnamRule = {
  when: ({ status, error }) => status === 429 && error.isHtml,
  failure: UPSTREAM_DOWN,
};
const TOO_SLOW: AnamRule = { when: answers(408, 504), failure: TIMED_OUT };

/** The saved persona of our setting may not be used by this key; a caller's persona says nothing of another. */
const NOT_FOR_THIS_KEY: Finding & { kind: 'model_unavailable' } = {
  kind: 'model_unavailable',
  whose: 'key',
};
const NOT_OWNED: Finding = { kind: 'not_owned' };

const tokenRules = (badPersona: Finding, noAccess: Finding): readonly AnamRule[] => [
  WRONG_ADDRESS,
  ADDRESS_REFUSED,
  { when: answers(400), failure: badPersona },
  { when: answers(401), failure: { kind: 'key_rejected' } },
  { when: answers(402), failure: { kind: 'out_of_credit' } },
  { when: answers(403, 404), failure: noAccess },
  { when: answers(429), failure: ({ retryHintMs }) => rateLimited(retryHintMs) },
  TOO_SLOW,
];

const TOKEN_RULES = {
  ours: tokenRules({ kind: 'misconfigured' }, NOT_FOR_THIS_KEY),
  callers: tokenRules({ kind: 'request_fault' }, NOT_OWNED),
};

const sessionRules = (noAccess: Finding): readonly AnamRule[] => [
  WRONG_ADDRESS,
  // Slots are counted for the whole organisation.
  {
    when: hasNoFreeSlot,
    failure: ({ retryHintMs }) => ({ ...rateLimited(retryHintMs), of: 'project' }),
  },
  ADDRESS_REFUSED,
  // "Spend cap reached", and any other text: the usage minutes are spent.
  { when: answers(402, 429), failure: { kind: 'out_of_credit', mayConcernRequest: true } },
  { when: answers(400), failure: { kind: 'request_fault', provesNothing: true } },
  // Expired or used: the key that minted it is fine.
  {
    when: answers(401),
    failure: { kind: 'request_fault', provesNothing: true, about: 'session_token' },
  },
  { when: answers(403, 404), failure: noAccess },
  TOO_SLOW,
];

const SESSION_RULES = {
  ours: sessionRules({ ...NOT_FOR_THIS_KEY, mayConcernRequest: true }),
  callers: sessionRules(NOT_OWNED),
};

function answers(...statuses: readonly number[]) {
  return ({ status }: AnamRefusal): boolean => statuses.includes(status);
}

const SLOTS_TAKEN = /\bconcurrent session limit reached\b/i;

function hasNoFreeSlot({ status, error }: Pick<AnamRefusal, 'status' | 'error'>): boolean {
  return status === 429 && SLOTS_TAKEN.test(error.reason);
}

/** How long a busy slot is parked where Anam estimates nothing. */
const SLOT_WAIT_MS = 60_000;

const slotHintMs = (seconds: number | undefined) =>
  seconds !== undefined && Number.isFinite(seconds) ? Math.round(seconds * 1000) : SLOT_WAIT_MS;

interface AnamError {
  /** The sentence under `error`, or under `message`, as some bodies have it. */
  readonly reason: string;
  /** The reason and, of a validation error, each fault as `path: message`. */
  readonly message: string;
  readonly isHtml: boolean;
  /** Whether the body is JSON, as Anam's API writes it. */
  readonly isAnams: boolean;
}

function parseAnamError(body: string): AnamError {
  const page = isHtml(body);
  const json = page ? undefined : parseJson(body);
  if (!isJsonObject(json)) {
    return { reason: '', message: page ? htmlToText(body) : body, isHtml: page, isAnams: false };
  }
  const reason = readReason(json);
  const faults = asObjects(json.details).map(readFault);
  const message = [reason, ...faults].filter(isSaid).join('; ');
  return { reason, message, isHtml: false, isAnams: true };
}

function readReason({ error, message, summary }: JsonObject): string {
  const nested = isJsonObject(error) ? error.message : undefined;
  return [error, nested, message, summary].map(asText).find(isSaid) ?? '';
}

function readFault({ path, message }: JsonObject): string {
  const where = Array.isArray(path) ? path.filter(isStep).join('.') : asText(path);
  return [where, asText(message)].filter(isSaid).join(': ');
}

const isStep = (step: unknown) => typeof step === 'string' || typeof step === 'number';

const isSaid = (text: string) => text.trim() !== '';
