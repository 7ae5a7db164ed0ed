import type { ChatTurn } from '../../shared/chat.ts';
import { type Failure, UpstreamError, type Usage } from '../../shared/failure.ts';
import { isJsonObject, parseJson } from '../../shared/json.ts';
import { type Redact, withoutLastWord } from '../../shared/redact.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { AnswerEnd, ClassifyContext, Client, ProviderAnswer, Traced } from '../provider.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { type GeminiOptions, toGeminiRequest } from './gemini-request.ts';
import { toUsage } from './gemini-stream.ts';
import { type AnswerHead, Exchange } from './transport.ts';

/** A request in Gemini's own protocol, sent on unchanged. */
export interface RelayRequest {
  readonly method: 'GET' | 'POST';
  /** With the API's version and the query. */
  readonly path: string;
  /** Without any key. Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
}

export interface RelayHead {
  readonly status: number;
  /** Those of Google's headers that concern the caller: names and values in turn. */
  readonly headers: readonly string[];
}

/** A piece of the answer; the first one brings the head. */
export interface RelayPiece {
  readonly head: RelayHead | null;
  readonly bytes: Buffer;
}

/**
 * Sends a request on with one key, and hands its answer back byte for byte. A failure brings Google's own refusal
 * where there is one.
 */
export type RelayClient = Client<RelayRequest, RelayPiece, AnswerEnd>;

export function createGeminiRelay({ baseUrl, dispatcher, ...context }: GeminiOptions): RelayClient {
  const { origin, pathname } = new URL(baseUrl);
  const base = pathname === '/' ? '' : pathname;
  return {
    call({ method, path, headers, body }, key, _target, handler) {
      const request = {
        origin,
        path: base + path,
        method,
        headers: [...headers, 'x-goog-api-key', key.secret.reveal(), ...traceHeader(handler)],
        body,
      };
      const answer = new RelayedAnswer(dispatcher, request, handler, context);
      dispatcher.dispatch(request, answer);
      return answer;
    },
  };
}

const traceHeader = ({ traceparent }: Traced) =>
  traceparent === undefined ? [] : ['traceparent', traceparent];

/**
 * A request for the number of input tokens (https://ai.google.dev/api/tokens#method:-models.counttokens). With the
 * whole request in it, the instruction and the tools are counted too.
 */
export const toCountRequest = (turn: ChatTurn, model: string): RelayRequest => ({
  method: 'POST',
  path: `/v1beta/models/${model}:countTokens`,
  headers: ['content-type', 'application/json'],
  body: Buffer.from(
    JSON.stringify({
      generateContentRequest: { model: `models/${model}`, ...toGeminiRequest(turn, model) },
    }),
  ),
});

class RelayedAnswer extends Exchange<RelayPiece, AnswerEnd> {
  readonly #watch = new ErrorWatch();
  readonly #tail = new AnswerTail();
  protected readonly isInflated = false;
  #hasPassed = false;

