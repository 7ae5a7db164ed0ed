import type { ErrorRequestHandler, RequestHandler, Response } from 'express';
import { ServiceError } from '../failover/service-error.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import { answerUnread } from './body-limit.ts';
import { errorFormOf, lastWordsOf } from './error-form.ts';
import { HttpError } from './http-error.ts';
import { sendText } from './send-json.ts';
import { toHttpError } from './to-http-error.ts';
import { rememberTold, type Told } from './told.ts';

/** For a known path that is asked in another way than it allows. */
export const methodNotAllowed = (...allowed: string[]): RequestHandler =>
  function refuseMethod({ method }, response, next) {
    response.setHeader('allow', allowed.join(', '));
    next(new HttpError(405, 'method_not_allowed', `${method} is not allowed here.`));
  };

export const notFound: RequestHandler = (_request, _response, next) =>
  next(new HttpError(404, 'not_found', 'There is nothing here.'));

const hasCallerGone = (error: unknown) =>
  error instanceof ServiceError && error.code === 'client_gone';

/** The last of all handlers: whatever was thrown becomes one answer, and a bug of ours a log line with its stack. */
export function answerErrors(log: Logger, clock: Clock): ErrorRequestHandler {
  return function answerError(thrown, request, response, _next) {
    if (hasCallerGone(thrown)) return;
    const requestId = String(request.id);
    const error = toHttpError(thrown);
    if (error.code === 'internal_error') log.error({ requestId, err: thrown }, 'internal error');
    rememberTold(response, whatIsTold(error));
    if (response.destroyed) return;
    if (response.headersSent) endStream(response, error);
    else refuse(response, error, requestId, clock);
  };
}

function endStream(response: Response, error: HttpError): void {
  const lastWords = response.writableEnded ? null : lastWordsOf(response, error);
  if (lastWords !== null) response.end(lastWords);
  // What was said before goes out; that the end is missing is all that tells of the failure.
  else if (response.socket !== null) response.socket.destroySoon();
}

function refuse(response: Response, error: HttpError, requestId: string, clock: Clock): void {
  const form = errorFormOf(response);
  if (error.retryAfterSeconds !== null) {
    response.setHeader('retry-after', String(error.retryAfterSeconds));
  }
  for (const [name, value] of Object.entries(form.headers?.(error) ?? {})) {
    response.setHeader(name, value);
  }
  const status = form.status?.(error) ?? error.status;
  const text = form.text(error, requestId);
  const isUnread = error.code === 'payload_too_large' && !response.req.complete;
  if (isUnread) answerUnread(response, { status, type: form.type, body: text }, clock);
  else sendText(response, status, form.type, text);
}

const whatIsTold = ({ code, retryAfterSeconds }: HttpError): Told =>
  retryAfterSeconds === null ? { code } : { code, retryAfterSeconds };
