import { Histogram, type Registry } from 'prom-client';
import { HTTP_SECONDS } from './buckets.ts';

export interface AnsweredRequest {
  readonly method: string;
  /** The pattern of the path, never the path itself. */
  readonly route: string;
  readonly status: number;
  /** To the end of the answer. */
  readonly ms: number;
}

/**
 * What callers got, after OpenTelemetry's conventions for HTTP servers
 * (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/). The scheme is left out: behind a
 * proxy it is whatever a header says.
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

/** To OpenTelemetry; Node knows a few dozen more. */
const KNOWN_METHODS: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'TRACE',
]);
