import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type RequestHandler } from 'express';
import type { Clock } from '../shared/clock.ts';
import type { ProviderWords } from '../shared/failure.ts';

export const MEGABYTE = 2 ** 20;

/** What body-parser calls this fault too. */
export const TOO_LARGE = 'entity.too.large';

/**
 * Reads a body with one of Express' parsers, and refuses a larger one at once: by its declared length
 * before any of it is read, else as soon as the limit is passed. A parser alone would read it all first.
 *
 * @param limit in bytes, as they arrive; what a compressed body grows to, the parser limits itself
 */
export function readWithin(limit: number, parse: RequestHandler): RequestHandler {
  return function readBody(request, response, next) {
    const tooLarge = () => Object.assign(new Error(TOO_LARGE), { type: TOO_LARGE, limit });
    if (Number(request.headers['content-length'] ?? 0) > limit) {
      next(tooLarge());
      return;
    }
    if (expectsContinue(request)) response.writeContinue();
    if (request.headers['transfer-encoding'] === undefined) {
      parse(request, response, next);
      return;
    }
    let received = 0;
    request.on('data', count);
    parse(request, response, (error?: unknown) => {
      request.off('data', count);
      if (received <= limit) next(error);
    });

    function count(chunk: Buffer): void {
      received += chunk.length;
      if (received <= limit) return;
      request.off('data', count);
      next(tooLarge());
    }
  };
}

/** Reads a body as it comes, whatever its type. */
export const readBytes = (
  limit: number,
  options: Pick<RawOptions, 'inflate' | 'verify'>,
): RequestHandler => readWithin(limit, express.raw({ type: () => true, limit, ...options }));

type RawOptions = NonNullable<Parameters<typeof express.raw>[0]>;

const expectsContinue = ({ httpVersion, headers }: IncomingMessage): boolean =>
  httpVersion === '1.1' && /\b100-continue\b/i.test(headers.expect ?? '');

/** A client that sends a large body may read the answer only after a while. */
const LINGER_MS = 5000;

/**
 * Answers a request whose body has not come whole, and ends the connection. To close while data arrives
 * would reset the connection, and the client could lose the answer: so what arrives is thrown away for
 * a short time.
 */
export function answerUnread(
  response: ServerResponse,
  { status, type, body }: ProviderWords,
  clock: Clock,
): void {
  const bytes = Buffer.from(body);
  const headers = { 'content-type': type, 'content-length': bytes.length, connection: 'close' };
  response.writeHead(status, headers);
  response.write(bytes);
  const end = () => response.end();
  const limit = clock.after(LINGER_MS, end);
  response.once('close', () => limit.cancel());
  response.req.once('end', end);
  response.req.resume();
}
