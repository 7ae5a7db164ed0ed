import type { Request, RequestHandler, Response } from 'express';
import { ServiceError } from '../../failover/service-error.ts';
import type { Operation } from '../../failover/trace.ts';
import type { Relay, RelayCall, RelayWriter } from '../../services/relay.ts';
import type { Clock } from '../../shared/clock.ts';
import { type ProviderWords, UpstreamError } from '../../shared/failure.ts';
import { isJsonObject, parseJson } from '../../shared/json.ts';
import { PLAIN } from '../../shared/request-shape.ts';
import { callerOf } from '../access.ts';
import { linked } from '../body.ts';
import type { ErrorForm, HttpError } from '../errors.ts';
import {
  breakOff,
  JSON_TYPE,
  KeepAlive,
  PacedWriter,
  STREAM_CACHING,
  type StreamForm,
  sendText,
} from '../reply.ts';
import { EVENT_STREAM } from './dialect.ts';
import { resourcesIn, shapeIn } from './gemini-shape.ts';

/** A request in Gemini's own protocol: Google's answer is passed on byte by byte. */
export function relayRoute(
  relay: Relay,
  readCall: (request: Request) => RelayCall,
  clock: Clock,
): RequestHandler {
  return async function postRelay(request, response) {
    const call = readCall(request);
    const isStream = call.isMetered && !call.comesWhole;
    const stream = isStream ? new RelayedStream(response, formOf(call), clock) : null;
    const writer = stream ?? new RelayedWhole(response, clock);
    try {
      const refusal = await relay(call, callerOf(response), writer);
      if (refusal !== null) sendRefusal(response, refusal, stream);
    } catch (error) {
      // An error that Google sent within its stream is passed on.
      response.locals.failInStream = (shown) =>
        stream?.hasBegun === false ? stream.fail(wordsOf(shown)) : lastBodyIn(error);
      throw error;
    } finally {
      stream?.stop();
    }
  };
}

function sendRefusal(
  response: Response,
  refusal: ProviderWords,
  stream: RelayedStream | null,
): void {
  response.locals.outcome = { ...response.locals.outcome, code: 'refused_by_google' };
  if (response.headersSent) {
    stream?.fail(refusal);
    breakOff(response);
  } else sendText(response, refusal.status, refusal.type, refusal.body);
}

type RelayHead = Parameters<RelayWriter['begin']>[0];

/** Writes an answer that is no stream. */
class RelayedWhole implements RelayWriter {
  readonly #response: Response;
  readonly #output: PacedWriter;
  /** The head and the first piece, until the second piece. Most have none: they get a length instead of chunks. */
  #held: { readonly head: RelayHead; bytes: Buffer | null } | null = null;

  constructor(response: Response, clock: Clock) {
    this.#response = response;
    this.#output = new PacedWriter(response, clock);
  }

  begin(head: RelayHead, resume: () => void): void {
    this.#output.onRoom = resume;
    this.#held = { head, bytes: null };
  }

