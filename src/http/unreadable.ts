import { randomUUID } from 'node:crypto';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestHandler } from 'express';
import type { Logger } from '../shared/logger.ts';
import { errorBody, HttpError } from './http-error.ts';

/** What Node's parser calls the faults that have a status of their own; every other is a 400. */
const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * Answers what Node's parser could not read, and what therefore never became a request: in our error
 * form and with an id, then ends the connection. Where an answer is already on its way, only the latter.
 *
 * @param answering the response that this connection is busy with, if any
 */
export function answerUnreadable(
  { code = '' }: NodeJS.ErrnoException,
  socket: Duplex,
  answering: ServerResponse | undefined,
  log: Logger,
): void {
  const isBusy = answering?.headersSent === true && !answering.writableFinished;
  if (code === 'ECONNRESET' || !socket.writable || isBusy) {
    socket.destroy();
    return;
  }
  const status = STATUS_BY_CODE[code] ?? 400;
  const requestId = randomUUID();
  log.info({ requestId, status, why: code }, 'unreadable request');
  // Without waiting for the client to close too: that could hold up our own end.
  socket.end(rawAnswer(status, requestId), () => socket.destroy());
}

function rawAnswer(status: number, requestId: string): string {
  const name = status === 413 ? 'payload_too_large' : 'invalid_request';
  const message = `The request could not be read: ${STATUS_CODES[status]}.`;
  const body = JSON.stringify(errorBody(new HttpError(status, name, message), requestId));
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'x-content-type-options: nosniff',
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

/** RFC 9112, 3.2: HTTP/1.1 without a Host is refused; by us, since Node would do it without an id. */
export const requireHost: RequestHandler = ({ httpVersion, headers }, _response, next) => {
  const isMissing = httpVersion === '1.1' && headers.host === undefined;
  next(
    isMissing ? new HttpError(400, 'invalid_request', 'The Host header is missing.') : undefined,
  );
};
