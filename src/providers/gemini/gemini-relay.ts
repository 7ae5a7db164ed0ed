import type { ApiKey } from '../../shared/api-key.ts';
import { type Failure, UpstreamError } from '../../shared/failure.ts';
import type { Redact } from '../../shared/redact.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { ClassifyContext, ProviderAnswer } from '../provider.ts';
import type { GeminiOptions } from './gemini.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { type AnswerHead, ErrorWatch, Exchange } from './transport.ts';

/** A request in Gemini's own protocol, sent on unchanged. */
export interface RelayRequest {
  readonly method: 'GET' | 'POST';
  /** With the API's version and the query. */
  readonly path: string;
  /** Without any key. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
}

export interface RelayHead {
  readonly status: number;
  /** Those of Google's headers that concern the caller. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A piece of the answer; the first one brings the head. */
export interface RelayPiece {
  readonly head: RelayHead | null;
  readonly bytes: Buffer;
}

/**
 * Sends a request on with one key, and hands its answer back byte for byte.
 *
 * @throws UpstreamError with the classified failure and, where there is one, Google's own refusal
 */
export type RelayGemini = (
  key: ApiKey,
  request: RelayRequest,
  signal: AbortSignal,
) => AsyncGenerator<RelayPiece, void, undefined>;

export function createGeminiRelay(options: GeminiOptions): RelayGemini {
  const { origin, pathname } = new URL(options.baseUrl);
  const base = pathname === '/' ? '' : pathname;
  return async function* relayGemini(key, { method, path, headers, body }, signal) {
    const exchange = new Exchange(options.dispatcher, signal);
    try {
      const head = await exchange.send({
        origin,
        path: base + path,
        method,
        headers: { ...headers, 'x-goog-api-key': key.secret.reveal() },
        body,
      });
      yield* readAnswer(head, exchange, options);
    } catch (error) {
      throw explain(error, exchange, options);
    } finally {
      exchange.close();
    }
  };
}

async function* readAnswer(
  head: AnswerHead,
  exchange: Exchange,
  context: ClassifyContext,
): AsyncGenerator<RelayPiece, void, undefined> {
  const watch = new ErrorWatch();
  let next: RelayHead | null = toRelayHead(head, context.redact);
  try {
    for await (const bytes of passGood(exchange, watch)) {
      yield { head: next, bytes };
      next = null;
    }
  } catch (error) {
    if (watch.error === null) throw error;
  }
  const { error } = watch;
  if (error !== null) throw refusedWith({ ...head, body: error }, context);
  if (next !== null) throw new UpstreamError(EMPTY);
}

/** Yields the answer up to an error. When the error is whole, it does not wait for the end of the stream. */
async function* passGood(
  exchange: Exchange,
  watch: ErrorWatch,
): AsyncGenerator<Buffer, void, undefined> {
  for (let bytes = await exchange.take(); bytes !== null; bytes = await exchange.take()) {
    const passed = watch.pass(bytes);
    if (passed.length > 0) yield passed;
    if (watch.hasWholeError) return;
  }
  const held = watch.end();
  if (held.length > 0) yield held;
}

const HANDED_BACK = ['content-type', 'content-encoding', 'server-timing', 'x-gemini-service-tier'];

const toRelayHead = ({ status, headers }: AnswerHead, redact: Redact): RelayHead => ({
  status,
  headers: Object.fromEntries(
    HANDED_BACK.filter((name) => headers[name] !== undefined).map((name) => [
      name,
      redact(String(headers[name])),
    ]),
  ),
});

const EMPTY: Failure = { kind: 'upstream_down', timedOut: false, message: 'an empty answer' };

/** Classifies a refusal, a network error or an error in the stream; a bug of ours surfaces as it is. */
function explain(error: unknown, exchange: Exchange, context: ClassifyContext): unknown {
  if (error instanceof UpstreamError) return error;
  const { refusal, networkError } = exchange;
  if (refusal !== null) return refusedWith(refusal, context);
  if (networkError === null) return error;
  return new UpstreamError(classifyNetworkError(networkError, context.redact));
}

function refusedWith(answer: ProviderAnswer, context: ClassifyContext): UpstreamError {
  const { status, headers, body } = answer;
  return new UpstreamError(classifyGeminiAnswer(answer, context), {
    status,
    type: context.redact(String(headers['content-type'] ?? 'application/json; charset=UTF-8')),
    body: context.redact(body),
  });
}
