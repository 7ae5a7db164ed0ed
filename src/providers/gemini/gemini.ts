import {
  type EnhancedGenerateContentResponse,
  type GenerateContentRequest,
  GoogleGenerativeAI,
  GoogleGenerativeAIError,
} from '@google/generative-ai';
import type { ChatChunk, ChatFinish } from '../../shared/chat.ts';
import { UpstreamError } from '../../shared/failure.ts';
import { modelTarget, unmeteredTarget } from '../../shared/target.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type {
  ClassifyContext,
  Provider,
  ProviderAnswer,
  StreamChat,
  UpstreamContext,
} from '../provider.ts';
import { type ReadChunk, readChunk } from './gemini-chunk.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { toGeminiRequest } from './gemini-request.ts';
import { SdkExchange } from './transport.ts';

export interface GoogleSettings {
  /** The first is the default; the others are its fallbacks, in this order. */
  readonly googleModels: readonly [string, ...string[]];
  readonly googleBaseUrl: string;
}

/** Chats by Google's Gemini (https://ai.google.dev/api). */
export const google: Provider<GoogleSettings> = {
  name: 'google',
  prefix: 'GOOGLE',
  mistakenPrefixes: ['GEMINI'],
  metricName: 'gcp.gemini',
  exhaustedMessage: "I'm experiencing high demand right now. Please try again in a few minutes.",
  withoutKeys: 'no key, so every chat is refused. Set GOOGLE_API_KEY.',
  createTargets: ({ googleModels: [first, ...others] }) => [
    modelTarget('google', first),
    ...others.map((model) => modelTarget('google', model)),
    unmeteredTarget('google'),
  ],
  describeUse: ({ googleModels: [first, ...others] }) =>
    [`answers with ${first}`, ...others.map((model) => `then ${model}`)].join(', '),
  createChat: ({ googleBaseUrl: baseUrl }, context) => createGemini({ ...context, baseUrl }),
};

export interface GeminiOptions extends UpstreamContext {
  /** Without a trailing slash and without the API's version. */
  readonly baseUrl: string;
}

/**
 * The adapter of the legacy SDK: nothing else imports it. The SDK builds the request and parses the
 * stream; the bytes travel through our own exchange, which keeps what the SDK drops of a refusal.
 */
export function createGemini(options: GeminiOptions): StreamChat {
  const { baseUrl, dispatcher } = options;
  return async function* streamGemini(key, model, turn, signal) {
    const exchange = new SdkExchange(dispatcher, signal);
    try {
      const client = new GoogleGenerativeAI(key.secret.reveal());
      // The SDK's types lack newer fields, which it passes on all the same.
      const request = toGeminiRequest(turn) as unknown as GenerateContentRequest;
      const { stream, response } = await withFetch(exchange.fetch, () =>
        client.getGenerativeModel({ model }, { baseUrl }).generateContentStream(request),
      );
      // When a stream breaks off, this promise rejects too: unhandled, it would end the process.
      response.catch(() => {});
      yield* readAnswer(stream, exchange, signal, options);
    } catch (error) {
      throw explain(error, exchange, options);
    } finally {
      exchange.close();
    }
  };
}

/**
 * The SDK takes `fetch` from the global scope before its first await. The global is replaced only until
 * then, within one synchronous call, so that no other code can see it.
 */
function withFetch<T>(fetch: typeof globalThis.fetch, call: () => Promise<T>): Promise<T> {
  const original = globalThis.fetch;
  globalThis.fetch = fetch;
  try {
    return call();
  } finally {
    globalThis.fetch = original;
  }
}

/** The pieces of the answer. Some gateways write a finish reason on every chunk: only the last one counts. */
async function* readAnswer(
  stream: AsyncGenerator<EnhancedGenerateContentResponse>,
  exchange: SdkExchange,
  signal: AbortSignal,
  context: ClassifyContext,
): AsyncGenerator<ChatChunk, void, undefined> {
  const answer = new AnswerSoFar();
  try {
    for await (const value of allOf(stream, exchange)) {
      const chunk = toChunk(readChunk(value), answer.hasBegun, context);
      if (chunk !== null) yield answer.add(chunk);
    }
  } catch (error) {
    // A stream that is silent after a finish reason has ended.
    const isEnd = answer.isComplete || (signal.aborted && answer.finish !== null);
    if (!isEnd) throw error;
  }
  if (answer.finish === null) throw unfinished(answer.hasBegun, exchange, context);
  if (!answer.isComplete) yield { text: '', finish: answer.finish };
}

