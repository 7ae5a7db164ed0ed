import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { FieldFault } from '../failover/service-error.ts';
import { isJsonObject, type JsonObject } from '../shared/json.ts';
import { isTooDeep, MAX_DEPTH, refersToItself } from '../shared/json-schema.ts';
import { bodyFault, bodyTooLarge, HttpError } from './errors.ts';
import { LONGEST_BODY, OlderImages } from './older-images.ts';

/**
 * Reads a JSON body in UTF-8. A body that is refused after it was read stays in `request.body` as bytes.
 *
 * @param limit in bytes
 * @param olderImages whether a longer body is accepted, without the oldest images of its conversation
 */
export function readJsonBody(limit: number, olderImages: 'stay' | 'go' = 'stay'): RequestHandler {
  const longest = olderImages === 'go' ? LONGEST_BODY * limit : limit;
  const reading: Reading = { limit, longest, decoders: DECODERS };
  return async function readJson(request, response, next) {
    if (!USUAL_TYPE.test(request.headers['content-type'] ?? '')) refuseOtherTypes(request);
    const read = await readBody(request, response, reading);
    if (read !== null) {
      request.body = read.bytes;
      const parsed = parseJson(read.bytes, request);
      read.olderImages?.mark(parsed);
      request.body = parsed;
    }
    next();
  };
}

/**
 * Reads a body as it comes, whatever its type.
 *
 * @param limit in bytes
 */
export function readBytes(
  limit: number,
  { inflates, isJson }: { readonly inflates: boolean; readonly isJson: boolean },
): RequestHandler {
  const reading: Reading = { limit, longest: limit, decoders: inflates ? DECODERS : NONE };
  return async function readBytesOfBody(request, response, next) {
    const read = await readBody(request, response, reading);
    if (read !== null) {
      request.body = read.bytes;
      if (isJson) refuseTooManyValues(read.bytes);
    }
    next();
  };
}

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

type Decoders = ReadonlyMap<string, () => Transform>;