  /** When an error is whole, it does not wait for the end of the stream. */
  protected received(bytes: Buffer): void {
    this.#pass(this.#watch.pass(bytes));
    if (this.#watch.hasWholeError) this.#failInStream();
  }

  protected ended(): void {
    this.#pass(this.#watch.end());
    if (this.#watch.error !== null) this.#failInStream();
    else if (this.#hasPassed) this.handler.onEnd({ usage: this.usageSoFar() });
    else this.handler.onFailure(new UpstreamError(EMPTY));
  }

  protected refused(answer: ProviderAnswer): void {
    this.handler.onFailure(refusedWith(answer, this.context));
  }

  protected broken(error: Error): void {
    if (this.#watch.error !== null) this.#failInStream();
    else
      this.handler.onFailure(new UpstreamError(classifyNetworkError(error, this.context.redact)));
  }

  usageSoFar(): Usage | null {
    return this.#tail.usage();
  }

  #pass(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#tail.keep(bytes);
    const head = this.#hasPassed ? null : toRelayHead(this.head, this.context.redact);
    this.#hasPassed = true;
    this.handler.onChunk({ head, bytes });
  }

  #failInStream(): void {
    const { error } = this.#watch;
    if (this.isOver || error === null) return;
    this.abort();
    this.handler.onFailure(refusedWith({ ...this.head, body: error }, this.context));
  }
}

const HANDED_BACK = ['content-type', 'content-encoding', 'server-timing', 'x-gemini-service-tier'];

function toRelayHead({ status, headers }: AnswerHead, redact: Redact): RelayHead {
  const handedBack: string[] = [];
  for (const name of HANDED_BACK) {
    const value = headers[name];
    if (value !== undefined) handedBack.push(name, redact(String(value)));
  }
  return { status, headers: handedBack };
}

const EMPTY: Failure = { kind: 'upstream_down', timedOut: false, message: 'an empty answer' };

function refusedWith(answer: ProviderAnswer, context: ClassifyContext): UpstreamError {
  const { status, headers, body } = answer;
  return new UpstreamError(classifyGeminiAnswer(answer, context), {
    status,
    type: context.redact(String(headers['content-type'] ?? 'application/json; charset=UTF-8')),
    body: context.redact(body),
  });
}

const NAME = Buffer.from('"error"');
/** Longer than what may precede the first field of a line, in bytes. */
const BEFORE = 64;
const MAX_ERROR_BYTES = 65_536;

/** Where an event, the next member of a list, or an answer that is neither begins: never indented. */
const LEAD = String.raw`(?:data:[ \t]*\[?[ \t]*|[[,][ \t]*(?:\r?\n)?)?`;
const OBJECT_BEGINS = new RegExp(String.raw`(?:^|\n)${LEAD}\{\s*$`);
/** An incomplete line that may become such a beginning. */
const MAY_BEGIN = new RegExp(
  String.raw`(?:^|\n)(d|da|dat|data|data:[ \t]*\[?[ \t]*|[[,][ \t]*\r?\n?|${LEAD}\{\s*(?:"(?:e(?:r(?:r(?:or?)?)?)?)?)?)$`,
);

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Finds an error in a 200 while its bytes pass. It costs one search for a word.
 * Only in its own events does Google write `"error"` as the first field at the beginning of a line:
 * within a text the quotes are escaped, and whatever else an answer holds is indented or further on.
 */
export class ErrorWatch {
  #held = NOTHING;
  #startsLine = true;
  #error: Buffer[] | null = null;
  #errorSize = 0;

  /** Begins with its event; null while there is none. */
  get error(): string | null {
    if (this.#error === null) return null;
    const whole = Buffer.concat(this.#error);
    const text = whole.subarray(0, MAX_ERROR_BYTES).toString();
    return whole.length > MAX_ERROR_BYTES ? withoutLastWord(text) : text;
  }

  /** Whether it has come to its end, whatever the connection does. */
  get hasWholeError(): boolean {
    const { error } = this;
    return error !== null && isWhole(error);
  }

  /** @returns what may be passed on at once: all of it, but for an error and for what may become one */
  pass(bytes: Buffer): Buffer {
    if (this.#error !== null) return this.#keep(bytes);
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const start = this.#findError(all);
    const end = start ?? all.length - this.#undecided(all);
    this.#held = start === null ? all.subarray(end) : NOTHING;
    const passed = all.subarray(0, end);
    if (passed.length > 0) this.#startsLine = passed.at(-1) === NEWLINE;
    if (start !== null) {
      this.#error = [];
      this.#keep(all.subarray(start));
    }
    return passed;
  }

  /** @returns what was held back for nothing */
  end(): Buffer {
    const held = this.#held;
    this.#held = NOTHING;
    return held;
  }

  #keep(bytes: Buffer): Buffer {
    if (this.#errorSize < MAX_ERROR_BYTES) this.#error?.push(bytes);
    this.#errorSize += bytes.length;
    return NOTHING;
  }

  #findError(all: Buffer): number | null {
    for (let at = all.indexOf(NAME); at >= 0; at = all.indexOf(NAME, at + 1)) {
      const before = this.#windowBefore(all, at);
      const begins = OBJECT_BEGINS.exec(before);
      if (begins !== null) return at - (before.length - begins.index) + leadOf(begins[0]);
    }
    return null;
  }

  #undecided(all: Buffer): number {
    // Most pieces end with an object.
    if (all[lastLetterOf(all)] === CLOSING_BRACE) return 0;
    return MAY_BEGIN.exec(this.#windowBefore(all, all.length))?.[1]?.length ?? 0;
  }

  /** The text before this place. Where it is cut off it begins with a letter, so that it does not look like the beginning of a line. */
  #windowBefore(all: Buffer, at: number): string {
    const from = Math.max(0, at - BEFORE);
    const isLineStart = from === 0 && this.#startsLine;
    const window = all.toString('latin1', from, at);
    return isLineStart ? window : `x${window}`;
  }
}

const NEWLINE = 10;
const SPACE = 32;
const CLOSING_BRACE = 125;

function lastLetterOf(bytes: Buffer): number {
  let at = bytes.length - 1;
  while ((bytes[at] ?? SPACE + 1) <= SPACE) at -= 1;
  return at;
}

/** The newline in front belongs to the line before, which has passed. */
const leadOf = (match: string) => (match.startsWith('\n') ? 1 : 0);

function isWhole(error: string): boolean {
  const json = error
    .replace(/^data:[ \t]*/, '')
    .replace(/^[[,]\s*/, '')
    .replace(/\]\s*$/, '');
  return parseJson(json) !== undefined;
}

/** In bytes: the usage stands at the end of an answer, or of each event. */
const MAX_TAIL = 8192;

/** The last bytes of an answer that is relayed unread. They are kept as they are, and read once. */
export class AnswerTail {
  /** Together at least as long as the tail, where the answer is. */
  #older: Buffer[] = [];
  #newer: Buffer[] = [];
  #size = 0;

  keep(bytes: Buffer): void {
    if (this.#size >= MAX_TAIL) {
      this.#older = this.#newer;
      this.#newer = [];
      this.#size = 0;
    }
    this.#newer.push(bytes);
    this.#size += bytes.length;
  }

  /** Null where the answer names none. */
  usage(): Usage | null {
    const kept = Buffer.concat([...this.#older, ...this.#newer]);
    return lastUsage(kept.toString('latin1', Math.max(0, kept.length - MAX_TAIL)));
  }
}

/** Within a text of the model its quotes are escaped. */
const USAGE_NAME = '"usageMetadata"';
const BEFORE_VALUE = /\s*:\s*(?=\{)/y;

/** The last object may be cut off: then the one before counts. */
function lastUsage(text: string): Usage | null {
  let at = text.lastIndexOf(USAGE_NAME);
  while (at >= 0) {
    const metadata = parseJson(objectAfter(text, at + USAGE_NAME.length));
    if (isJsonObject(metadata)) return toUsage(metadata);
    at = at === 0 ? -1 : text.lastIndexOf(USAGE_NAME, at - 1);
  }
  return null;
}

/** Empty where there is no whole object. None of its texts holds a brace. */
function objectAfter(text: string, from: number): string {
  BEFORE_VALUE.lastIndex = from;
  if (!BEFORE_VALUE.test(text)) return '';
  const start = BEFORE_VALUE.lastIndex;
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    else if (text[at] === '}') depth -= 1;
    if (depth === 0) return text.slice(start, at + 1);
  }
  return '';
}