class AnswerSoFar {
  hasBegun = false;
  /** Whether the only finish reason was on the last piece: a later failure does not matter then. */
  isComplete = false;
  #hasCalls = false;
  #finish: ChatFinish | null = null;

  /** Gemini gives one reason for an answer that is complete and for one that waits for its tools. */
  get finish(): ChatFinish | null {
    const finish = this.#finish;
    const isCall = this.#hasCalls && finish?.reason === 'stop';
    return isCall ? { ...finish, reason: 'tool-calls' } : finish;
  }

  /** @returns the piece, without its finish where an earlier one had a finish */
  add(chunk: ChatChunk): ChatChunk {
    this.hasBegun = true;
    this.#hasCalls ||= chunk.toolCalls !== undefined;
    if (chunk !== SILENCE) this.isComplete = this.#finish === null && chunk.finish !== null;
    this.#finish = chunk.finish ?? this.#finish;
    return { ...chunk, finish: this.isComplete ? this.finish : null };
  }
}

const SILENCE: ChatChunk = { text: '', finish: null };
const GARBLED = { kind: 'upstream_down', timedOut: false, status: 200 } as const;

/** Reads from the socket only while a chunk is wanted. */
async function* allOf(
  stream: AsyncGenerator<EnhancedGenerateContentResponse>,
  exchange: SdkExchange,
): AsyncGenerator<EnhancedGenerateContentResponse, void, undefined> {
  for (;;) {
    exchange.isWanted = true;
    const { value, done } = await nextOf(stream);
    exchange.isWanted = false;
    if (done) return;
    yield value;
  }
}

/** The SDK throws a TypeError at a chunk that is no object: the stream cannot be read. */
async function nextOf(stream: AsyncGenerator<EnhancedGenerateContentResponse>) {
  try {
    return await stream.next();
  } catch (error) {
    throw error instanceof TypeError ? new GoogleGenerativeAIError('an unreadable chunk') : error;
  }
}

/** A block before any text is a failure; after some text it only ends the answer. */
function toChunk(read: ReadChunk, hasBegun: boolean, context: ClassifyContext): ChatChunk | null {
  switch (read.kind) {
    case 'nothing':
      // Between the pieces of an answer it shows that the provider is alive.
      return hasBegun ? SILENCE : null;
    case 'garbled':
      if (hasBegun) return { text: '', finish: { reason: 'other', usage: read.usage } };
      throw new UpstreamError({ ...GARBLED, message: `an unusable answer: ${read.reason}` });
    case 'piece':
      return read.chunk;
    case 'error':
      throw new UpstreamError(classifyGeminiAnswer(inStream(read.body), context));
    case 'blocked': {
      const { usage, reason } = read;
      if (hasBegun) return { text: '', finish: { reason: 'content-filter', usage } };
      throw new UpstreamError({ kind: 'content_blocked', message: reason, usage, status: 200 });
    }
    default:
      return read satisfies never;
  }
}

/** The stream ended, but the answer did not: nothing came at all, or no finish reason. */
function unfinished(hasBegun: boolean, exchange: SdkExchange, context: ClassifyContext) {
  const failure = classifyGeminiAnswer(inStream(exchange.tail), context);
  const message = hasBegun ? 'the answer broke off' : 'an answer without candidates';
  return new UpstreamError(failure.kind === 'upstream_down' ? { ...failure, message } : failure);
}

/**
 * Classifies what the SDK threw: a refusal, a network error, or a stream that it could not read.
 * Anything else is a bug of ours and surfaces as it is.
 */
function explain(error: unknown, exchange: SdkExchange, context: ClassifyContext): unknown {
  if (error instanceof UpstreamError) return error;
  const { refusal, networkError, tail } = exchange;
  if (refusal !== null) return new UpstreamError(classifyGeminiAnswer(refusal, context));
  const isOurs = networkError === null && !(error instanceof GoogleGenerativeAIError);
  if (isOurs) return error;
  const inTail = classifyGeminiAnswer(inStream(tail), context);
  const saysMore = networkError === null || inTail.kind !== 'upstream_down';
  return new UpstreamError(saysMore ? inTail : classifyNetworkError(networkError, context.redact));
}

const inStream = (body: string): ProviderAnswer => ({ status: 200, headers: {}, body });
