import type { ApiKey } from '../shared/api-key.ts';
import { type Failure, UpstreamError } from '../shared/failure.ts';
import { ByteReader } from './byte-reader.ts';
import { ErrorWatch } from './error-watch.ts';
import { type AnswerHead, Exchange } from './exchange.ts';
import type { GeminiOptions } from './gemini.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { classifyNetworkError } from './network-failure.ts';
import type { ClassifyContext, ProviderAnswer } from './provider-answer.ts';

/** A request in Gemini's own protocol, to be sent on as it came. */
export interface RelayRequest {
  readonly method: 'GET' | 'POST';
  /** With the API's version and the query. */
  readonly path: string;
  /** Without any key. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
}

/** A piece of the answer; the first one brings the head. */
export interface RelayPiece {
  readonly head: AnswerHead | null;
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

export function createGeminiRelay({
  baseUrl,
  dispatcher,
  redact,
  now,
}: GeminiOptions): RelayGemini {
  const { origin, pathname } = new URL(baseUrl);
  const base = pathname === '/' ? '' : pathname;
  return async function* relayGemini(key, { method, path, headers, body }, signal) {
    const exchange = new Exchange(dispatcher, signal);
    const reader = new ByteReader(exchange);
    try {
      const head = await exchange.send(
        {
          origin,
          path: base + path,
          method,
          headers: { ...headers, 'x-goog-api-key': key.secret.reveal() },
          body,
        },
        reader,
      );
      yield* readAnswer(head, reader, { redact, now: now() });
    } catch (error) {
      throw explain(error, exchange, { redact, now: now() });
    } finally {
      exchange.close();
    }
  };
}

async function* readAnswer(
  head: AnswerHead,
  reader: ByteReader,
  context: ClassifyContext,
): AsyncGenerator<RelayPiece, void, undefined> {
  const watch = new ErrorWatch();
  let next: AnswerHead | null = head;
  for (let bytes = await reader.take(); bytes !== null; bytes = await reader.take()) {
    const passed = watch.pass(bytes);
    if (passed.length === 0) continue;
    yield { head: next, bytes: passed };
    next = null;
  }
  const { error } = watch;
  if (error !== null) throw refusedWith({ ...head, body: error }, context);
  const held = watch.end();
  if (held.length > 0) yield { head: next, bytes: held };
  else if (next !== null) throw new UpstreamError(EMPTY);
}

const EMPTY: Failure = { kind: 'upstream_down', timedOut: false, message: 'an empty answer' };

/** A refusal, the network, or an error in the stream; anything else is a bug of ours and surfaces as it is. */
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
    type: contentTypeOf(headers),
    body: context.redact(body),
  });
}

const contentTypeOf = (headers: ProviderAnswer['headers']) =>
  String(headers['content-type'] ?? 'application/json; charset=UTF-8');