/** By the names in `content-encoding`. */
const DECODERS: Decoders = new Map<string, () => Transform>([
  ['gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);
const NONE: Decoders = new Map();

interface Reading {
  /** How many bytes may be kept. */
  readonly limit: number;
  /** How many bytes may arrive: more than `limit` where older images are left out. */
  readonly longest: number;
  readonly decoders: Decoders;
}

interface ReadBody {
  readonly bytes: Buffer;
  /** Set for a body that was longer than its limit. */
  readonly olderImages: OlderImages | null;
}

/**
 * Refuses a body that is too large at once: by its declared length before any of it is read, else as
 * soon as the limit is passed.
 *
 * @returns null when the request has no body
 */
async function readBody(
  request: Request,
  response: Response,
  reading: Reading,
): Promise<ReadBody | null> {
  const { headers } = request;
  const { limit } = reading;
  const length = headers['content-length'];
  if (length === undefined && headers['transfer-encoding'] === undefined) return null;
  const encoding = headers['content-encoding']?.toLowerCase() || IDENTITY;
  const createDecoder = reading.decoders.get(encoding);
  const longest = createDecoder === undefined ? reading.longest : limit;
  const declared = Number(length ?? 0);
  if (declared > longest) throw bodyTooLarge(longest, longest / limit);
  if (createDecoder === undefined && encoding !== IDENTITY) {
    throw bodyFault('unsupported_media_type', 'This content encoding is not supported.');
  }
  response.locals.bodyMemory.expect(Math.min(declared, limit));
  if (headers.expect !== undefined) sendContinue(request, response);
  const body = new ArrivingBody(response.locals, limit, longest);
  await (createDecoder === undefined
    ? collect(request, body)
    : collectDecoded(request, createDecoder(), body, encoding));
  return body.take();
}

const IDENTITY = 'identity';

function sendContinue({ httpVersion, headers }: IncomingMessage, response: Response): void {
  const isExpected = httpVersion === '1.1' && /\b100-continue\b/i.test(headers.expect ?? '');
  if (isExpected) response.writeContinue();
}

const EMPTY: Buffer = Buffer.alloc(0);

/** The part of a body that has arrived, counted against the memory for all bodies. */
class ArrivingBody {
  readonly #locals: Express.Locals;
  readonly #limit: number;
  readonly #longest: number;
  #chunks: Buffer[] = [];
  #olderImages: OlderImages | null = null;
  #received = 0;

  constructor(locals: Express.Locals, limit: number, longest: number) {
    this.#locals = locals;
    this.#limit = limit;
    this.#longest = longest;
  }

  /** @returns the refusal; null where the body is accepted so far */
  add(chunk: Buffer): HttpError | null {
    this.#received += chunk.length;
    const kept = this.#keep(chunk);
    if (this.#received > this.#longest) {
      return bodyTooLarge(this.#longest, this.#longest / this.#limit);
    }
    if (kept > this.#limit) return bodyTooLarge(this.#limit);
    return this.#locals.bodyMemory.hold(this.#locals, kept) ? null : bodiesTooLarge();
  }

  /** Releases the body: the request's listeners live on and must not keep it in memory. */
  take(): ReadBody {
    const [first = EMPTY] = this.#chunks;
    const olderImages = this.#olderImages;
    const own = this.#chunks.length > 1 ? Buffer.concat(this.#chunks) : first;
    this.#chunks = [];
    this.#olderImages = null;
    return { bytes: olderImages?.take() ?? own, olderImages };
  }

  /** Releases the body. @returns its first chunk */
  drop(): Buffer | undefined {
    const beginning = this.#olderImages?.beginning ?? this.#chunks[0];
    this.#chunks = [];
    this.#olderImages = null;
    this.#locals.bodyMemory.release(this.#locals);
    return beginning;
  }

  /** @returns how many bytes are kept */
  #keep(chunk: Buffer): number {
    if (this.#olderImages !== null) return this.#olderImages.add(chunk);
    this.#chunks.push(chunk);
    if (this.#received <= this.#limit || this.#limit === this.#longest) return this.#received;
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#olderImages = new OlderImages(this.#limit);
    for (const one of chunks) this.#olderImages.add(one);
    return this.#olderImages.size;
  }
}

/** How many bytes of a request's body are held, in `response.locals`; null when the request has ended. */
export interface BodyHolder {
  bodyBytes?: number | null;
}

/**
 * Bounds all request bodies in flight together. A body counts from its first byte until its request has
 * ended. Only bytes that have arrived count: a client that declares a large body and sends nothing holds nothing.
 */
export class BodyMemory {
  readonly #max: number;
  #held = 0;

  /** @param max in bytes */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * @param bytes that a request is about to send: nothing is held for them yet
   * @throws HttpError 503
   */
  expect(bytes: number): void {
    if (this.#held + bytes > this.#max) throw bodiesTooLarge();
  }

  /**
   * @param bytes of the holder's body as of now; it may also have become smaller
   * @returns whether there is room; if not, nothing has changed. There is no room for bytes that are decoded after the request has ended
   */
  hold(holder: BodyHolder, bytes: number): boolean {
    if (holder.bodyBytes === null) return false;
    const held = this.#held - (holder.bodyBytes ?? 0) + bytes;
    if (held > this.#max) return false;
    this.#held = held;
    holder.bodyBytes = bytes;
    return true;
  }

  /** The request has ended. */
  release(holder: BodyHolder): void {
    this.#held -= holder.bodyBytes ?? 0;
    holder.bodyBytes = null;
  }
}

/** Most large requests are over by then. */
const RETRY_SECONDS = 5;

const bodiesTooLarge = (): HttpError =>
  new HttpError(
    'overloaded',
    `The server is busy with other large requests. Try again in ${RETRY_SECONDS} seconds.`,
    { retryAfterSeconds: RETRY_SECONDS },
  );

function collect(request: Request, body: ArrivingBody): Promise<void> {
  return new Promise((resolve, reject) => {
    function take(chunk: Buffer): void {
      const refusal = body.add(chunk);
      if (refusal === null) return;
      request.off('data', take);
      request.body = body.drop();
      reject(refusal);
    }
    /** Node closes a request as soon as all of its body has been taken. */
    function settle(): void {
      if (request.readableEnded) resolve();
      else reject(endedTooEarly());
    }
    request.on('data', take);
    request.on('close', settle);
    // No event follows.
    if (request.closed) settle();
  });
}

const endedTooEarly = () => bodyFault('invalid_request', 'The body ended too early.');

/** Counts every chunk after it is decoded: a small compressed body may decode to a large one. */
function collectDecoded(
  request: Request,
  decoder: Transform,
  body: ArrivingBody,
  encoding: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    function refuse(error: HttpError): void {
      request.unpipe(decoder);
      decoder.destroy();
      // The rest is read and dropped.
      request.resume();
      request.body = body.drop();
      reject(error);
    }
    decoder.on('data', (chunk: Buffer) => {
      const refusal = body.add(chunk);
      if (refusal !== null) refuse(refusal);
    });
    decoder.on('end', resolve);
    decoder.on('error', (cause) =>
      refuse(bodyFault('invalid_request', `The body is not valid ${encoding}.`, cause)),
    );
    request.on('close', () => {
      if (!request.readableEnded) refuse(endedTooEarly());
    });
    request.pipe(decoder);
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
const TOO_MANY_VALUES = `The body holds too many values: at most ${MAX_VALUES} are allowed.`;
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
    throw bodyFault('invalid_request', TOO_MANY_VALUES);
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
  throw invalidRequest(result.error.issues.filter(isOwnLimit).flatMap(toFaults));
}

/** Zod also names the limit of all whole numbers, before the field's own. */
function isOwnLimit(issue: z.core.$ZodIssue, index: number, issues: Issues): boolean {
  const isOfAll = 'note' in issue && issue.note !== undefined;
  return !isOfAll || issues[index + 1]?.path.join('.') !== issue.path.join('.');
}

/** Its sentence is that of the first fault. */
export function invalidRequest(faults: readonly FieldFault[]): HttpError {
  const details = faults.slice(0, MAX_FAULTS);
  const [first] = details;
  const at = first === undefined || first.path === '' ? '' : `${first.path}: `;
  return new HttpError('invalid_request', `${at}${first?.message ?? 'Invalid body.'}`, { details });
}

export const invalidField = (path: string, message: string): HttpError =>
  invalidRequest([{ path, message }]);

/** The sentences that replace zod's messages. */
const SENTENCES: readonly (readonly [said: RegExp, sentence: (expected: string) => string])[] = [
  [/^Invalid input: expected .+, received undefined$/, () => 'Is missing.'],
  [/^Invalid input: expected (\w+), received \w+$/, (type) => `Must be ${TYPES[type] ?? type}.`],
  [/^Invalid input: expected "(.+)"$/, (value) => `Must be one of: ${value}.`],
  [/^Too small: expected string to have >=1 characters$/, () => 'Must not be empty.'],
  [/^Too small: expected .+ >=(.+)$/, (least) => `Must be at least ${least}.`],
  [/^Too big: expected .+ <=(.+)$/, (most) => `Must be at most ${most}.`],
  [/^Invalid discriminator value\. Expected (.+)$/, (values) => `Must be ${listedIn(values)}.`],
  [/^Invalid option: expected one of (.+)$/, (values) => `Must be ${listedIn(values)}.`],
];

const TYPES: Readonly<Record<string, string>> = {
  object: 'an object',
  record: 'an object',
  array: 'a list',
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

const TYPE_NAMES: ReadonlySet<string> = new Set(Object.values(TYPES));

/** @param values such as `'user' | 'system'` or `"user"|"system"` */
const listedIn = (values: string) =>
  values
    .replace(/['"]/g, '')
    .replace(/ ?\| ?/g, ', ')
    .replace(/, ([^,]*)$/, ' or $1');

/** The sentence has no field as its subject. */
const ofBody = (message: string) =>
  message.replace(/^Is\b/, 'The body is').replace(/^Must\b/, 'The body must');

function sentenceOf(message: string): string {
  for (const [said, toSentence] of SENTENCES) {
    const found = said.exec(message);
    if (found !== null) return toSentence(found[1] ?? '');
  }
  return message;
}

/** One fault for each unknown field, named by its own path. */
function toFaults(issue: z.core.$ZodIssue): FieldFault[] {
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return faultsOfUnion(issue);
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') {
    const message = sentenceOf(issue.message);
    return [{ path: path.join('.'), message: path.length > 0 ? message : ofBody(message) }];
  }
  return issue.keys.slice(0, MAX_FAULTS).map((key) => ({
    path: [...path, key.slice(0, 100)].join('.'),
    message: 'This field is unknown.',
  }));
}

/** The member of a union that the value comes nearest to explains best what is wrong. */
function faultsOfUnion(issue: z.core.$ZodIssueInvalidUnion): FieldFault[] {
  const types = issue.errors.map(expectedType);
  if (types.every((type) => type !== null)) {
    const message = `Must be ${[...new Set(types)].join(' or ')}.`;
    return [{ path: issue.path.join('.'), message }];
  }
  const [nearest = []] = issue.errors.toSorted(byDistance);
  const hasOwnMessage = issue.message !== DEFAULT_MESSAGE && depthOf(nearest) === 0;
  if (hasOwnMessage) return [{ path: issue.path.join('.'), message: issue.message }];
  return nearest.flatMap((one) => toFaults({ ...one, path: [...issue.path, ...one.path] }));
}

/** @returns `a list`; null unless the only fault is the type of the whole value */
function expectedType([first, ...others]: Issues): string | null {
  if (first === undefined || first.path.length + others.length > 0) return null;
  const [, type = ''] = /^Must be (.+)\.$/.exec(sentenceOf(first.message)) ?? [];
  return TYPE_NAMES.has(type) ? type : null;
}

type Issues = readonly z.core.$ZodIssue[];

/** The nearest member has the deepest faults, then the right type of value and the right field `type`, then the fewest faults. */
const byDistance = (a: Issues, b: Issues) =>
  depthOf(b) - depthOf(a) ||
  Number(isOfOtherType(a)) - Number(isOfOtherType(b)) ||
  a.length - b.length;

const isOfOtherType = (issues: Issues) =>
  expectedType(issues) !== null || issues.some(({ path }) => path.join('.') === 'type');

const depthOf = (issues: Issues) => Math.max(...issues.map(({ path }) => path.length));

/** What zod says of a union without a message. */
const DEFAULT_MESSAGE = 'Invalid input';

/** The messages of a type check that zod does not have. */
const mustBe = (type: string) => ({
  error: ({ input }: { readonly input?: unknown }) =>
    input === undefined ? 'Is missing.' : `Must be ${type}.`,
});

/** An object of unknown fields that goes on to a provider. */
export const jsonObject = z
  .custom<JsonObject>(isJsonObject, mustBe('an object'))
  .refine((value) => !isTooDeep(value), {
    error: `Must not nest deeper than ${MAX_DEPTH}.`,
    // Later checks may then recurse without a limit.
    abort: true,
  })
  .meta({ type: 'object' });

/** A JSON schema of a function or an answer. Gemini does not support one that refers to itself. */
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
    .custom<readonly unknown[]>(Array.isArray, mustBe('a list'))
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
