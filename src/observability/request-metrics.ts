import { Counter, Histogram, type Registry } from 'prom-client';
import { SERVICE_ERROR_CODES } from '../failover/service-error.ts';
import {
  type AttemptTrace,
  type Operation,
  OUTCOMES,
  REQUEST_ENDS,
  type RequestTrace,
  successIn,
  type TraceSink,
} from '../failover/trace.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import { defaultTargets, type Target } from '../shared/target.ts';

/**
 * Counts requests and their attempts. Every label is a closed set, so the number of series is bounded,
 * and each counter begins at 0: Prometheus does not see the first increase of one that appears later.
 */
export function createRequestMetrics(
  registry: Registry,
  targets: readonly Target[],
  providers: readonly ProviderFacts[],
): TraceSink {
  const countAttempt = countAttempts(registry, targets);
  const measureCall = measureCalls(registry, targets, providers);
  const countRequest = countRequests(registry, targets);
  const attemptFailed = (attempt: AttemptTrace, request: RequestTrace) => {
    countAttempt(attempt);
    measureCall(attempt, request);
  };
  return {
    attemptFailed,
    requestEnded(request) {
      const success = successIn(request.attempts);
      if (success !== null) attemptFailed(success, request);
      countRequest(request);
    },
  };
}

function countAttempts(registry: Registry, targets: readonly Target[]) {
  const labelNames = ['service', 'model', 'persona', 'outcome'];
  const attempts = new Counter({
    name: 'understudy_attempts_total',
    help: 'Calls to a provider, each with one key, by outcome.',
    labelNames,
    registers: [registry],
  });
  const probes = new Counter({
    name: 'understudy_probes_total',
    help: 'Attempts that probed a key whose cooldown had passed, by outcome.',
    labelNames,
    registers: [registry],
  });
  for (const target of targets) {
    for (const outcome of OUTCOMES) {
      const labels = { service: target.provider, ...target.labels, outcome };
      attempts.inc(labels, 0);
      probes.inc(labels, 0);
    }
  }
  return ({ target, outcome, isProbe }: AttemptTrace): void => {
    const labels = { service: target.provider, ...target.labels, outcome: outcome.kind };
    attempts.inc(labels);
    if (isProbe) probes.inc(labels);
  };
}

/** OpenTelemetry's advice, in seconds and in tokens. */
const CALL_SECONDS = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const TOKENS = Array.from({ length: 14 }, (_, power) => 4 ** power);

/**
 * The calls to the providers in OpenTelemetry's words, each dot an underscore and the unit at the end
 * (https://github.com/open-telemetry/semantic-conventions-genai, `docs/gen-ai/gen-ai-metrics.md`).
 * The key is no label: ten thousand keys would make ten thousand times as many series.
 */
function measureCalls(
  registry: Registry,
  targets: readonly Target[],
  providers: readonly ProviderFacts[],
) {
  const call = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model'];
  const duration = new Histogram({
    name: 'gen_ai_client_operation_duration_seconds',
    help: 'How long a call to a provider took, to the end of its answer. Without error_type it succeeded.',
    labelNames: [...call, 'error_type'],
    buckets: CALL_SECONDS,
    registers: [registry],
  });
  const firstChunk = new Histogram({
    name: 'gen_ai_client_operation_time_to_first_chunk_seconds',
    help: 'How long the first chunk of a streamed answer took.',
    labelNames: call,
    buckets: CALL_SECONDS,
    registers: [registry],
  });
  const tokens = new Histogram({
    name: 'gen_ai_client_token_usage',
    help: 'Tokens of a call, as the provider counted them. Calls in the protocol of Gemini are not counted.',
    labelNames: [...call, 'gen_ai_token_type'],
    buckets: TOKENS,
    registers: [registry],
  });
  const names = new Map(providers.map(({ name, metricName }) => [name, metricName]));
  const callLabels = (target: Target, operation: Operation) => ({
    gen_ai_operation_name: operation,
    gen_ai_provider_name: names.get(target.provider) ?? target.provider,
    ...(target.model === null ? {} : { gen_ai_request_model: target.model }),
  });
  for (const target of targets) {
    for (const operation of operationsOf(target)) duration.zero(callLabels(target, operation));
  }
  return (attempt: AttemptTrace, { operation }: RequestTrace): void => {
    const { target, outcome, ms, firstMs, usage } = attempt;
    const labels = callLabels(target, operation);
    const isSuccess = outcome.kind === 'success';
    duration.observe(isSuccess ? labels : { ...labels, error_type: outcome.kind }, ms / 1000);
    // A call in the protocol of Gemini may ask for a whole answer, which has no first chunk.
    if (firstMs !== null && operation === 'chat') firstChunk.observe(labels, firstMs / 1000);
    if (usage === null) return;
    tokens.observe({ ...labels, gen_ai_token_type: 'input' }, usage.inputTokens);
    tokens.observe({ ...labels, gen_ai_token_type: 'output' }, usage.outputTokens);
  };
}

