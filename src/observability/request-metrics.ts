import { SERVICE_ERROR_CODES, type ServiceErrorCode } from '../failover/service-error.ts';
import {
  type AttemptTrace,
  HEDGE_ENDS,
  type Operation,
  OUTCOMES,
  REQUEST_ENDS,
  type RequestEnd,
  type RequestTrace,
  type TraceSink,
} from '../failover/trace.ts';
import { WEB } from '../failover/wait-queue.ts';
import type { Outcome } from '../pool/lease.ts';
import type { ProviderName } from '../shared/api-key.ts';
import type { Usage } from '../shared/failure.ts';
import { costOf, type Prices } from '../shared/prices.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import type { Target, TargetUse } from '../shared/target.ts';
import type { UsageStats, UsageTotal } from './usage.ts';

export interface RequestMetrics {
  readonly sink: TraceSink;
  readonly requestAnswered: (answered: AnsweredRequest) => void;
  /** A client was over a limit, or its share. */
  readonly clientRefused: (client: string, limit: string) => void;
  /** In Prometheus' text format. */
  text(): string;
}

/**
 * Counts requests and their attempts. Every label is a closed set or limited, so the number of series is bounded,
 * and each counter begins at 0: Prometheus does not see the first increase of one that appears later.
 */
export function createRequestMetrics(
  targets: readonly Target[],
  providers: readonly ProviderFacts[],
  prices: Prices | null,
  usage: Pick<UsageStats, 'totals'>,
): RequestMetrics {
  const families = createFamilies();
  const callsOf = bindCalls(families, targets, providers, bindAttempts(families, targets));
  const requestsOf = bindRequests(families, targets);
  const refusalsOf = bindClientRefusals(families);
  const readUsage = bindUsage(families, prices, usage.totals);
  const attemptEnded = (attempt: AttemptTrace, { operation }: RequestTrace) => {
    const { target, responseModel, outcome, isProbe, ms, firstMs, usage } = attempt;
    const calls = callsOf(target)(operation)(responseModel);
    const { attempts, probes, duration } = calls.ended(outcome.kind);
    attempts.count += 1;
    if (isProbe) probes.count += 1;
    duration.observe(ms / 1000);
    // A call in the protocol of Gemini may ask for a whole answer, which has no first chunk.
    if (firstMs !== null && operation === 'chat') calls.firstChunk().observe(firstMs / 1000);
    if (usage === null) return;
    const { input, output } = calls.tokens();
    input.observe(usage.inputTokens);
    output.observe(usage.outputTokens);
  };
  return {
    sink: {
      attemptFailed: attemptEnded,
      requestEnded(request) {
        const { targets, operation, attempts, failovers, hedge, success, waitedMs, end } = request;
        if (success !== null) attemptEnded(success, request);
        const requests = requestsOf(targets[0].provider);
        requests.ends(operation)(end.kind).count += 1;
        if (end.kind === 'refused') requests.refusals(end.code).count += 1;
        if (end.kind === 'answered') requests.calls.observe(attempts.length);
        if (waitedMs > 0) requests.wait.observe(waitedMs / 1000);
        requests.failovers.observe(failovers);
        if (hedge !== null) {
          requests.hedges('started').count += 1;
          requests.hedges(hedge).count += 1;
        }
      },
    },
    requestAnswered: measureAnswers(families),
    clientRefused: (client, limit) => {
      refusalsOf(client)(limit).count += 1;
    },
    text() {
      readUsage();
      return families.text();
    },
  };
}

function bindAttempts({ counter }: Families, targets: readonly Target[]) {
  const attempts = counter(
    'understudy_attempts_total',
    'Calls to a provider, each with one key, by outcome.',
  );
  const probes = counter(
    'understudy_probes_total',
    'Attempts that probed a key whose cooldown had passed, by outcome.',
  );
  const seriesOf = oncePer((target: Target) =>
    oncePer((outcome: Outcome['kind']) => {
      const labels = { service: target.provider, ...target.labels, outcome };
      return { attempts: attempts(labels), probes: probes(labels) };
    }),
  );
  for (const target of targets) for (const outcome of OUTCOMES) seriesOf(target)(outcome);
  return seriesOf;
}

