import type { Dispatcher } from 'undici';
import type { ProviderAnswer } from './provider-answer.ts';
import { TextReader } from './text-reader.ts';
import { withoutLastWord } from './whole-words.ts';

/** Enough of a refusal to understand it, in bytes; the rest is read and dropped. */
const MAX_REFUSAL_BYTES = 65_536;

/**
 * One HTTP exchange with the provider, seen from two sides. The SDK gets a `fetch` that costs a tenth
 * of Node's; we keep what the SDK loses: the status, headers and body of a refusal, the network's own
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
  return new Exchange(dispatcher, signal);
}

class Exchange implements LeanExchange, Dispatcher.DispatchHandler {
  refusal: ProviderAnswer | null = null;
  networkError: unknown = null;
  readonly #dispatcher: Dispatcher;
  readonly #signal: AbortSignal;
  readonly #reader: TextReader;
  readonly #refusalBytes: Buffer[] = [];
  #refusalSize = 0;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: ProviderAnswer['headers'] = {};
  #answer: { resolve(response: Response): void; reject(error: unknown): void } | null = null;
  #isOver = false;

  constructor(dispatcher: Dispatcher, signal: AbortSignal) {
    this.#dispatcher = dispatcher;
    this.#signal = signal;
    this.#reader = new TextReader({
      pause: () => this.#controller?.pause(),
      resume: () => this.#controller?.resume(),
    });
  }

  get tail(): string {
    return this.#reader.tail;
  }

  set isWanted(wanted: boolean) {
    this.#reader.isWanted = wanted;
  }

  readonly fetch = ((url: string, init: RequestInit) =>
    new Promise<Response>((resolve, reject) => {
      this.#answer = { resolve, reject };
      if (this.#signal.aborted) {
        this.close();
        return;
      }
      const { origin, pathname, search } = new URL(url);
      this.#signal.addEventListener('abort', this.close, { once: true });
      const headers = Object.fromEntries(init.headers as Headers);
      const body = init.body as string;
      this.#dispatcher.dispatch(
        { origin, path: pathname + search, method: 'POST', headers, body },
        this,
      );
    })) as typeof globalThis.fetch;

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
    if (isSuccess(status)) this.#answer?.resolve(readableOnce(this.#reader, status));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (isSuccess(this.#status)) this.#reader.push(chunk);
    else this.#keepRefusal(chunk);
  }

  onResponseEnd(): void {
    this.#end();
    if (isSuccess(this.#status)) this.#reader.finish('complete');
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
    this.#reader.finish({ error });
    this.#answer?.reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.#signal.removeEventListener('abort', this.close);
  }
}

const isSuccess = (status: number) => status >= 200 && status < 300;

/**
 * The part of a `Response` that the SDK touches when it streams. Our reader already speaks text, so
 * the decoder that the SDK wants to pipe the body through is left out.
 */
function readableOnce(reader: TextReader, status: number): Response {
  const body = { pipeThrough: () => ({ getReader: () => reader }) };
  return { ok: true, status, body } as unknown as Response;
}
