import type { Dispatcher } from 'undici';
import { withoutFirstWord, withoutLastWord } from '../../shared/redact.ts';
import type { ProviderAnswer } from '../provider.ts';

/** Enough of a refusal to understand it, in bytes; the rest is read and dropped. */
const MAX_REFUSAL_BYTES = 65_536;

/** Takes the body of a good answer as it comes, and slows its sender down where it has to. */
export interface BodyReader {
  push(bytes: Buffer): void;
  /** Once. With an error the body is not whole. */
  finish(end: { readonly error: unknown } | 'complete'): void;
}

/** The head of a good answer. */
export type AnswerHead = Pick<ProviderAnswer, 'status' | 'headers'>;

/**
 * One HTTP exchange with a provider, without what Node's `fetch` costs: the body of a good answer
 * goes to a reader, and of any other there is kept what its classification needs.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  /** The answer, when it was not a 2xx. */
  refusal: ProviderAnswer | null = null;
  /** What the network reported, when there was no complete answer. */
  networkError: unknown = null;
  readonly #dispatcher: Dispatcher;
  readonly #signal: AbortSignal;
  readonly #refusalBytes: Buffer[] = [];
  #reader: BodyReader | null = null;
  #refusalSize = 0;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: ProviderAnswer['headers'] = {};
  #answer: { resolve(head: AnswerHead): void; reject(error: unknown): void } | null = null;
  #isOver = false;

  /** @param signal Aborts the exchange. Its listener is gone once the exchange is over. */
  constructor(dispatcher: Dispatcher, signal: AbortSignal) {
    this.#dispatcher = dispatcher;
    this.#signal = signal;
  }

  /** @returns the head of a 2xx; rejects when there is none: see `refusal` and `networkError` */
  send(request: Dispatcher.DispatchOptions, reader: BodyReader): Promise<AnswerHead> {
    this.#reader = reader;
    return new Promise((resolve, reject) => {
      this.#answer = { resolve, reject };
      if (this.#signal.aborted) {
        this.close();
        return;
      }
      this.#signal.addEventListener('abort', this.close, { once: true });
      this.#dispatcher.dispatch(request, this);
    });
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  /** Frees the connection: at once if it is still busy, else by leaving it to the next request. */
  readonly close = (): void => {
    if (this.#isOver) return;
    const reason = new Error('the attempt was given up');
    this.#controller?.abort(reason);
    this.#fail(reason);
  };

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(new Error('the attempt was given up'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: ProviderAnswer['headers'],
  ): void {
    this.#status = status;
    this.#headers = headers;
    if (isSuccess(status)) this.#answer?.resolve({ status, headers });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (isSuccess(this.#status)) this.#reader?.push(chunk);
    else this.#keepRefusal(chunk);
  }

  onResponseEnd(): void {
    this.#end();
    if (isSuccess(this.#status)) this.#reader?.finish('complete');
    else this.#refuse();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  #refuse(): void {
    const whole = Buffer.concat(this.#refusalBytes);
    const kept = whole.subarray(0, MAX_REFUSAL_BYTES).toString();
    const body = whole.length > MAX_REFUSAL_BYTES ? withoutLastWord(kept) : kept;
    this.refusal = { status: this.#status, headers: this.#headers, body };
    this.#answer?.reject(new Error('the provider refused'));
  }

  #keepRefusal(chunk: Buffer): void {
    if (this.#refusalSize < MAX_REFUSAL_BYTES) this.#refusalBytes.push(chunk);
    this.#refusalSize += chunk.length;
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#end();
    // What has come of a refusal says more than that its end is missing.
    if (this.#status >= 300) {
      this.#refuse();
      return;
    }
    this.networkError = error;
    this.#reader?.finish({ error });
    this.#answer?.reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.#signal.removeEventListener('abort', this.close);
  }
}

const isSuccess = (status: number) => status >= 200 && status < 300;

/**
 * One HTTP exchange with the provider, seen from two sides. The SDK gets a `fetch` that costs a
 * fraction of Node's (bench/README.md); we keep what the SDK loses: the status, headers and body of a refusal, the network's own
 * error, and how far a stream had come.
 */
export interface LeanExchange {
  readonly fetch: typeof globalThis.fetch;
  /** The answer, when it was not a 2xx. */
  readonly refusal: ProviderAnswer | null;
  /** What the network reported, when there was no complete answer. */
  readonly networkError: unknown;
  /** What has come since the last complete event. */
  readonly tail: string;
  /** Whether somebody waits for more: while nobody does, nothing more is read from the socket. */
  isWanted: boolean;
  /** Frees the connection: at once if it is still busy, else by leaving it to the next request. */
  close(): void;
}

/** @param signal Aborts the exchange. Its listener is gone once the exchange is over. */
export function beginExchange(dispatcher: Dispatcher, signal: AbortSignal): LeanExchange {
  const exchange = new Exchange(dispatcher, signal);
  const reader = new TextReader(exchange);
  return {
    fetch: (async (url: string, init: RequestInit) => {
      const { origin, pathname, search } = new URL(url);
      const headers = Object.fromEntries(init.headers as Headers);
      const body = init.body as string;
      const request = { origin, path: pathname + search, method: 'POST', headers, body } as const;
      const { status } = await exchange.send(request, reader);
      return readableOnce(reader, status);
    }) as typeof globalThis.fetch,
    get refusal() {
      return exchange.refusal;
    },
    get networkError() {
      return exchange.networkError;
    },
    get tail() {
      return reader.tail;
    },
    set isWanted(wanted: boolean) {
      reader.isWanted = wanted;
    },
    close: exchange.close,
  };
}

/**
 * The part of a `Response` that the SDK touches when it streams. Our reader already speaks text, so
 * the decoder that the SDK wants to pipe the body through is left out.
 */
function readableOnce(reader: TextReader, status: number): Response {
  const body = { pipeThrough: () => ({ getReader: () => reader }) };
  return { ok: true, status, body } as unknown as Response;
}

/** With more than this unread, in characters or bytes, the sender is asked to pause. */
const HIGH_WATER_MARK = 65_536;

export interface FlowControl {
  pause(): void;
  resume(): void;
}

type ReadResult =
  | { readonly done: false; readonly value: string }
  | { readonly done: true; readonly value: undefined };

interface Waiting {
  resolve(result: ReadResult): void;
  reject(error: unknown): void;
}

type End = { readonly error: unknown } | 'complete';

const DONE: ReadResult = { done: true, value: undefined };

/**
 * Text on its way from a socket to one reader. Nothing is handed out while nobody wants it, so that
 * a slow client slows the provider down instead of filling our memory.
 */
export class TextReader {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  readonly #flow: FlowControl;
  #text = '';
  #tail = '';
  #waiting: Waiting | null = null;
  #end: End | null = null;
  #isWanted = true;
  #isPaused = false;

  constructor(flow: FlowControl) {
    this.#flow = flow;
  }

  /** The last event, complete or not: where an answer that breaks off says why. */
  get tail(): string {
    return this.#tail;
  }

  set isWanted(wanted: boolean) {
    this.#isWanted = wanted;
    if (wanted) this.#deliver();
  }

  push(bytes: Uint8Array): void {
    try {
      this.#append(withoutLineSeparators(this.#decoder.decode(bytes, { stream: true })));
    } catch (error) {
      this.finish({ error });
    }
  }

  finish(end: End): void {
    this.#end ??= end;
    this.#deliver();
  }

  read(): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#deliver();
    });
  }

  #append(text: string): void {
    this.#text += text;
    this.#tail = lastOf(lastEvent(this.#tail + text));
    this.#deliver();
    if (this.#text.length > HIGH_WATER_MARK && !this.#isPaused) {
      this.#isPaused = true;
      this.#flow.pause();
    }
  }

  #deliver(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    if (this.#text !== '' && this.#isWanted) this.#handOut(waiting);
    else if (this.#text === '' && this.#end !== null) this.#close(waiting, this.#end);
  }

  #handOut(waiting: Waiting): void {
    const value = this.#text;
    this.#text = '';
    this.#waiting = null;
    waiting.resolve({ done: false, value });
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#flow.resume();
  }

  #close(waiting: Waiting, end: End): void {
    this.#waiting = null;
    if (end === 'complete') waiting.resolve(DONE);
    else waiting.reject(end.error);
  }
}

