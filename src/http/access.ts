import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import type { Metrics } from '../observability/metrics.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import { METHOD_PATH, MODELS_PATH } from './dialects/gemini.ts';

/** Gives each request its id and, once it is over, one line in the log and one observation in the metrics. */
export function trackRequests(
  log: Logger,
  clock: Pick<Clock, 'now'>,
  metrics: Pick<Metrics, 'requestAnswered'> | null,
): RequestHandler {
  return function trackRequest(request, response, next) {
    const startedAt = clock.now();
    const requestId = idOf(request);
    response.locals.requestId = requestId;
    response.setHeader('x-request-id', requestId);
    const isLogged = request.url !== '/health';
    response.once('close', () => {
      const { method } = request;
      const ms = clock.now() - startedAt;
      const status = statusOf(response);
      metrics?.requestAnswered({ method, route: routeOf(request), status, ms });
      if (!isLogged) return;
      // Headers and queries stay out.
      const path = pathOf(request);
      const line = { requestId, method, path: path.slice(0, 200), status, ms };
      log[levelOf(path, response)]({ ...line, ...response.locals.outcome }, 'request');
    });
    next();
  };
}

/** The caller's own id of the request if it is short and harmless in a log and a header, else a new one. */
function idOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && ACCEPTABLE_ID.test(given) ? given : randomUUID();
}

const ACCEPTABLE_ID = /^[\w.:-]{1,100}$/;

/** As nginx logs a client that closed the connection before its answer. */
export const CLIENT_GONE = 499;

function statusOf(response: Response): number {
  const isAnswered = response.writableFinished || response.locals.outcome?.code !== undefined;
  return isAnswered ? response.statusCode : CLIENT_GONE;
}

/** The pattern that the path has matched, and nothing that a caller put into it. */
function routeOf({ route }: Request): string {
  const pattern: unknown = route?.path;
  return typeof pattern === 'string' ? pattern : (LABELS.get(pattern) ?? OTHER);
}

/** Files of pages, and unknown paths. */
const OTHER = 'other';

const LABELS = new Map<unknown, string>([
  [METHOD_PATH, '/v1beta/models/{model}:{method}'],
  [MODELS_PATH, '/v1beta/models/{model}'],
]);

const pathOf = ({ url }: Request): string => url.split('?', 1)[0] ?? '';

/** Dashboards poll these every few seconds; pages ask for the stream of a chat at each load. */
const POLLED = /^\/(?:api\/keys\/status|api\/keys|api\/overview|metrics|api\/chat\/[^/]+\/stream)$/;

function levelOf(path: string, { statusCode, locals }: Response): 'debug' | 'info' | 'warn' {
  const isBroken = statusCode < 400 && locals.outcome?.code !== undefined;
  if (isBroken || statusCode >= 500) return 'warn';
  return statusCode < 400 && POLLED.test(path) ? 'debug' : 'info';
}
