import type { Dispatcher } from 'undici';
import type { ProviderAnswer } from '../provider.ts';
import { withoutLastWord } from '../whole-words.ts';

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