/**
 * JSON may hold these two as they are, but the SDK's pattern for an event takes them for the end of
 * a line and cannot read on. They only ever stand inside a JSON text, where this means the same.
 */
const withoutLineSeparators = (text: string) =>
  text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');

function lastEvent(text: string): string {
  const last = text.trimEnd().length - 1;
  const lastBreak = Math.max(text.lastIndexOf('\n\n', last), text.lastIndexOf('\r\n\r\n', last));
  return lastBreak < 0 ? text : text.slice(lastBreak);
}

const lastOf = (text: string) =>
  text.length <= HIGH_WATER_MARK ? text : withoutFirstWord(text.slice(-HIGH_WATER_MARK));

/** Bytes on their way from a socket to one reader, as they came: nothing is copied. */
export class ByteReader implements BodyReader {
  readonly #flow: FlowControl;
  #waiting: Buffer[] = [];
  #size = 0;
  #isPaused = false;
  #end: { readonly error: unknown } | 'complete' | null = null;
  #wake: (() => void) | null = null;

  constructor(flow: FlowControl) {
    this.#flow = flow;
  }

  push(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#size += bytes.length;
    if (this.#size > HIGH_WATER_MARK && !this.#isPaused) {
      this.#isPaused = true;
      this.#flow.pause();
    }
    this.#wake?.();
  }

