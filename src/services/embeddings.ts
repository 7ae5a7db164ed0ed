import type { AnsweredBy, AnswerReader, Caller, Failover } from '../failover/failover.ts';
import { forCaller, modelNotServed } from '../failover/service-error.ts';
import type { EmbeddingClient, EmbeddingQuestion, Embeddings } from '../providers/provider.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { type RequestShape, shapeOf } from '../shared/request-shape.ts';
import { servedModels, type Target } from '../shared/target.ts';

export interface EmbedOptions {
  readonly failover: Failover;
  readonly clients: ReadonlyMap<ProviderName, EmbeddingClient>;
  /** No model replaces another: embeddings of different models cannot be compared. */
  readonly targets: readonly Target[];
  /** The names of their models, by alias. */
  readonly aliases: ReadonlyMap<string, string>;
}

export interface EmbeddingReply extends Embeddings {
  readonly answeredBy: AnsweredBy;
  /** For the usage of a model that does not count tokens. */
  readonly estimatedTokens: number;
}

/**
 * The embeddings of texts by one model. Until the end of the answer another key may take over.
 *
 * @throws ServiceError
 */
export type Embed = (
  question: EmbeddingQuestion,
  model: string,
  caller: Caller,
) => Promise<EmbeddingReply>;

export function createEmbed({ failover, clients, targets, aliases }: EmbedOptions): Embed {
  const served = servedModels(targets, aliases);
  return (question, model, caller) =>
    new Promise((resolve, reject) => {
      const choice = served.get(model);
      if (choice === undefined) throw modelNotServed(model, served.keys(), ' for embeddings');
      const shape = shapeOfTexts(question);
      const reader: AnswerReader<never, Embeddings> = {
        onAttempt() {},
        onChunk: () => true,
        onEnd: (embeddings, answeredBy) =>
          resolve({ ...embeddings, answeredBy, estimatedTokens: shape.tokens }),
        onError: (error) => reject(forCaller(error)),
      };
      failover(
        {
          operation: 'embeddings',
          targets: choice,
          caller,
          clients,
          question,
          isStreamed: false,
          mayHedge: true,
          shape: () => shape,
        },
        reader,
      );
    });
}

function shapeOfTexts({ texts }: EmbeddingQuestion): RequestShape {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return shapeOf(
    () => [],
    bytes,
    [],
    () => texts.length,
  );
}
