import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, type ZlibOptions } from 'node:zlib';
import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { FieldFault } from '../failover/service-error.ts';
import { isJsonObject, type JsonObject } from '../shared/json.ts';
import { isTooDeep, MAX_DEPTH, refersToItself } from '../shared/json-schema.ts';
import { bodyFault, bodyTooLarge, HttpError } from './errors.ts';

/**
 * Reads a JSON body in UTF-8. What is refused once it was read is left in `request.body` as it came.
 *
 * @param limit in bytes
 */
export const readJsonBody = (limit: number): RequestHandler =>
  async function readJson(request, response, next) {
    if (!USUAL_TYPE.test(request.headers['content-type'] ?? '')) refuseOtherTypes(request);
    const bytes = await read(request, response, limit, DECOMPRESS);
    request.body = bytes;
    if (bytes !== undefined) request.body = parseJson(bytes, request);
    next();
  };

/**
 * Reads a body as it comes, whatever its type.
 *
 * @param limit in bytes
 */
export const readBytes = (
  limit: number,
  { inflates, isJson }: { readonly inflates: boolean; readonly isJson: boolean },
): RequestHandler =>
  async function readBody(request, response, next) {
    const bytes = await read(request, response, limit, inflates ? DECOMPRESS : NOTHING);
    request.body = bytes;
    if (isJson && bytes !== undefined) refuseTooManyValues(bytes);
    next();
  };

/** For routes that need no body. */
export const bodyOrNone = ({ body }: Request): unknown => (body === undefined ? {} : body);

const NOT_JSON = ['unsupported_media_type', 'Send the body as application/json.'] as const;

/** Only a body of unknown length may come without a type: it may turn out to be empty. */
function refuseOtherTypes(request: Request): void {
  const { 'content-type': type = '', 'content-length': length = 0 } = request.headers;
  const hasUnknownLength = request.headers['transfer-encoding'] !== undefined;
  if (hasUnknownLength ? type === '' : Number(length) === 0) return;
  if (!request.is('application/json') && !request.is('application/*+json')) {
    throw new HttpError(...NOT_JSON);
  }
  if (!UTF_8.test(CHARSET.exec(type)?.[1] || 'utf-8')) {
    throw new HttpError('unsupported_media_type', 'Send the body as UTF-8.');
  }
}

const USUAL_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i;
const CHARSET = /;\s*charset\s*=\s*"?([^\s";]*)/i;
const UTF_8 = /^utf-?8$/i;

type Decompress = (bytes: Buffer, options: ZlibOptions) => Promise<Buffer>;

/** By the names in `content-encoding`. */
const DECOMPRESS: ReadonlyMap<string, Decompress> = new Map([
  ['gzip', promisify<Buffer, ZlibOptions, Buffer>(gunzip)],
  ['deflate', promisify<Buffer, ZlibOptions, Buffer>(inflate)],
  ['br', promisify<Buffer, ZlibOptions, Buffer>(brotliDecompress)],
]);
const NOTHING: typeof DECOMPRESS = new Map();

/**
 * Refuses a body that is too large at once: by its declared length before any of it is read, else as
 * soon as the limit is passed.
 *
 * @param limit of the bytes as they arrive, and of what they grow to
 * @returns undefined when the request has no body
 */
async function read(
  request: Request,
  response: Response,
  limit: number,
  decompressors: typeof DECOMPRESS,
): Promise<Buffer | undefined> {
  const { headers } = request;
  const length = headers['content-length'];
  if (length === undefined && headers['transfer-encoding'] === undefined) return undefined;
  if (Number(length) > limit) throw bodyTooLarge(limit);
  const encoding = headers['content-encoding']?.toLowerCase() || IDENTITY;
  const decompress = decompressors.get(encoding);
  if (decompress === undefined && encoding !== IDENTITY) {
    throw bodyFault('unsupported_media_type', 'This content encoding is not supported.');
  }
  if (headers.expect !== undefined && expectsContinue(request)) response.writeContinue();
  const bytes = await collect(request, limit);
  if (decompress === undefined) return bytes;
  return decompress(bytes, { maxOutputLength: limit }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ERR_BUFFER_TOO_LARGE') throw bodyTooLarge(limit, cause);
    throw new HttpError('invalid_request', 'The request could not be read.', { cause });
  });
}

const IDENTITY = 'identity';

const expectsContinue = ({ httpVersion, headers }: IncomingMessage): boolean =>
  httpVersion === '1.1' && /\b100-continue\b/i.test(headers.expect ?? '');

const EMPTY: Buffer = Buffer.alloc(0);

function collect(request: Request, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let received = 0;
    function take(chunk: Buffer): void {
      chunks.push(chunk);
      received += chunk.length;
      if (received <= limit) return;
      request.off('data', take);
      request.body = chunks[0];
      chunks.length = 0;
      reject(bodyTooLarge(limit));
    }
    /** Node closes a request as soon as all of its body has been taken. */
    function settle(): void {
      const [first = EMPTY] = chunks;
      const body = chunks.length > 1 ? Buffer.concat(chunks) : first;
      // The listeners live as long as the request, and must not keep its body.
      chunks.length = 0;
      if (request.readableEnded) resolve(body);
      else reject(bodyFault('invalid_request', 'The body ended too early.'));
    }
    request.on('data', take);
    request.on('close', settle);
    // No event follows.
    if (request.closed) settle();
  });
}

