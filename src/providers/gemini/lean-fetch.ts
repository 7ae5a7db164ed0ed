import type { Dispatcher } from 'undici';
import type { ProviderAnswer } from '../provider.ts';
import { Exchange } from './exchange.ts';
import { TextReader } from './text-reader.ts';

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
