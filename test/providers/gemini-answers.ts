import { classifyGeminiAnswer } from '../../src/providers/gemini/gemini-failure.ts';
import type { ProviderAnswer } from '../../src/providers/provider.ts';
import type { Failure } from '../../src/shared/failure.ts';
import { createRedact } from '../../src/shared/redact.ts';
import { Secret } from '../../src/shared/secret.ts';

export const NOW = Date.UTC(2026, 10, 2, 12);
/** Put together here, so that no scanner takes this file for a leak. */
export const KEY = `AI${'za'}${'Sy0123456789-_abcdefghijklmnopqrstu'}`;
export const context = { redact: createRedact([new Secret('google', KEY)]).redact, now: () => NOW };

export const HTML = '<!DOCTYPE html>\n<html><title>Error (Not Found)!!1</title><p>Sorry…</html>';

/** What decides, without the words for the log. */
export type Bare = Omit<Failure, 'message' | 'status'> & Record<string, unknown>;

export function bare(failure: Failure): Bare {
  const { message: _message, status: _status, ...finding } = failure;
  return Object.fromEntries(
    Object.entries(finding).filter(([name, value]) => !DETAILS.has(name) && value !== 'billing'),
  ) as unknown as Bare;
}

/** What tests of their own are about. */
const DETAILS = new Set(['mayConcernRequest', 'limits', 'isOfTokens', 'quotaModel', 'implausible']);

export const answerOf = (
  status: number,
  body: unknown,
  headers: ProviderAnswer['headers'] = {},
): ProviderAnswer => ({
  status,
  headers,
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

/** Google's ordinary error. */
export function googleAnswer(code: number, status: string, message: string, details?: unknown[]) {
  return answerOf(code, { error: { code, message, status, ...(details ? { details } : {}) } });
}

export const exhausted = (message: string, ...details: unknown[]) =>
  googleAnswer(429, 'RESOURCE_EXHAUSTED', message, details);

export const classify = (answer: ProviderAnswer) => classifyGeminiAnswer(answer, context);

const TYPE = 'type.googleapis.com/google.rpc.';

export const errorInfo = (reason: string, metadata: Record<string, string> = {}) => ({
  '@type': `${TYPE}ErrorInfo`,
  reason,
  domain: 'googleapis.com',
  metadata,
});
export const retryInfo = (retryDelay: string) => ({ '@type': `${TYPE}RetryInfo`, retryDelay });
export const badRequest = (description: string) => ({
  '@type': `${TYPE}BadRequest`,
  fieldViolations: [{ field: 'contents[0]', description }],
});
export const quotaFailure = (...violations: Record<string, unknown>[]) => ({
  '@type': `${TYPE}QuotaFailure`,
  violations,
});
export const violation = (quotaId: string, quotaValue?: string) => ({
  quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests',
  quotaId,
  quotaDimensions: { location: 'global', model: 'gemini-flash-latest' },
  ...(quotaValue === undefined ? {} : { quotaValue }),
});

export const DAY = 'GenerateRequestsPerDayPerProjectPerModel-FreeTier';
export const MINUTE = 'GenerateContentInputTokensPerModelPerMinute-FreeTier';