  finish(end: { readonly error: unknown } | 'complete'): void {
    this.#end ??= end;
    this.#wake?.();
  }

  /** @returns what has come since the last time, or null at the end; throws where the body breaks off */
  async take(): Promise<Buffer | null> {
    while (this.#waiting.length === 0 && this.#end === null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const [first, ...rest] = this.#waiting;
    if (first !== undefined) return this.#handOut(first, rest);
    if (this.#end !== 'complete' && this.#end !== null) throw this.#end.error;
    return null;
  }

  #handOut(first: Buffer, rest: readonly Buffer[]): Buffer {
    this.#waiting = [];
    this.#size = 0;
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#flow.resume();
    }
    return rest.length === 0 ? first : Buffer.concat([first, ...rest]);
  }
}

const NAME = Buffer.from('"error"');
/** Longer than whatever may stand between the beginning of a line and the name of its first field. */
const BEFORE = 64;
const MAX_ERROR_BYTES = 65_536;

/** Where an event, the next member of a list, or an answer that is neither begins: never indented. */
const LEAD = String.raw`(?:data:[ \t]*\[?[ \t]*|[[,][ \t]*(?:\r?\n)?)?`;
const OBJECT_BEGINS = new RegExp(String.raw`(?:^|\n)${LEAD}\{\s*$`);
/** What has come of a line so far may become that. */
const MAY_BEGIN = new RegExp(
  String.raw`(?:^|\n)(d|da|dat|data|data:[ \t]*\[?[ \t]*|[[,][ \t]*\r?\n?|${LEAD}\{\s*(?:"(?:e(?:r(?:r(?:or?)?)?)?)?)?)$`,
);

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Looks out for an error in a 200 while its bytes pass by, at the price of one search for a word.
 * Only in its own events does Google write `"error"` as the first field at the beginning of a line:
 * within a text the quotes are escaped, and whatever else an answer holds is indented or further on.
 */
export class ErrorWatch {
  #held = NOTHING;
  #startsLine = true;
  #error: Buffer[] | null = null;
  #errorSize = 0;

  /** From the beginning of its event on; null while there is none. */
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
    return MAY_BEGIN.exec(this.#windowBefore(all, all.length))?.[1]?.length ?? 0;
  }

  /** What stands before this place, as letters; where it is cut off, it does not seem to begin a line. */
  #windowBefore(all: Buffer, at: number): string {
    const from = Math.max(0, at - BEFORE);
    const isLineStart = from === 0 && this.#startsLine;
    const window = all.toString('latin1', from, at);
    return isLineStart ? window : `x${window}`;
  }
}

const NEWLINE = 10;

/** The end of the line before belongs to what has passed. */
const leadOf = (match: string) => (match.startsWith('\n') ? 1 : 0);

function isWhole(error: string): boolean {
  const json = error
    .replace(/^data:[ \t]*/, '')
    .replace(/^[[,]\s*/, '')
    .replace(/\]\s*$/, '');
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}