/** Of one target. A gateway could make up any number of them; the others share one label. */
const MAX_RESPONSE_MODELS = 10;

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
function bindCalls(
  { histogram }: Families,
  targets: readonly Target[],
  providers: readonly ProviderFacts[],
  attemptsOf: ReturnType<typeof bindAttempts>,
) {
  const duration = histogram(
    'gen_ai_client_operation_duration_seconds',
    'How long a call to a provider took, to the end of its answer. Without error_type it succeeded.',
    CALL_SECONDS,
  );
  const firstChunk = histogram(
    'gen_ai_client_operation_time_to_first_chunk_seconds',
    'How long the first chunk of a streamed answer took.',
    CALL_SECONDS,
  );
  const tokens = histogram(
    'gen_ai_client_token_usage',
    'Tokens of a call, as the provider counted them.',
    TOKENS,
  );
  const names = new Map(providers.map(({ name, metricName }) => [name, metricName]));
  const bind = (target: Target, operation: Operation, responseModel: string | null) => {
    const labels = {
      gen_ai_operation_name: operation,
      gen_ai_provider_name: names.get(target.provider) ?? target.provider,
      ...(target.model === null ? {} : { gen_ai_request_model: target.model }),
      ...(responseModel === null ? {} : { gen_ai_response_model: responseModel }),
    };
    return {
      ended: oncePer((outcome: Outcome['kind']) => ({
        ...attemptsOf(target)(outcome),
        duration: duration(outcome === 'success' ? labels : { ...labels, error_type: outcome }),
      })),
      firstChunk: once(() => firstChunk(labels)),
      tokens: once(() => ({
        input: tokens({ ...labels, gen_ai_token_type: 'input' }),
        output: tokens({ ...labels, gen_ai_token_type: 'output' }),
      })),
    };
  };
  const seriesOf = oncePer((target: Target) =>
    oncePer((operation: Operation) =>
      oncePerName(MAX_RESPONSE_MODELS, (responseModel) => bind(target, operation, responseModel)),
    ),
  );
  for (const target of targets) {
    for (const operation of OPERATIONS[target.use]) {
      seriesOf(target)(operation)(null).ended('success');
    }
  }
  return seriesOf;
}

/** Creates the entry of a name at its first use. Names beyond the first few share the entry `other`. */
function oncePerName<V>(
  max: number,
  create: (label: string | null) => V,
): (name: string | null) => V {
  const known = new Map<string | null, V>([[null, create(null)]]);
  return (name) => {
    const found = known.get(name);
    if (found !== undefined) return found;
    const label = known.size <= max ? name : 'other';
    const created = known.get(label) ?? create(label);
    known.set(label, created);
    return created;
  };
}

const OPERATIONS: Record<TargetUse, readonly Operation[]> = {
  chat: ['chat', 'generate_content'],
  embeddings: ['embeddings'],
  session: ['session_token', 'session_start'],
  live: ['live_token'],
  free: ['count_tokens', 'list_models'],
};

/** How often something was done for one request. */
const TIMES = [0, 1, 2, 3, 5, 10, 20, 50, 100];
/** Most requests wait at most `KEY_WAIT_SECONDS`, a few for the outcome of a probe. */
const WAIT_SECONDS = [0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10, 20, 30, 60];

const HEDGE_RESULTS = ['started', ...HEDGE_ENDS] as const;
type HedgeResult = (typeof HEDGE_RESULTS)[number];

/** A client that left is refused nothing. */
const REFUSAL_CODES = SERVICE_ERROR_CODES.filter((code) => code !== 'client_gone');

function bindRequests({ counter, histogram }: Families, targets: readonly Target[]) {
  const requests = counter(
    'understudy_requests_total',
    'Requests that needed a key, by how they ended.',
  );
  const refusals = counter(
    'understudy_refusals_total',
    'Requests that were refused, by the code of the refusal.',
  );
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
  const hedges = counter(
    'understudy_hedges_total',
    'Second attempts beside a slow one: started, and whether they brought the answer (won) or not (wasted).',
  );
  const wait = histogram(
    'understudy_wait_seconds',
    'How long a request waited for a key to come back, of those that did.',
    WAIT_SECONDS,
  );
  const seriesOf = oncePer((service: ProviderName) => ({
    ends: oncePer((operation: Operation) =>
      oncePer((end: RequestEnd['kind']) => requests({ service, operation, end })),
    ),
    refusals: oncePer((code: ServiceErrorCode) => refusals({ service, code })),
    failovers: failovers({ service }),
    hedges: oncePer((result: HedgeResult) => hedges({ service, result })),
    calls: calls({ service }),
    wait: wait({ service }),
  }));
  for (const target of targets) {
    const series = seriesOf(target.provider);
    for (const operation of OPERATIONS[target.use]) {
      for (const end of REQUEST_ENDS) series.ends(operation)(end);
    }
    for (const code of REFUSAL_CODES) series.refusals(code);
    for (const result of HEDGE_RESULTS) series.hedges(result);
  }
  return seriesOf;
}

const TOKEN_KINDS = {
  input: 'inputTokens',
  output: 'outputTokens',
  cached: 'cachedTokens',
  thoughts: 'thoughtTokens',
} as const satisfies Record<string, keyof Usage>;