function parseJson(bytes: Buffer, { headers }: IncomingMessage): unknown {
  if (bytes.length === 0) return {};
  if (headers['content-type'] === undefined) throw bodyFault(...NOT_JSON);
  if (!isUtf8(bytes)) throw bodyFault('invalid_request', 'The body is not valid UTF-8.');
  if (bytes.length > UNCOUNTED_BYTES) refuseTooManyValues(bytes);
  const written = bytes.toString();
  const text = written.includes('\\u') ? replaceLoneSurrogates(written) : written;
  try {
    return JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
  } catch (cause) {
    throw bodyFault('invalid_request', 'The body is not valid JSON.', cause);
  }
}

const BYTE_ORDER_MARK = '\ufeff';

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

/**
 * How many faults are listed, and after how many faulty entries the rest of a list is not read: a body
 * could hold half a million for each megabyte.
 */
const MAX_FAULTS = 20;

/** @throws HttpError 400 that lists each fault with its path */
export function validate<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const details = result.error.issues.flatMap(toFaults).slice(0, MAX_FAULTS);
  const [first] = details;
  const at = first === undefined || first.path === '' ? '' : `${first.path}: `;
  throw new HttpError('invalid_request', `${at}${first?.message ?? 'Invalid body.'}`, { details });
}

export const invalidField = (path: string, message: string): HttpError =>
  new HttpError('invalid_request', `${path}: ${message}`, { details: [{ path, message }] });

/** What zod says of a missing field. */
const IS_MISSING = [/^Invalid input: expected .+, received undefined$/, 'Is missing.'] as const;

/** One fault for each unknown field, named by its own path. */
function toFaults(issue: z.core.$ZodIssue): FieldFault[] {
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return faultsOfUnion(issue);
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') {
    return [{ path: path.join('.'), message: issue.message.replace(...IS_MISSING) }];
  }
  return issue.keys.slice(0, MAX_FAULTS).map((key) => ({
    path: [...path, key.slice(0, 100)].join('.'),
    message: 'This field is unknown.',
  }));
}

/** The member of a union that the value comes nearest to explains best what is wrong. */
function faultsOfUnion(issue: z.core.$ZodIssueInvalidUnion): FieldFault[] {
  const [nearest = []] = issue.errors.toSorted(byDistance);
  const hasOwnMessage = issue.message !== DEFAULT_MESSAGE && depthOf(nearest) === 0;
  if (hasOwnMessage) return [{ path: issue.path.join('.'), message: issue.message }];
  return nearest.flatMap((one) => toFaults({ ...one, path: [...issue.path, ...one.path] }));
}

type Issues = readonly z.core.$ZodIssue[];

/** The deeper and the fewer the faults, the nearer; what is of another type is farther. */
const byDistance = (a: Issues, b: Issues) =>
  depthOf(b) - depthOf(a) ||
  Number(isOfOtherType(a)) - Number(isOfOtherType(b)) ||
  a.length - b.length;

const isOfOtherType = (issues: Issues) => issues.some(({ path }) => path.join('.') === 'type');

const depthOf = (issues: Issues) => Math.max(...issues.map(({ path }) => path.length));

/** What zod says of a union without a message. */
const DEFAULT_MESSAGE = 'Invalid input';

/** An object of unknown fields that goes on to a provider. */
export const jsonObject = z
  .custom<JsonObject>(isJsonObject, 'Must be an object.')
  .refine((value) => !isTooDeep(value), {
    error: `Must not nest deeper than ${MAX_DEPTH}.`,
    // Later checks may then recurse without a limit.
    abort: true,
  })
  .meta({ type: 'object' });

/** A JSON schema of a function or an answer. Gemini cannot write what refers to itself. */
export const jsonSchema = jsonObject.refine((schema) => !refersToItself(schema), {
  error: 'Must not refer to itself: no $ref may lead back to a schema that it is part of.',
});

/** A JSON object that is described elsewhere. */
export const linked = (id: string, url: string) =>
  z.looseObject({}).meta({ id, description: `[Reference](${url})`, externalDocs: { url } });

/** For the OpenAPI document: the schema of a list does not show what it is made of. */
export const listShapes = new WeakMap<object, { readonly item: z.ZodType; readonly max: number }>();

/** A list that stops reading after {@link MAX_FAULTS} faulty entries, as `z.array` does not. */
export function listOf<T>(item: z.ZodType<T>, max: number) {
  const list = z
    .custom<readonly unknown[]>(Array.isArray, 'Must be a list.')
    .refine(({ length }) => length <= max, {
      error: `Must not have more than ${max} entries.`,
      // Else later checks would look at entries that were not read.
      abort: true,
    });
  listShapes.set(list, { item, max });
  return list.transform((values, context): T[] => {
    const read: T[] = [];
    let faulty = 0;
    for (const [index, value] of values.entries()) {
      const result = item.safeParse(value);
      if (result.success) read.push(result.data);
      else {
        addIssues(context, index, result.error.issues);
        faulty += 1;
      }
      if (faulty === MAX_FAULTS) break;
    }
    return read;
  });
}

function addIssues(context: z.RefinementCtx, index: number, issues: Issues): void {
  for (const issue of issues) {
    context.issues.push({ ...issue, path: [index, ...issue.path] } as z.core.$ZodRawIssue);
  }
}
