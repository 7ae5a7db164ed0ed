import type { Request, RequestHandler, Response } from 'express';
import { ServiceError } from '../../failover/service-error.ts';
import type { Relay, RelayCall, RelayWriter } from '../../services/relay.ts';
import type { Clock } from '../../shared/clock.ts';
import { type ProviderWords, UpstreamError } from '../../shared/failure.ts';
import { PLAIN } from '../../shared/request-shape.ts';
import { callerOf } from '../access.ts';
import { linked } from '../body.ts';
import type { ErrorForm, HttpError } from '../errors.ts';
import { JSON_TYPE, PacedWriter, STREAM_CACHING, sendText } from '../reply.ts';
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
    const writer = new RelayedResponse(response, isStream, clock);
    try {
      const refusal = await relay(call, callerOf(response), writer);
      if (refusal !== null) sendRefusal(response, refusal);
    } catch (error) {
      // An error that Google sent within its stream is passed on.
      response.locals.failInStream = () => lastBodyIn(error);
      throw error;
    }
  };
}

function sendRefusal(response: Response, { status, type, body }: ProviderWords): void {
  response.locals.outcome = { ...response.locals.outcome, code: 'refused_by_google' };
  sendText(response, status, type, body);
}

type RelayHead = Parameters<RelayWriter['begin']>[0];

/** Writes Google's answer as it comes. Google is not read while the client does not read. */
class RelayedResponse implements RelayWriter {
  readonly #response: Response;
  readonly #isStream: boolean;
  readonly #output: PacedWriter;
  /**
   * The head and the first piece of an answer that is no stream, until the second piece. Most have none: they get a
   * length instead of chunks.
   */
  #held: { readonly head: RelayHead; bytes: Buffer | null } | null = null;

  constructor(response: Response, isStream: boolean, clock: Clock) {
    this.#response = response;
    this.#isStream = isStream;
    this.#output = new PacedWriter(response, clock);
  }

  begin(head: RelayHead, resume: () => void): void {
    this.#output.onRoom = resume;
    if (this.#isStream) this.#writeHead(head, null);
    else this.#held = { head, bytes: null };
  }

  write(bytes: Buffer): boolean {
    const held = this.#held;
    if (held === null) return this.#output.write(bytes);
    if (held.bytes === null) {
      held.bytes = bytes;
      return true;
    }
    this.#held = null;
    this.#writeHead(held.head, null);
    this.#output.write(held.bytes);
    return this.#output.write(bytes);
  }

  end(): void {
    const bytes = this.#held?.bytes ?? null;
    if (this.#held === null || bytes === null) {
      this.#output.end();
      return;
    }
    this.#writeHead(this.#held.head, bytes.length);
    this.#output.end(bytes.toString('latin1'), 'latin1');
  }

  #writeHead({ status, headers }: RelayHead, length: number | null): void {
    const all = [...headers, 'x-accel-buffering', 'no'];
    if (this.#isStream) all.push('cache-control', STREAM_CACHING);
    if (length !== null) all.push('content-length', String(length));
    this.#response.writeHead(status, all);
  }
}

function lastBodyIn(error: unknown): string | null {
  const cause = error instanceof ServiceError ? error.cause : null;
  return cause instanceof UpstreamError ? (cause.refusal?.body ?? null) : null;
}

/** The paths go on to Google as they come, so they are restricted to these letters. */
export const MODEL_NAME = String.raw`(?<model>[A-Za-z0-9][\w.-]{0,99})`;

export const METHOD_PATH = new RegExp(
  `^/(?:v1|v1alpha|v1beta)/models/${MODEL_NAME}:(?<method>generateContent|streamGenerateContent|countTokens)$`,
);

/** Headers of the caller that go on to Google. `accept-encoding` would change the encoding of the answer. */
const PASSED_ON = ['content-type', 'accept', 'user-agent', 'x-goog-api-client'];

export function readMethodCall(request: Request): RelayCall {
  const { model = '', method } = METHOD_PATH.exec(request.path)?.groups ?? {};
  const body = Buffer.isBuffer(request.body) ? request.body : NO_BODY;
  // Counting tokens uses no model's quota.
  const isMetered = method !== 'countTokens';
  return {
    operation: isMetered ? 'generate_content' : 'count_tokens',
    request: { method: 'POST', path: pathOf(request), headers: headersOf(request), body },
    model,
    isMetered,
    comesWhole: method === 'generateContent',
    resources: resourcesIn(body),
    shape: () => shapeIn(request, body),
  };
}

export const readModelsCall = (request: Request): RelayCall => ({
  operation: 'list_models',
  request: { method: 'GET', path: pathOf(request), headers: headersOf(request), body: null },
  model: null,
  isMetered: false,
  comesWhole: false,
  resources: [],
  shape: PLAIN,
});

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
      error: { code, message, status: STATUSES[code] ?? 'INTERNAL', ...details },
    });
  },
};

const retryInfo = (seconds: number) => ({
  '@type': 'type.googleapis.com/google.rpc.RetryInfo',
  retryDelay: `${seconds}s`,
});

const STATUSES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  404: 'NOT_FOUND',
  405: 'UNIMPLEMENTED',
  413: 'INVALID_ARGUMENT',
  415: 'INVALID_ARGUMENT',
  429: 'RESOURCE_EXHAUSTED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};