/** Its series are computed when they are read. */
function bindUsage(
  { counter }: Families,
  prices: Prices | null,
  totals: () => Iterable<UsageTotal>,
): () => void {
  const requests = counter(
    'understudy_usage_requests_total',
    'Requests of each client that needed a key, by the model that answered or was asked last.',
  );
  const tokens = counter(
    'understudy_usage_tokens_total',
    'Tokens of each client. Those of the kind cached are a part of the input, thoughts of the output.',
  );
  const costs =
    prices === null
      ? null
      : counter('understudy_usage_cost_total', 'Costs of each client, by the prices in PRICES.');
  return () => {
    for (const { client, model, numbers } of totals()) {
      requests({ client, model }).count = numbers.requests;
      for (const [kind, field] of Object.entries(TOKEN_KINDS)) {
        tokens({ client, model, kind }).count = numbers[field];
      }
      const price = prices?.models.get(model);
      if (prices === null || costs === null || price === undefined) continue;
      costs({ client, model, currency: prices.currency }).count = costOf(
        price,
        numbers,
        numbers.answered,
      );
    }
  };
}

/** The others share one label. */
const MAX_CLIENTS = 1000;

function bindClientRefusals({ counter }: Families) {
  const refusals = counter(
    'understudy_client_refusals_total',
    'Requests that were refused because the client was over a limit or its share.',
  );
  return oncePerName(MAX_CLIENTS, (name) =>
    oncePer((limit: string) => refusals({ client: name ?? WEB.name, limit })),
  );
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
function measureAnswers({ histogram }: Families): RequestMetrics['requestAnswered'] {
  const duration = histogram(
    'http_server_request_duration_seconds',
    'How long a request took, to the end of its answer.',
    HTTP_SECONDS,
  );
  const seriesOf = oncePer((route: string) =>
    oncePer((status: number) =>
      oncePer((method: string) =>
        duration({
          http_request_method: method,
          http_route: route,
          http_response_status_code: status,
        }),
      ),
    ),
  );
  return ({ method, route, status, ms }) =>
    seriesOf(route)(status)(KNOWN_METHODS.has(method) ? method : '_OTHER').observe(ms / 1000);
}

type Families = ReturnType<typeof createFamilies>;
type Labels = Readonly<Record<string, string | number>>;

/**
 * Counters and histograms, each series bound to its labels once: prom-client looks a series up by a text of all its
 * labels at each step.
 */
function createFamilies() {
  const texts: (() => string)[] = [];
  function define<S>(
    head: readonly [name: string, type: string, help: string],
    create: (labels: string) => S,
    linesOf: (series: S) => readonly string[],
  ): (labels: Labels) => S {
    const [name, type, help] = head;
    // Targets without a model share the series that have only the model for a label.
    const all = new Map<string, S>();
    texts.push(() => {
      const lines = [...all.values()].flatMap(linesOf);
      return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join('\n');
    });
    return (labels) => {
      const text = labelsText(labels);
      const series = all.get(text) ?? create(text);
      all.set(text, series);
      return series;
    };
  }
  return {
    counter: (name: string, help: string) =>
      define(
        [name, 'counter', help],
        (labels) => ({ labels, count: 0 }),
        ({ labels, count }) => [`${name}{${labels}} ${count}`],
      ),
    histogram: (name: string, help: string, bounds: readonly number[]) =>
      define(
        [name, 'histogram', help],
        (labels) => new HistogramSeries(labels, bounds),
        (series) => series.lines(name),
      ),
    text: () => texts.map((text) => text()).join('\n\n'),
  };
}

const labelsText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${String(value).replace(/[\\"\n]/g, escapeLetter)}"`)
    .join(',');

const escapeLetter = (letter: string) => (letter === '\n' ? '\\n' : `\\${letter}`);

class HistogramSeries {
  readonly #labels: string;
  /** Upper bounds, ascending. */
  readonly #bounds: readonly number[];
  /** For each bound those above the bound before, and at the end those above the last. */
  readonly #counts: number[];
  #sum = 0;

  constructor(labels: string, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let index = 0;
    while (value > (this.#bounds[index] ?? Number.POSITIVE_INFINITY)) index += 1;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  lines(name: string): readonly string[] {
    let total = 0;
    const buckets = this.#counts.map((count, index) => {
      total += count;
      return `${name}_bucket{le="${this.#bounds[index] ?? '+Inf'}",${this.#labels}} ${total}`;
    });
    const labels = `{${this.#labels}}`;
    return [...buckets, `${name}_sum${labels} ${this.#sum}`, `${name}_count${labels} ${total}`];
  }
}

/** Creates what belongs to a key when it is first asked for. */
function oncePer<K, V>(create: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const found = known.get(key);
    if (found !== undefined) return found;
    const created = create(key);
    known.set(key, created);
    return created;
  };
}

/** Creates it when it is first asked for. */
function once<V extends object>(create: () => V): () => V {
  let created: V | undefined;
  return () => {
    created ??= create();
    return created;
  };
}
