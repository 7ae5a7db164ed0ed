import type { Dispatcher } from 'undici';
import { parseJson } from '../../shared/json.ts';
import { withoutFirstWord, withoutLastWord } from '../../shared/redact.ts';
import type { ProviderAnswer } from '../provider.ts';

/** Enough of a refusal to understand it, in bytes; the rest is read and dropped. */
const MAX_REFUSAL_BYTES = 65_536;
/** With more than this unread, in bytes, the sender is asked to pause. */
const HIGH_WATER_MARK = 65_536;

export type AnswerHead = Pick<ProviderAnswer, 'status' | 'headers'>;

/**
 * One HTTP exchange with a provider, without what Node's `fetch` costs (bench/README.md). The body of a
 * good answer is taken piece by piece, and a slow reader slows its sender down; of any other answer the
 * exchange keeps what its classification needs.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  /** The answer, when it was not a 2xx. */
  refusal: ProviderAnswer | null = null;
  /** What the network reported, when there was no complete answer. */
  networkError: unknown = null;
  readonly #dispatcher: Dispatcher;
  readonly #signal: AbortSignal;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: ProviderAnswer['headers'] = {};
  #answer: { resolve(head: AnswerHead): void; reject(error: unknown): void } | null = null;
  /** The part of a good answer that is not taken yet, or the part of a refusal that is kept. */
  #body: Buffer[] = [];
  #size = 0;
  #isPaused = false;
  #isWanted = true;
  #wake: (() => void) | null = null;
  #isOver = false;

  /** @param signal Aborts the exchange. Its listener is gone once the exchange is over. */
  constructor(dispatcher: Dispatcher, signal: AbortSignal) {
    this.#dispatcher = dispatcher;
    this.#signal = signal;
  }

  /** @returns the head of a 2xx; rejects when there is none: see `refusal` and `networkError` */
  send(request: Dispatcher.DispatchOptions): Promise<AnswerHead> {
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

  /** While it is false, `take` hands out nothing: the SDK would read ahead of its own reader. */
  set isWanted(wanted: boolean) {
    this.#isWanted = wanted;
    if (wanted) this.#wake?.();
  }

  /** @returns what has come since the last time, or null at the end; throws where the body breaks off */
  async take(): Promise<Buffer | null> {
    while (this.#size === 0 ? !this.#isOver : !this.#isWanted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#size > 0) return this.#takeAll();
    if (this.networkError !== null) throw this.networkError;
    return null;
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

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const isGood = isSuccess(this.#status);
    if (isGood || this.#size < MAX_REFUSAL_BYTES) this.#body.push(chunk);
    this.#size += chunk.length;
    if (!isGood) return;
    this.#wake?.();
    if (this.#size > HIGH_WATER_MARK && !this.#isPaused) {
      this.#isPaused = true;
      controller.pause();
    }
  }

  onResponseEnd(): void {
    this.#end();
    if (!isSuccess(this.#status)) this.#refuse();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  #takeAll(): Buffer {
    const [first, ...rest] = this.#body;
    const all = first !== undefined && rest.length === 0 ? first : Buffer.concat(this.#body);
    this.#body = [];
    this.#size = 0;
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#controller?.resume();
    }
    return all;
  }

  #refuse(): void {
    const kept = Buffer.concat(this.#body).subarray(0, MAX_REFUSAL_BYTES).toString();
    const body = this.#size > MAX_REFUSAL_BYTES ? withoutLastWord(kept) : kept;
    this.refusal = { status: this.#status, headers: this.#headers, body };
    this.#answer?.reject(new Error('the provider refused'));
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    // A refusal that breaks off is still a refusal.
    const isRefusal = this.#status >= 300;
    if (!isRefusal) this.networkError = error;
    this.#end();
    if (isRefusal) this.#refuse();
    else this.#answer?.reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.#signal.removeEventListener('abort', this.close);
    this.#wake?.();
  }
}

const isSuccess = (status: number) => status >= 200 && status < 300;

/**
 * An exchange as the SDK wants one: through `fetch`, with the body as text. It keeps what the SDK loses
 * of an answer that breaks off.
 */
export class SdkExchange extends Exchange {
  /** The last event, complete or not. */
  tail = '';
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });

  readonly fetch = (async (url: string, init: RequestInit) => {
    const { origin, pathname, search } = new URL(url);
    const headers = Object.fromEntries(init.headers as Headers);
    const body = init.body as string;
    const path = pathname + search;
    const { status } = await this.send({ origin, path, method: 'POST', headers, body });
    // What the SDK touches of a response: it pipes the body through a decoder, which is left out here.
    const reader = { read: () => this.#read() };
    return { ok: true, status, body: { pipeThrough: () => ({ getReader: () => reader }) } };
  }) as unknown as typeof globalThis.fetch;

  async #read(): Promise<IteratorResult<string, undefined>> {
    const bytes = await this.take();
    if (bytes === null) return { done: true, value: undefined };
    const text = withoutLineSeparators(this.#decoder.decode(bytes, { stream: true }));
    this.tail = lastOf(lastEvent(this.tail + text));
    return { done: false, value: text };
  }
}

/**
 * JSON may hold U+2028 and U+2029 unescaped, but the SDK's pattern for an event takes them for the end of
 * a line and fails. They occur only inside a JSON text, where the escape means the same.
 */
const withoutLineSeparators = (text: string) =>
  text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');

function lastEvent(text: string): string {
  const last = text.trimEnd().length - 1;
  const lastBreak = Math.max(text.lastIndexOf('\n\n', last), text.lastIndexOf('\r\n\r\n', last));
  return lastBreak < 0 ? text : text.slice(lastBreak);
}

/** The most of an event that is kept, in characters. */
const MAX_TAIL = 65_536;

const lastOf = (text: string) =>
  text.length <= MAX_TAIL ? text : withoutFirstWord(text.slice(-MAX_TAIL));

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

/** The newline in front belongs to the line before, which has passed. */
const leadOf = (match: string) => (match.startsWith('\n') ? 1 : 0);

function isWhole(error: string): boolean {
  const json = error
    .replace(/^data:[ \t]*/, '')
    .replace(/^[[,]\s*/, '')
    .replace(/\]\s*$/, '');
  return parseJson(json) !== undefined;
}
