import { type Failure, NO_USAGE, UpstreamError, type Usage } from '../../shared/failure.ts';
import { asObjects, isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type {
  EmbeddingClient,
  EmbeddingQuestion,
  Embeddings,
  ProviderAnswer,
} from '../provider.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { type GeminiOptions, requestsTo } from './gemini-request.ts';
import { toUsage } from './gemini-stream.ts';
import { Exchange } from './transport.ts';

/** Asks Gemini for the embeddings of all texts in one call (https://ai.google.dev/api/embeddings). */
export function createGeminiEmbeddings(options: GeminiOptions): EmbeddingClient {
  const { baseUrl, dispatcher, ...context } = options;
  const requestTo = requestsTo(baseUrl);
  return {
    call(question, key, { model }, handler) {
      const path = `/v1beta/models/${model}:batchEmbedContents`;
      const request = requestTo(path, key, toBatch(question, `models/${model}`), handler);
      const answer = new EmbeddingsAnswer(dispatcher, request, handler, context);
      answer.expected = question.texts.length;
      dispatcher.dispatch(request, answer);
      return answer;
    },
  };
}

/** JSON leaves out what is undefined. */
const toBatch = ({ texts, dimensions }: EmbeddingQuestion, model: string) => ({
  requests: texts.map((text) => ({
    model,
    content: { parts: [{ text }] },
    outputDimensionality: dimensions ?? undefined,
  })),
});

/** In bytes. A hundred embeddings of 3,072 numbers take about 5 MB. */
const MAX_ANSWER = 32 * 2 ** 20;

class EmbeddingsAnswer extends Exchange<never, Embeddings> {
  /** How many texts were sent. */
  expected = 0;
  protected readonly isInflated = true;
  readonly #pieces: Buffer[] = [];
  #size = 0;

  protected received(bytes: Buffer): void {
    this.#size += bytes.length;
    this.#pieces.push(bytes);
    if (this.#size > MAX_ANSWER) this.#fail(upstreamDown('an answer that is too long'));
  }

  protected ended(): void {
    const body = Buffer.concat(this.#pieces).toString();
    const answer = parseJson(body);
    if (!isJsonObject(answer) || answer.embeddings === undefined) {
      this.#fail(classifyGeminiAnswer({ status: 200, headers: {}, body }, this.context));
      return;
    }
    const vectors = asObjects(answer.embeddings).map(({ values }) => values);
    if (vectors.length === this.expected && vectors.every(isVector)) {
      this.handler.onEnd({ vectors, usage: usageOf(answer) });
    } else this.#fail(upstreamDown('an answer without an embedding of each text'));
  }

  protected refused(answer: ProviderAnswer): void {
    this.handler.onFailure(new UpstreamError(classifyGeminiAnswer(answer, this.context)));
  }

  protected broken(error: Error): void {
    this.#fail(classifyNetworkError(error, this.context.redact));
  }

  #fail(failure: Failure): void {
    if (this.isOver) return;
    this.abort();
    this.handler.onFailure(new UpstreamError(failure));
  }
}

const upstreamDown = (message: string): Failure => ({
  kind: 'upstream_down',
  timedOut: false,
  status: 200,
  message,
});

const isVector = (values: unknown): values is readonly number[] =>
  Array.isArray(values) && values.every((value) => typeof value === 'number');

/** Older models do not count tokens. */
function usageOf({ usageMetadata }: JsonObject): Usage | null {
  const { inputTokens } = toUsage(isJsonObject(usageMetadata) ? usageMetadata : null);
  return inputTokens === 0 ? null : { ...NO_USAGE, inputTokens, totalTokens: inputTokens };
}
