import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import express, { type Request, type RequestHandler } from 'express';
import { bodyFault, bodyTooLarge, HttpError } from './errors.ts';

/**
 * Reads a JSON body in UTF-8 and refuses anything else before it is parsed.
 *
 * @param limit in bytes
 */
export function readJsonBody(limit: number): RequestHandler[] {
  const parse = express.json({
    limit,
    // The schema describes what is wrong with a bare `null` better than the parser.
    strict: false,
    type: () => true,
    verify({ headers }, _response, bytes) {
      if (bytes.length > 0 && headers['content-type'] === undefined) throw bodyFault(...NOT_JSON);
      if (!isUtf8(bytes)) throw bodyFault('invalid_request', 'The body is not valid UTF-8.');
      refuseTooManyValues(bytes);
      replaceLoneSurrogatesIn(bytes);
    },
  });
  return [requireJson, readWithin(limit, parse)];
}

/**
 * Reads a body as it comes, whatever its type.
 *
 * @param limit in bytes
 */
export const readBytes = (
  limit: number,
  options: { readonly inflate: boolean; readonly isJson: boolean },
): RequestHandler =>
  readWithin(
    limit,
    express.raw({
      type: () => true,
      limit,
      inflate: options.inflate,
      verify: (_request, _response, bytes) => {
        if (options.isJson) refuseTooManyValues(bytes);
      },
    }),
  );

/** For routes that need no body. */
export const bodyOrNone = ({ body }: Request): unknown => (body === undefined ? {} : body);

const NOT_JSON = ['unsupported_media_type', 'Send the body as application/json.'] as const;

/** Only a body of unknown length may come without a type: it may turn out to be empty. */
const requireJson: RequestHandler = (request, _response, next) => {
  const { 'content-type': type, 'content-length': length = 0 } = request.headers;
  const hasUnknownLength = request.headers['transfer-encoding'] !== undefined;
  if (hasUnknownLength ? type === undefined : Number(length) === 0) return next();
  if (!request.is('application/json') && !request.is('application/*+json')) {
    return next(new HttpError(...NOT_JSON));
  }
  if (!UTF_8.test(CHARSET.exec(type ?? '')?.[1] || 'utf-8')) {
    return next(new HttpError('unsupported_media_type', 'Send the body as UTF-8.'));
  }
  // The parser knows fewer names of UTF-8.
  request.headers['content-type'] = 'application/json';
  next();
};

const CHARSET = /;\s*charset\s*=\s*"?([^\s";]*)/i;
const UTF_8 = /^utf-?8$/i;

/**
 * Refuses a body that is too large at once: by its declared length before any of it is read, else as
 * soon as the limit is passed. A parser alone would read all of it first.
 *
 * @param limit in bytes as they arrive; the parser itself limits what a compressed body grows to
 */
function readWithin(limit: number, parse: RequestHandler): RequestHandler {
  return function readBody(request, response, next) {
    if (Number(request.headers['content-length'] ?? 0) > limit) {
      next(bodyTooLarge(limit));
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
      next(bodyTooLarge(limit));
    }
  };
}

const expectsContinue = ({ httpVersion, headers }: IncomingMessage): boolean =>
  httpVersion === '1.1' && /\b100-continue\b/i.test(headers.expect ?? '');

/** No conversation has as many. To parse millions of them blocks the process for seconds. */
const MAX_VALUES = 250_000;
/** A text of up to so many bytes is parsed whatever it holds. */
const UNCOUNTED_BYTES = 2 ** 20;

/** Whether a large JSON text would take too long to parse: neither an image nor a long text, but very many values. */
export function holdsTooManyValues(json: string | Buffer): boolean {
  if (json.length <= UNCOUNTED_BYTES) return false;
  const bytes = typeof json === 'string' ? Buffer.from(json) : json;
  let values = 0;
  for (let at = 0; at < bytes.length && values <= MAX_VALUES; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA || byte === BRACKET || byte === BRACE) values += 1;
  }
  return values > MAX_VALUES;
}

function refuseTooManyValues(body: Buffer): void {
  if (holdsTooManyValues(body)) {
    throw bodyFault('invalid_request', 'The body holds too many values.');
  }
}

const [QUOTE, BACKSLASH, COMMA, BRACKET, BRACE] = Buffer.from('"\\,[{');

function endOfString(bytes: Buffer, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

const HEX = String.raw`[\da-fA-F]{2}`;
const HIGH = String.raw`\\u[dD][89abAB]${HEX}`;
const LOW = String.raw`\\u[dD][c-fC-F]${HEX}`;
/** An escape begins with a backslash that no other backslash escapes. */
const UNESCAPED = String.raw`(?<!\\)(?:\\\\)*`;
const LONE = new RegExp(
  `${HIGH}(?!${LOW})(?<=${UNESCAPED}${HIGH})|${LOW}(?<=${UNESCAPED}${LOW})(?<!${UNESCAPED}${HIGH}${LOW})`,
  'g',
);

/**
 * Replaces each escape of half a surrogate pair in a JSON text by the escape of U+FFFD. Google refuses a
 * text with half a pair, and a client that cuts texts by length cannot repair its history.
 */
export const replaceLoneSurrogates = (json: string): string =>
  json.replace(LONE, String.raw`\ufffd`);

/** In place: UTF-8 itself cannot hold half a pair, and both escapes have six bytes. */
function replaceLoneSurrogatesIn(json: Buffer): void {
  if (!json.includes(String.raw`\ud`) && !json.includes(String.raw`\uD`)) return;
  json.write(replaceLoneSurrogates(json.toString('latin1')), 'latin1');
}
