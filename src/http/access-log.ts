import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { type RequestTrace, successIn } from '../failover/trace.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';

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
      const { locals } = response;
      metrics?.requestAnswered({ method, route: locals.route?.path ?? OTHER, status, ms });
      if (!isLogged) return;
      // Headers and queries stay out.
      const path = pathOf(request);
      const line = { requestId, method, path: path.slice(0, 200), status, ms };
      const trace = locals.caller?.trace ?? null;
      const answer = trace === null ? null : answerIn(trace);
      log[levelOf(response)]({ ...line, ...locals.outcome, ...answer }, 'request');
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

/** Files of pages, and unknown paths. */
const OTHER = 'other';

/** The key that answered, and how: only a failed attempt has a line of its own. */
function answerIn({ attempts, waitedMs }: RequestTrace) {
  const success = successIn(attempts);
  return {
    key: success?.key,
    ...success?.target.labels,
    firstMs: success?.firstMs ?? undefined,
    tokens: success?.usage?.totalTokens,
    isProbe: success?.isProbe === true ? true : undefined,
    waitedMs: waitedMs > 0 ? waitedMs : undefined,
    attempts: attempts.length > 1 ? attempts.length : undefined,
  };
}

const pathOf = ({ url }: Request): string => url.split('?', 1)[0] ?? '';

function levelOf({ statusCode, locals }: Response): 'debug' | 'info' | 'warn' {
  const isBroken = statusCode < 400 && locals.outcome?.code !== undefined;
  if (isBroken || statusCode >= 500) return 'warn';
  return statusCode < 400 && locals.route?.isPolled === true ? 'debug' : 'info';
}