  write(bytes: Buffer): boolean {
    const held = this.#held;
    if (held === null) return this.#output.write(bytes);
    if (held.bytes === null) {
      held.bytes = bytes;
      return true;
    }
    this.#held = null;
    writeRelayHead(this.#response, held.head);
    this.#output.write(held.bytes);
    return this.#output.write(bytes);
  }

  end(): void {
    const bytes = this.#held?.bytes ?? null;
    if (this.#held === null || bytes === null) {
      this.#output.end();
      return;
    }
    writeRelayHead(this.#response, this.#held.head, 'content-length', String(bytes.length));
    this.#output.end(bytes.toString('latin1'), 'latin1');
  }
}

/** Writes a stream as it comes. Google is not read while the client does not read. */
class RelayedStream implements RelayWriter {
  readonly #response: Response;
  readonly #form: GeminiForm | null;
  readonly #output: PacedWriter;
  readonly #keepAlive: KeepAlive | null;
  /** After an early head: what has come before the end of Google's own opening. */
  #held: Buffer | null = null;
  /** Whether anything of Google's answer is out. */
  hasBegun = false;

  constructor(response: Response, form: GeminiForm | null, clock: Clock) {
    this.#response = response;
    this.#form = form;
    this.#output = new PacedWriter(response, clock);
    this.#keepAlive = form === null ? null : new KeepAlive(response, clock, form, form.opening);
  }

  begin(head: RelayHead, resume: () => void): void {
    this.#output.onRoom = resume;
    this.stop();
    this.hasBegun = !this.#response.headersSent;
    if (this.hasBegun) writeRelayHead(this.#response, head, 'cache-control', STREAM_CACHING);
    else this.#held = NO_BODY;
  }

  write(bytes: Buffer): boolean {
    return this.#output.write(this.#held === null ? bytes : this.#afterOpening(this.#held, bytes));
  }

  end(): void {
    this.#output.end(this.#held?.toString('latin1'), 'latin1');
  }

  /**
   * Writes an error in place of the answer, after an early head.
   *
   * @returns null: the connection has to break after it, because some clients skip an error in a stream
   */
  fail(words: ErrorWords): null {
    this.#response.write(errorLine(words) + (this.#form?.closing ?? ''));
    return null;
  }

  /** Nothing is sent before Google begins. */
  stop(): void {
    this.#keepAlive?.stop();
  }

  #afterOpening(held: Buffer, bytes: Buffer): Buffer {
    const all = Buffer.concat([held, bytes]);
    const found = this.#form?.opens.exec(all.toString('latin1', 0, MAX_OPENING)) ?? null;
    this.hasBegun = found !== null || all.length >= MAX_OPENING;
    this.#held = this.hasBegun ? null : all;
    if (!this.hasBegun) return NO_BODY;
    return found === null ? all : all.subarray(found.index + found[0].length);
  }
}

function writeRelayHead(response: Response, head: RelayHead, ...more: readonly string[]): void {
  response.writeHead(head.status, [...head.headers, 'x-accel-buffering', 'no', ...more]);
}

interface GeminiForm extends StreamForm {
  /**
   * What precedes the first object, and may be sent before Google answers: clients take no comment, and some no
   * white space, in front of it. All take white space behind it.
   */
  readonly opening: string;
  /** Finds the end of Google's own opening. */
  readonly opens: RegExp;
  /** After the last object. */
  readonly closing: string;
}

const EVENTS: GeminiForm = {
  headers: EVENT_STREAM,
  opening: 'data: ',
  keepAlive: ' ',
  opens: /^data:/m,
  closing: '\r\n\r\n',
};
const LIST: GeminiForm = {
  headers: { ...EVENT_STREAM, 'content-type': JSON_TYPE },
  opening: '[',
  keepAlive: ' ',
  opens: /^\s*\[/,
  closing: ']',
};

/** In bytes. An answer without an opening is passed on as it is. */
const MAX_OPENING = 1024;

/** @returns null for a form that is not known */
function formOf({ request }: RelayCall): GeminiForm | null {
  const alt = ALT.exec(request.path)?.[1] ?? 'json';
  if (alt === 'json') return LIST;
  return alt === 'sse' ? EVENTS : null;
}

const ALT = /[?&]alt=([^&]*)/;

type ErrorWords = Pick<ProviderWords, 'status' | 'body'>;

const wordsOf = (error: HttpError): ErrorWords => ({
  status: error.status,
  body: GEMINI_ERRORS.text(error, ''),
});

/** An error as one line of JSON, whether Google sent it alone, as an event or in a list. */
function errorLine({ status, body }: ErrorWords): string {
  const said = parseJson(body.replace(/^\s*(?:data:|[[,])/, '').replace(/\]\s*$/, ''));
  if (isJsonObject(said)) return JSON.stringify(said);
  return JSON.stringify({ error: { code: status, message: body, status: statusName(status) } });
}

function lastBodyIn(error: unknown): string | null {
  const cause = error instanceof ServiceError ? error.cause : null;
  return cause instanceof UpstreamError ? (cause.refusal?.body ?? null) : null;
}

/** The paths go on to Google as they come, so they are restricted to these letters. */
export const MODEL_NAME = String.raw`(?<model>[A-Za-z0-9][\w.-]{0,99})`;

export const METHODS = ['generateContent', 'streamGenerateContent', 'countTokens'] as const;

export const methodPath = (methods: readonly string[]): RegExp =>
  new RegExp(`^/(?:v1|v1alpha|v1beta)/models/${MODEL_NAME}:(?<method>${methods.join('|')})$`);

export const METHOD_PATH = methodPath([...METHODS, 'embedContent', 'batchEmbedContents']);

/** Headers of the caller that go on to Google. `accept-encoding` would change the encoding of the answer. */
const PASSED_ON = ['content-type', 'accept', 'user-agent', 'x-goog-api-client'];

export function readMethodCall(request: Request): RelayCall {
  const { model = '', method = '' } = METHOD_PATH.exec(request.path)?.groups ?? {};
  const sent = Buffer.isBuffer(request.body) ? request.body : NO_BODY;
  const operation = OPERATIONS[method] ?? 'generate_content';
  const namesModel = operation !== 'generate_content';
  const body = namesModel ? withModel(sent, model, model) : sent;
  const call = {
    method: 'POST',
    path: pathOf(request),
    headers: headersOf(request),
    body,
  } as const;
  return {
    operation,
    request: call,
    requestFor: (served) => ({
      ...call,
      path: renamed(call.path, model, served),
      body: namesModel ? withModel(body, model, served) : body,
    }),
    model,
    // Counting tokens uses no model's quota.
    isMetered: operation !== 'count_tokens',
    comesWhole: COME_WHOLE.has(method),
    resources: resourcesIn(body),
    shape: () => shapeIn(request, body),
  };
}

const COME_WHOLE: ReadonlySet<string> = new Set([
  'generateContent',
  'embedContent',
  'batchEmbedContents',
]);

const OPERATIONS: Readonly<Record<string, Operation>> = {
  countTokens: 'count_tokens',
  embedContent: 'embeddings',
  batchEmbedContents: 'embeddings',
};

/**
 * These bodies name the model too, and Google refuses one that is not the path's. All but that name stays byte for byte:
 * within a text its quotes would be escaped.
 */
function withModel(body: Buffer, model: string, served: string): Buffer {
  if (model === served && !body.includes(`google/${model}"`)) return body;
  const named = new RegExp(
    String.raw`("model"\s*:\s*")(?:(?:models|google)/)*${model.replaceAll('.', String.raw`\.`)}"`,
    'g',
  );
  const text = body.toString('latin1');
  return Buffer.from(
    text.replace(named, (_, before) => `${before}models/${served}"`),
    'latin1',
  );
}

export function readModelsCall(request: Request): RelayCall {
  const { model } = request.params;
  const call = {
    method: 'GET',
    path: pathOf(request),
    headers: headersOf(request),
    body: null,
  } as const;
  return {
    operation: 'list_models',
    request: call,
    requestFor: (served) => ({ ...call, path: renamed(call.path, String(model), served) }),
    model: typeof model === 'string' ? model : null,
    isMetered: false,
    comesWhole: false,
    resources: [],
    shape: PLAIN,
  };
}

const NO_BODY = Buffer.alloc(0);

function headersOf({ headers }: Request): string[] {
  const passedOn: string[] = [];
  for (const name of PASSED_ON) {
    const value = headers[name];
    if (typeof value === 'string') passedOn.push(name, value);
  }
  return passedOn;
}

/**
 * Drops every parameter but those that shape the answer: the others hold credentials, name another
 * project to bill, or carry headers of their own.
 */
function pathOf({ path, originalUrl }: Request): string {
  const query = QUERY.exec(originalUrl)?.[1] ?? '';
  const kept = query.split('&').filter((pair) => PASSED_PARAMETER.test(pair));
  return kept.length === 0 ? path : `${path}?${kept.join('&')}`;
}

const renamed = (path: string, model: string, served: string) =>
  path.replace(`/models/${model}`, () => `/models/${served}`);

const QUERY = /\?([^#]*)/;
/** Without a semicolon, which some servers read as a separator. */
const PASSED_PARAMETER = /^(?:alt|fields|prettyPrint|page_?size|page_?token)=(?:(?!%3b)[^;])*$/i;

/** Google's form: https://cloud.google.com/apis/design/errors */
export const GEMINI_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  schema: linked('GoogleError', 'https://cloud.google.com/apis/design/errors'),
  text({ status: code, message, retryAfterSeconds }: HttpError) {
    const details = retryAfterSeconds === null ? {} : { details: [retryInfo(retryAfterSeconds)] };
    return JSON.stringify({
      error: { code, message, status: statusName(code), ...details },
    });
  },
};

const retryInfo = (seconds: number) => ({
  '@type': 'type.googleapis.com/google.rpc.RetryInfo',
  retryDelay: `${seconds}s`,
});

const statusName = (code: number) => STATUSES[code] ?? 'INTERNAL';

const STATUSES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  405: 'UNIMPLEMENTED',
  413: 'INVALID_ARGUMENT',
  415: 'INVALID_ARGUMENT',
  429: 'RESOURCE_EXHAUSTED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};
