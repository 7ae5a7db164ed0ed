import type { Failure } from '../../shared/failure.ts';
import { decide, describeFailure, type Finding } from '../failure-rules.ts';
import type { ClassifyContext, ProviderAnswer } from '../provider.ts';
import { GEMINI_QUOTA_RULES } from './gemini-quota-rules.ts';
import { type GeminiRefusal, type GeminiRule, readGeminiRefusal } from './gemini-refusal.ts';
import { GEMINI_400_RULES, GEMINI_403_RULES, GEMINI_404_RULES } from './gemini-request-rules.ts';
import { type GoogleError, violations } from './google-error.ts';

export type { ClassifyContext };

/**
 * Sorts a refusal of Gemini's into the closed set: any answer that is not 2xx, and an error found in
 * a 200 or within its stream, passed in as a 200 with that chunk as the body.
 *
 * `error.status` and `error.details` decide before the message, the message before HTTP's status:
 * one status covers a spent minute, a spent day and an empty purse. Never throws.
 */
export function classifyGeminiAnswer(answer: ProviderAnswer, context: ClassifyContext): Failure {
  const refusal = readGeminiRefusal(answer, context.now);
  const rules = RULES_BY_STATUS.get(refusal.status) ?? OTHER_RULES;
  const status = isSuccess(answer.status) ? refusal.status : answer.status;
  return describeFailure(
    decide(rules, refusal, UPSTREAM_DOWN),
    wordsOf(refusal.error),
    context.redact,
    status,
  );
}

/** Which quota it is stands in the details; the message begins with the same long sentence for each. */
function wordsOf(error: GoogleError): string {
  const quotas = violations(error).map(({ quotaId }) => quotaId);
  return [...new Set(quotas), error.message].filter((words) => words !== '').join(': ');
}

const UPSTREAM_DOWN: Finding = { kind: 'upstream_down', timedOut: false };
const TIMED_OUT: Finding = { kind: 'upstream_down', timedOut: true };

const only = (failure: Finding): readonly GeminiRule[] => [{ when: () => true, failure }];

const RULES_BY_STATUS: ReadonlyMap<number, readonly GeminiRule[]> = new Map([
  [400, GEMINI_400_RULES],
  [401, only({ kind: 'key_rejected' })],
  [402, only({ kind: 'out_of_credit' })],
  [403, GEMINI_403_RULES],
  [404, GEMINI_404_RULES],
  [408, only(TIMED_OUT)],
  [429, GEMINI_QUOTA_RULES],
  [499, only(UPSTREAM_DOWN)],
  [504, only(TIMED_OUT)],
]);

/** What no rule names is upstream trouble: 5xx, and a 200 that is empty or unreadable. */
const OTHER_RULES: readonly GeminiRule[] = [
  { when: ({ status }) => isWithin(status, 300), failure: { kind: 'misconfigured' } },
  { when: isForeignRefusal, failure: { kind: 'misconfigured' } },
  { when: ({ status }) => isWithin(status, 400), failure: { kind: 'request_fault' } },
];

function isForeignRefusal({ status, error }: GeminiRefusal): boolean {
  return isWithin(status, 400) && !error.isGoogles;
}

const isWithin = (status: number, hundred: number) => status >= hundred && status < hundred + 100;

const isSuccess = (status: number) => isWithin(status, 200);
