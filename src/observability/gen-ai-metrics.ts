import { Histogram, type Registry } from 'prom-client';
import type { AttemptTrace, Operation } from '../failover/trace.ts';
import type { Service } from '../shared/api-key.ts';
import { OPERATION_SECONDS, TOKENS } from './buckets.ts';
import { type Lane, operationsOf } from './lanes.ts';

/**
 * The calls to the providers in OpenTelemetry's words, each dot an underscore and the unit at the end
 * (https://github.com/open-telemetry/semantic-conventions-genai, `docs/gen-ai/gen-ai-metrics.md`).
 * Which key was used is no label: ten thousand keys would make ten thousand times as many series.
 */
export function createGenAiMetrics(
  registry: Registry,
  lanes: readonly Lane[],
): (attempt: AttemptTrace) => void {
  const { duration, firstChunk, tokens } = define(registry);
  for (const lane of lanes) {
    for (const operation of operationsOf(lane)) duration.zero(subjectOf({ ...lane, operation }));
  }
  return (attempt) => {
    const { outcome, ms, firstMs, usage } = attempt;
    const subject = subjectOf(attempt);
    const isSuccess = outcome.kind === 'success';
    duration.observe(isSuccess ? subject : { ...subject, error_type: outcome.kind }, ms / 1000);
    if (firstMs !== null && streams(attempt)) firstChunk.observe(subject, firstMs / 1000);
    if (usage === null) return;
    tokens.observe({ ...subject, gen_ai_token_type: 'input' }, usage.inputTokens);
    tokens.observe({ ...subject, gen_ai_token_type: 'output' }, usage.outputTokens);
  };
}

/** A chat does always. Of Gemini's own protocol an attempt does not tell, and an answer that comes whole has no first chunk. */
const streams = ({ operation }: AttemptTrace) => operation === 'chat';

const SUBJECT = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model'] as const;

const PROVIDERS: Record<Service, string> = { google: 'gcp.gemini', anam: 'anam' };

const subjectOf = ({ service, model, operation }: Lane & { readonly operation: Operation }) => ({
  gen_ai_operation_name: operation,
  gen_ai_provider_name: PROVIDERS[service],
  gen_ai_request_model: model,
});

const define = (registry: Registry) => ({
  duration: new Histogram({
    name: 'gen_ai_client_operation_duration_seconds',
    help: 'How long a call to a provider took, to the end of its answer. Without error_type it succeeded.',
    labelNames: [...SUBJECT, 'error_type'],
    buckets: OPERATION_SECONDS,
    registers: [registry],
  }),
  firstChunk: new Histogram({
    name: 'gen_ai_client_operation_time_to_first_chunk_seconds',
    help: 'How long the first piece of a streamed answer took.',
    labelNames: SUBJECT,
    buckets: OPERATION_SECONDS,
    registers: [registry],
  }),
  tokens: new Histogram({
    name: 'gen_ai_client_token_usage',
    help: 'Tokens of a call, as the provider counted them. What programs relay to Gemini goes by uncounted.',
    labelNames: [...SUBJECT, 'gen_ai_token_type'],
    buckets: TOKENS,
    registers: [registry],
  }),
});
