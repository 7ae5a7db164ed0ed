import {
  type Attributes,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import {
  type ExportResult,
  ExportResultCode,
  parseTraceParent,
  setGlobalErrorHandler,
} from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';
import type {
  AttemptSpan,
  AttemptTrace,
  EndedTrace,
  Operation,
  RequestSpan,
  TraceSink,
  Tracing,
} from '../failover/trace.ts';
import { atMost, type Clock } from '../shared/clock.ts';
import type { Usage } from '../shared/failure.ts';
import type { Logger } from '../shared/logger.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import type { Redact } from '../shared/redact.ts';
import type { Target } from '../shared/target.ts';

export interface OtelOptions {
  readonly providers: readonly ProviderFacts[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly redact: Redact;
}

export interface Otel extends Tracing {
  /** Ends and exports the spans of each request that has ended. */
  readonly sink: TraceSink;
  /** Exports the remaining spans, for at most two seconds. */
  stop(): Promise<void>;
}

const FLUSH_LIMIT_MS = 2000;

/**
 * One span for each request and one for each attempt, by OpenTelemetry's conventions for generative AI, to the
 * collector that the variables of the SDK name. Spans go out in batches; those that the queue cannot hold are dropped.
 * They hold names from the settings, numbers, closed sets and the names of the models that answered.
 */
export function createOtel({ providers, clock, log, redact }: OtelOptions): Otel {
  // The exporter logs its failures itself; the SDK's handler would print each of them.
  setGlobalErrorHandler(() => {});
  const exporter = new LoggedExporter(new OTLPTraceExporter(), log, redact);
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'understudy' }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer('understudy');
  const names = new Map(providers.map(({ name, metricName }) => [name, metricName]));
  const describe: Describe = (operation, { provider: name, model, labels }) => ({
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': names.get(name) ?? name,
    'gen_ai.request.model': model ?? labels.model,
  });
  return {
    startRequest: ({ operation, targets: [target], client, startedAt }, traceparent) =>
      new OtelRequest({ tracer, describe }, { operation, target, client, startedAt, traceparent }),
    sink: {
      requestEnded(request) {
        for (const attempt of request.attempts) attempt.span?.end(attempt);
        request.span?.end(request);
      },
    },
    stop: () => atMost(FLUSH_LIMIT_MS, clock, provider.shutdown(), undefined),
  };
}

type Describe = (operation: Operation, target: Target) => Attributes;

interface Maker {
  readonly tracer: Tracer;
  readonly describe: Describe;
}

interface RequestStart {
  readonly operation: Operation;
  readonly target: Target;
  readonly client: string | null;
  readonly startedAt: number;
  readonly traceparent: string | undefined;
}

class OtelRequest implements RequestSpan {
  readonly traceId: string;
  readonly #maker: Maker;
  readonly #operation: Operation;
  readonly #span: Span;

  constructor(maker: Maker, { operation, target, client, startedAt, traceparent }: RequestStart) {
    const caller = traceparent === undefined ? null : parseTraceParent(traceparent);
    const parent =
      caller === null
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, { ...caller, isRemote: true });
    const attributes = {
      ...maker.describe(operation, target),
      'understudy.client': client ?? undefined,
    };
    this.#maker = maker;
    this.#operation = operation;
    this.#span = maker.tracer.startSpan(
      nameOf(operation, target),
      { kind: SpanKind.SERVER, startTime: timeOf(startedAt), attributes },
      parent,
    );
    this.traceId = this.#span.spanContext().traceId;
  }

  startAttempt(target: Target, key: string, startedAt: number): AttemptSpan {
    const attributes = {
      ...this.#maker.describe(this.#operation, target),
      'understudy.key': key,
      'understudy.persona': target.labels.persona,
    };
    const span = this.#maker.tracer.startSpan(
      nameOf(this.#operation, target),
      { kind: SpanKind.CLIENT, startTime: timeOf(startedAt), attributes },
      trace.setSpan(ROOT_CONTEXT, this.#span),
    );
    return new OtelAttempt(span);
  }

  end({ startedAt, ms, waitedMs, attempts, failovers, success, end }: EndedTrace): void {
    const span = this.#span;
    if (!span.isRecording()) return;
    span.setAttributes({
      ...(success === null ? {} : answerOf(success)),
      'understudy.key': success?.key,
      'understudy.attempts': attempts.length,
      'understudy.failovers': failovers,
      'understudy.waited': waitedMs / 1000,
    });
    if (end.kind !== 'answered') {
      span.setAttribute('error.type', end.kind === 'refused' ? end.code : end.kind);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end(timeOf(startedAt + ms));
  }
}

class OtelAttempt implements AttemptSpan {
  readonly traceparent: string;
  readonly #span: Span;

  constructor(span: Span) {
    const { traceId, spanId, traceFlags } = span.spanContext();
    this.#span = span;
    this.traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  }

  end(attempt: AttemptTrace): void {
    const span = this.#span;
    if (!span.isRecording()) return;
    const { outcome, isProbe, isHedge, startedAt, ms } = attempt;
    span.setAttributes({
      ...answerOf(attempt),
      'understudy.is_probe': isProbe || undefined,
      'understudy.is_hedge': isHedge || undefined,
    });
    if (outcome.kind !== 'success') {
      // Without the provider's message, which may quote the request.
      span.setAttributes({
        'error.type': outcome.kind,
        'http.response.status_code': outcome.status,
      });
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end(timeOf(startedAt + ms));
  }
}

/** The SDK would take a number for the age of the process if the clock was set back. */
const timeOf = (ms: number) => new Date(ms);

const nameOf = (operation: Operation, { model, labels }: Target) =>
  [operation, model ?? labels.model ?? ''].join(' ').trim();

const answerOf = ({ responseModel, firstMs, usage }: AttemptTrace): Attributes => ({
  'gen_ai.response.model': responseModel ?? undefined,
  'gen_ai.response.time_to_first_chunk': firstMs === null ? undefined : firstMs / 1000,
  ...(usage === null ? {} : tokensOf(usage)),
});

const tokensOf = ({ inputTokens, outputTokens, cachedTokens, thoughtTokens }: Usage) => ({
  'gen_ai.usage.input_tokens': inputTokens,
  'gen_ai.usage.output_tokens': outputTokens,
  'gen_ai.usage.cache_read.input_tokens': cachedTokens,
  'gen_ai.usage.reasoning.output_tokens': thoughtTokens,
});

/** Logs the first of several failures in a row, and the first success after them. */
class LoggedExporter implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #log: Logger;
  readonly #redact: Redact;
  #hasFailed = false;

  constructor(exporter: SpanExporter, log: Logger, redact: Redact) {
    this.#exporter = exporter;
    this.#log = log;
    this.#redact = redact;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, (result) => {
      this.#note(result);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }

  #note({ code, error }: ExportResult): void {
    const fails = code === ExportResultCode.FAILED;
    if (fails === this.#hasFailed) return;
    this.#hasFailed = fails;
    const why = this.#redact(error?.message ?? '').slice(0, MAX_WHY);
    if (fails) this.#log.warn({ why }, 'spans cannot be exported: they are lost');
    else this.#log.info('spans are exported again');
  }
}

const MAX_WHY = 300;
