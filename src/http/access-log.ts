import type { ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import { pinoHttp } from 'pino-http';
import type { Logger } from '../shared/logger.ts';
import { assignRequestId } from './request-id.ts';
import { toldTo } from './told.ts';

/** One line for each answered request, and its id on request and answer. Headers and queries stay out. */
export function logAccess(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    genReqId: assignRequestId,
    quietReqLogger: true,
    quietResLogger: true,
    customAttributeKeys: { reqId: 'requestId', responseTime: 'ms' },
    wrapSerializers: false,
    serializers: { req: () => undefined, res: () => undefined, err: () => undefined },
    customLogLevel: ({ url }, response) => levelOf(url, response),
    customSuccessMessage: () => 'request',
    customErrorMessage: () => 'request',
    customSuccessObject: describe,
    customErrorObject: (request, response, _error, value) => describe(request, response, value),
    autoLogging: { ignore: ({ url }) => url === '/health' },
  });
}

function describe(
  { method, url = '' }: { method?: string | undefined; url?: string | undefined },
  response: ServerResponse,
  { ms }: { ms?: number },
) {
  const path = url.split('?', 1)[0]?.slice(0, 200);
  const told = toldTo(response);
  const isAnswered = response.writableFinished || told?.code !== undefined;
  const status = isAnswered ? response.statusCode : CLIENT_GONE;
  return { method, path, status, ms, ...told };
}

/** Polled by every dashboard there is. */
const POLLED = '/api/keys/status';

function levelOf(url: string | undefined, response: ServerResponse): 'debug' | 'info' | 'warn' {
  const isBroken = response.statusCode < 400 && toldTo(response)?.code !== undefined;
  if (isBroken || response.statusCode >= 500) return 'warn';
  return url === POLLED ? 'debug' : 'info';
}

/** As nginx writes it where nobody was left to be answered. */
export const CLIENT_GONE = 499;
