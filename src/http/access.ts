import { randomUUID } from 'node:crypto';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import cors from 'cors';
import type { Request, RequestHandler, Response } from 'express';
import helmet from 'helmet';
import type { Caller } from '../failover/failover.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';
import { BodyMemory, invalidField } from './body.ts';
import { HttpError } from './errors.ts';
import { ATTEMPTS_HEADER } from './reply.ts';
import type { Route } from './route.ts';

export interface AccessOptions {
  readonly log: Logger;
  readonly clock: Pick<Clock, 'now'>;
  readonly metrics: Pick<Metrics, 'requestAnswered'> | null;
  readonly corsOrigins: CorsOrigins;
  /** Of all request bodies in flight together. */
  readonly maxBodiesBytes: number;
  readonly redact: Redact;
}

/** `'localhost'`, or the origins whose pages may call us; `*` among them allows any. */
export type CorsOrigins = 'localhost' | readonly string[];

/**
 * Stands before all routes. Gives each request its id and the headers that all answers have and, once
 * it is over, one line in the log and one observation in the metrics.
 */
export function receiveRequests(options: AccessOptions): RequestHandler {
  const { clock, redact } = options;
  const allowOrigins = createCors(options.corsOrigins);
  const security = headersFrom(helmet());
  const withoutOrigin = security + headersFrom(allowOrigins);
  const reportEnd = createReport(options);
  const bodyMemory = new BodyMemory(options.maxBodiesBytes);
  return function receiveRequest(request, response, next) {
    const { locals } = response;
    const { headers, method } = request;
    const needsCors = headers.origin !== undefined || method === 'OPTIONS';
    locals.startedAt = clock.now();
    locals.requestId = idOf(request, redact);
    locals.bodyMemory = bodyMemory;
    locals.head = `${needsCors ? security : withoutOrigin}x-request-id: ${locals.requestId}\r\n`;
    response.on('close', reportEnd);
    const fault = faultOfHost(request);
    if (fault !== null) next(new HttpError('invalid_request', fault));
    else if (needsCors) allowOrigins(request, response, next);
    else next();
  };
}

/**
 * RFC 9112, 3.2. Node would refuse a missing one without a request id, and takes the first of several, where a proxy in
 * front may have taken another.
 */
function faultOfHost({ headers, rawHeaders, httpVersion }: IncomingMessage): string | null {
  if (headers.host === undefined) {
    return httpVersion === '1.1' ? 'The Host header is missing.' : null;
  }
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1 ? 'There is more than one Host header.' : null;
}

function createReport({ log, clock, metrics }: AccessOptions) {
  return function reportEnd(this: Response): void {
    const { locals } = this;
    if (locals.running?.isOver === false) {
      locals.reportEnd = () => report(this, locals.caller?.trace?.end?.kind === 'answered');
      return;
    }
    if (!this.writableFinished) leave(locals.caller);
    report(this, this.writableFinished);
  };

  function report(response: Response, isWhole: boolean): void {
    const { locals, req: request } = response;
    // Not earlier: an answer that goes on without its reader still uses the body.
    locals.bodyMemory.release(locals);
    const { method, url } = request;
    const route = routeOf(request);
    const ms = clock.now() - locals.startedAt;
    const isAnswered = isWhole || locals.outcome?.code !== undefined;
    const status = isAnswered ? response.statusCode : CLIENT_GONE;
    metrics?.requestAnswered({ method, route: route?.path ?? OTHER, status, ms });
    if (url === '/health') return;
    // Headers and queries stay out.
    const path = (url.split('?', 1)[0] ?? '').replace(CHAT_ID, '$1{id}').slice(0, 200);
    log[levelOf(response, route)](lineOf(locals, { method, path, status, ms }), 'request');
  }
}

/** The id of a chat. It is not logged, because anyone who knows it can read the chat's answer. A proxy may write its host before it. */
const CHAT_ID = /(\/+api\/+chat\/+)[^/]+/i;

/** The routes of one path differ in their method. */
function routeOf({ route, method }: Request): Route | undefined {
  const routes: readonly Route[] = route?.served ?? [];
  return routes.find((one) => one.method === method.toLowerCase()) ?? routes[0];
}

/** @returns who asks, told when the connection closes before the answer is out */
export function callerOf({ locals, destroyed, req }: Response): Caller {
  // No event follows if it closed while the body was read.
  locals.caller = {
    requestId: locals.requestId,
    client: locals.client ?? null,
    traceparent: traceparentIn(req),
    isGone: destroyed,
    work: null,
    trace: null,
  };
  return locals.caller;
}