function operationsOf({ persona, metered }: Target): readonly Operation[] {
  if (persona !== null) return ['session_token', 'session_start'];
  return metered ? ['chat', 'generate_content'] : ['count_tokens', 'list_models'];
}

/** How often something was done for one request. */
const TIMES = [0, 1, 2, 3, 5, 10, 20, 50, 100];
/** Most requests wait at most `KEY_WAIT_SECONDS`, a few for the outcome of a probe. */
const WAIT_SECONDS = [0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10, 20, 30, 60];

function countRequests(registry: Registry, served: readonly Target[]) {
  const { requests, refusals } = defineRequestCounters(registry, served);
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, labelNames: ['service'], buckets, registers: [registry] });
  const failovers = histogram(
    'understudy_request_failovers',
    'How often another key or model stepped in, for each request.',
    TIMES,
  );
  const calls = histogram(
    'understudy_upstream_calls_per_served_request',
    'How many attempts an answered request took.',
    TIMES,
  );
  const wait = histogram(
    'understudy_wait_seconds',
    'How long a request waited for a key to come back, of those that did.',
    WAIT_SECONDS,
  );
  for (const { provider: service } of defaultTargets(served)) {
    for (const each of [failovers, calls, wait]) each.zero({ service });
  }
  return ({ targets, operation, end, attempts, waitedMs }: RequestTrace): void => {
    if (end === null) return;
    const service = targets[0].provider;
    requests.inc({ service, operation, end: end.kind });
    if (end.kind === 'refused') refusals.inc({ service, code: end.code });
    if (end.kind === 'answered') calls.observe({ service }, attempts.length);
    if (waitedMs > 0) wait.observe({ service }, waitedMs / 1000);
    failovers.observe({ service }, failoversIn(attempts));
  };
}

/** A client that left is refused nothing. */
const REFUSAL_CODES = SERVICE_ERROR_CODES.filter((code) => code !== 'client_gone');

function defineRequestCounters(registry: Registry, targets: readonly Target[]) {
  const requests = new Counter({
    name: 'understudy_requests_total',
    help: 'Requests that needed a key, by how they ended.',
    labelNames: ['service', 'operation', 'end'],
    registers: [registry],
  });
  const refusals = new Counter({
    name: 'understudy_refusals_total',
    help: 'Requests that were refused, by the code of the refusal.',
    labelNames: ['service', 'code'],
    registers: [registry],
  });
  for (const target of targets) {
    const { provider: service } = target;
    for (const operation of operationsOf(target)) {
      for (const end of REQUEST_ENDS) requests.inc({ service, operation, end }, 0);
    }
    for (const code of REFUSAL_CODES) refusals.inc({ service, code }, 0);
  }
  return { requests, refusals };
}

/** How often another key or model stepped in. A second attempt with the same key does not count. */
function failoversIn(attempts: readonly AttemptTrace[]): number {
  let count = 0;
  for (let index = 1; index < attempts.length; index += 1) {
    const [before, after] = [attempts[index - 1], attempts[index]];
    if (before?.key !== after?.key || before?.target !== after?.target) count += 1;
  }
  return count;
}

export interface AnsweredRequest {
  readonly method: string;
  /** The pattern of the path, never the path itself. */
  readonly route: string;
  readonly status: number;
  /** To the end of the answer. */
  readonly ms: number;
}

/** OpenTelemetry's advice, in seconds. */
const HTTP_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** Those that OpenTelemetry lists; Node knows a few dozen more. */
const KNOWN_METHODS: ReadonlySet<string> = new Set(
  'CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE'.split(' '),
);

/**
 * What callers got, after OpenTelemetry's conventions for HTTP servers
 * (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/). The scheme is left out: behind a
 * proxy any client may set it by a header.
 */
export function createHttpMetrics(registry: Registry): (answered: AnsweredRequest) => void {
  const duration = new Histogram({
    name: 'http_server_request_duration_seconds',
    help: 'How long a request took, to the end of its answer.',
    labelNames: ['http_request_method', 'http_route', 'http_response_status_code'],
    buckets: HTTP_SECONDS,
    registers: [registry],
  });
  return ({ method, route, status, ms }) =>
    duration.observe(
      {
        http_request_method: KNOWN_METHODS.has(method) ? method : '_OTHER',
        http_route: route,
        http_response_status_code: status,
      },
      ms / 1000,
    );
}
