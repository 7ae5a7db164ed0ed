import type { RequestHandler } from 'express';
import type { Metrics } from '../../observability/metrics.ts';
import { sendText } from '../send-json.ts';

/** `GET /metrics`: what Prometheus reads. */
export function metricsRoute(metrics: Pick<Metrics, 'contentType' | 'text'>): RequestHandler {
  return async function getMetrics(_request, response) {
    sendText(response, 200, metrics.contentType, await metrics.text());
  };
}
