import type { AttemptTrace, EndedTrace } from '../failover/trace.ts';
import type { Outcome } from '../pool/lease.ts';
import { isoTime } from '../shared/clock.ts';
import { type FailureKind, NO_USAGE } from '../shared/failure.ts';
import { costOf, type Prices, withoutNoise } from '../shared/prices.ts';
import { type RequestReport, reportedEnd } from './reports.ts';
import { countedFor, modelName } from './usage.ts';

/** A request that has ended. */
export interface KeptRequest {
  /** With its last attempts only, where it had many. */
  readonly request: EndedTrace;
  readonly attemptsInAll: number;
}

/**
 * @param instance that has handled the request
 * @param prices null without `PRICES`
 * @param words `unquoted`: without messages that may quote the caller, whose words stay at the instance
 */
export function reportRequest(
  { request, attemptsInAll }: KeptRequest,
  instance: string,
  prices: Prices | null,
  words: 'all' | 'unquoted' = 'all',
): RequestReport {
  const { requestId, client, targets, operation, startedAt, ms, waitedMs, attempts, end } = request;
  const counted = end.kind === 'answered' ? countedFor(request) : null;
  const reports = attempts.map((attempt) => ({
    ...reportAttempt(attempt, words === 'unquoted'),
    cost: costOfAttempt(attempt, attempt === counted ? 1 : 0, prices),
  }));
  return {
    requestId,
    instance,
    client,
    service: targets[0].provider,
    operation,
    at: isoTime(startedAt + ms),
    ms,
    waitedMs,
    end: reportedEnd(end.kind),
    code: end.kind === 'refused' ? end.code : null,
    cost: reports.map(({ cost }) => cost).reduce(plus, null),
    currency: prices?.currency ?? null,
    attemptsInAll,
    attempts: reports,
  };
}

/** @param answered the number of requests that it answered */
function costOfAttempt(
  { target, usage }: AttemptTrace,
  answered: number,
  prices: Prices | null,
): number | null {
  const price = prices?.models.get(modelName(target));
  if (price === undefined) return null;
  const cost = withoutNoise(costOf(price, usage ?? NO_USAGE, answered));
  return usage === null && cost === 0 ? null : cost;
}

const plus = (sum: number | null, cost: number | null) =>
  cost === null ? sum : withoutNoise((sum ?? 0) + cost);

function reportAttempt(
  attempt: AttemptTrace,
  isUnquoted: boolean,
): Omit<RequestReport['attempts'][number], 'cost'> {
  const { key, target, otherModel, outcome, isProbe, isHedge, parked, ms, firstMs, usage } =
    attempt;
  return {
    key,
    model: target.label,
    responseModel: otherModel,
    outcome: outcome.kind,
    message: messageOf(outcome, isUnquoted),
    isTrial: isProbe,
    isHedge,
    parkedUntil: parked === null ? null : isoTime(parked.until),
    parkedFeatures: [...(parked?.features ?? [])],
    ms,
    firstMs,
    tokens: usage?.totalTokens ?? null,
  };
}

function messageOf(outcome: Outcome, isUnquoted: boolean): string | null {
  if (outcome.kind === 'success') return null;
  return isUnquoted && mayQuote(outcome)
    ? 'only the instance itself shows what was said'
    : outcome.message;
}

/** Whether the provider's words may be about what the caller has sent. */
const mayQuote = (outcome: Outcome) =>
  ('mayConcernRequest' in outcome && outcome.mayConcernRequest) || QUOTING.has(outcome.kind);

const QUOTING: ReadonlySet<Outcome['kind']> = new Set<FailureKind>([
  'request_fault',
  'not_owned',
  'content_blocked',
  'unusable_answer',
  'internal_error',
]);
