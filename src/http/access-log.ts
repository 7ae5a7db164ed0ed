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
    customLogLevel: (request, response) => levelOf(request, response),
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
  const path = pathIn(url).slice(0, 200);
  return { method, path, status: statusOf(response), ms, ...toldTo(response) };
}

/** What was answered: 499 where nobody was left to hear it. */
export function statusOf(response: ServerResponse): number {
  const isAnswered = response.writableFinished || toldTo(response)?.code !== undefined;
  return isAnswered ? response.statusCode : CLIENT_GONE;
}

const pathIn = (url: string) => url.split('?', 1)[0] ?? '';

/** By every dashboard there is, every few seconds; the stream of a chat by each load of a page. */
const POLLED = /^\/(?:api\/keys\/status|api\/keys|api\/overview|metrics|api\/chat\/[^/]+\/stream)$/;

function levelOf(
  { url = '' }: { readonly url?: string | undefined },
  response: ServerResponse,
): 'debug' | 'info' | 'warn' {
  const isBroken = response.statusCode < 400 && toldTo(response)?.code !== undefined;
  if (isBroken || response.statusCode >= 500) return 'warn';
  return response.statusCode < 400 && POLLED.test(pathIn(url)) ? 'debug' : 'info';
}

/** As nginx writes it where nobody was left to be answered. */
export const CLIENT_GONE = 499;