const traceparentIn = ({ headers }: IncomingMessage) => {
  const { traceparent } = headers;
  return typeof traceparent === 'string' ? traceparent : undefined;
};

/** @returns the token of an `Authorization: Bearer` header; null when there is none */
export const bearerIn = ({ headers: { authorization } }: Pick<IncomingMessage, 'headers'>) =>
  authorization === undefined ? null : (BEARER.exec(authorization)?.[1] ?? null);

const BEARER = /^Bearer +(\S{1,8192}) *$/i;

/** Ends the caller's work: the client no longer wants the answer. */
export function leave(caller: Caller | undefined): void {
  if (caller === undefined) return;
  caller.isGone = true;
  caller.work?.callerGone();
}

/**
 * The caller's own id of the request if it is short, harmless in a log and a header, and no key, else a new one. `trim`
 * makes one text of it: Node puts it together from twenty pieces, which V8 would keep apart.
 */
function idOf({ headers }: IncomingMessage, redact: Redact): string {
  const given = headers['x-request-id'];
  const isFit = typeof given === 'string' && ACCEPTABLE_ID.test(given) && redact(given) === given;
  return isFit ? given : randomUUID().trim();
}

const ACCEPTABLE_ID = /^[\w.:-]{1,100}$/;

/** As nginx logs a client that closed the connection before its answer. */
export const CLIENT_GONE = 499;

/** Files of pages, and unknown paths. */
const OTHER = 'other';

/**
 * The fields of the log line, those of the successful attempt included. pino omits undefined fields. Spreading
 * several objects into one would cost more than the rest of the line.
 */
function lineOf(
  { requestId, outcome, caller }: Express.Locals,
  answered: { method: string; path: string; status: number; ms: number },
) {
  const { method, path, status, ms } = answered;
  const trace = caller?.trace;
  const success = trace?.success;
  const attempts = trace?.attempts.length ?? 0;
  return {
    requestId,
    method,
    path,
    status,
    ms,
    client: outcome?.client,
    code: outcome?.code,
    limit: outcome?.limit,
    retryAfterSeconds: outcome?.retryAfterSeconds,
    key: success?.key,
    model: success?.target.labels.model,
    responseModel: success?.otherModel ?? undefined,
    persona: success?.target.labels.persona,
    firstMs: success?.firstMs ?? undefined,
    tokens: success?.usage?.totalTokens,
    isProbe: success?.isProbe || undefined,
    waitedMs: trace?.waitedMs || undefined,
    traceId: trace?.span?.traceId,
    attempts: attempts > 1 ? attempts : undefined,
  };
}

function levelOf({ statusCode, locals }: Response, route?: Route): 'debug' | 'info' | 'warn' {
  const isBroken = statusCode < 400 && locals.outcome?.code !== undefined;
  if (isBroken || statusCode >= 500) return 'warn';
  return statusCode < 400 && route?.isPolled === true ? 'debug' : 'info';
}

/** Any port of this machine, where a frontend is being developed. */
const LOCALHOST = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/;

/** What a browser's script may read besides the body. */
const EXPOSED = ['x-request-id', 'retry-after', 'ratelimit', 'ratelimit-policy', ATTEMPTS_HEADER];

function createCors(origins: CorsOrigins) {
  const listed = origins === 'localhost' ? LOCALHOST : [...origins];
  const origin = origins.includes('*') ? '*' : listed;
  return cors({ origin, exposedHeaders: EXPOSED, maxAge: 600 });
}

type SetHeaders = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

/**
 * Runs a middleware once, at the start, to learn which headers it sets. Running it for each answer would cost more
 * than the routing.
 *
 * @returns what it sets for a request without an `Origin`, as header lines
 */
export function headersFrom(setHeaders: SetHeaders): string {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  let lines = '';
  response.setHeader = (name, value) => {
    lines += `${name}: ${value}\r\n`;
    return response;
  };
  setHeaders(request, response, () => {});
  return lines;
}

/** The names of query parameters in which other servers accept a token. */
const TOKEN_PARAMETERS = /^(?:key|token|api_?key|access_token)$/i;

/**
 * For routes that take no token in the query. A token there is refused rather than ignored, because proxies and servers
 * log addresses.
 *
 * @throws HttpError 400
 */
export const refuseTokenInQuery: RequestHandler = (request, _response, next) => {
  const name = request.url.includes('?')
    ? Object.keys(request.query).find((parameter) => TOKEN_PARAMETERS.test(parameter))
    : undefined;
  next(name === undefined ? undefined : invalidField(name, TOKEN_IN_QUERY));
};

const TOKEN_IN_QUERY =
  'This route takes no token in its query, where logs would show it. Remove the parameter.';
