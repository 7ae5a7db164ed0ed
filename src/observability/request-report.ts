import { z } from 'zod';
import type { AttemptTrace } from '../failover/trace.ts';
import { SERVICES } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import { ENDS, OPERATIONS, OUTCOMES, REFUSALS } from './closed-sets.ts';
import type { RememberedRequest } from './latest.ts';

const attemptReport = z.object({
  key: z.string(),
  model: z.string(),
  outcome: z.enum(OUTCOMES),
  message: z.string().nullable(),
  isTrial: z.boolean(),
  parkedUntil: z.string().nullable(),
  ms: z.number(),
  firstMs: z.number().nullable(),
  tokens: z.number().nullable(),
});

/** One request, as it is told to other processes and to whoever is on call; times are ISO 8601 in UTC. */
export const requestReport = z.object({
  requestId: z.string(),
  service: z.enum(SERVICES),
  operation: z.enum(OPERATIONS),
  at: z.string(),
  ms: z.number(),
  waitedMs: z.number(),
  end: z.enum(ENDS),
  code: z.enum([...REFUSALS, 'client_gone']).nullable(),
  attemptsInAll: z.number(),
  attempts: z.array(attemptReport),
});

type AttemptReport = z.output<typeof attemptReport>;
export type RequestReport = z.output<typeof requestReport>;

export function reportRequest(request: RememberedRequest): RequestReport {
  const { requestId, service, operation, startedAt, ms, waitedMs, end, attemptsInAll } = request;
  return {
    requestId,
    service,
    operation,
    at: isoTime(startedAt + ms),
    ms,
    waitedMs,
    end: end.kind,
    code: end.kind === 'refused' ? end.code : null,
    attemptsInAll,
    attempts: request.attempts.map(reportAttempt),
  };
}

function reportAttempt(attempt: AttemptTrace): AttemptReport {
  const { key, model, outcome, isProbe: isTrial, parked, ms, firstMs, usage } = attempt;
  return {
    key,
    model,
    outcome: outcome.kind,
    message: outcome.kind === 'success' ? null : outcome.message,
    isTrial,
    parkedUntil: parked === null ? null : isoTime(parked.until),
    ms,
    firstMs,
    tokens: usage?.totalTokens ?? null,
  };
}
