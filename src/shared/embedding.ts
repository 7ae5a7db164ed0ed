import type { Usage } from './failure.ts';

/** A request for the embeddings of texts. */
export interface EmbeddingQuestion {
  readonly texts: readonly string[];
  /** How many numbers for each text; null leaves it to the model. */
  readonly dimensions: number | null;
}

export interface Embeddings {
  /** In the order of the texts. */
  readonly vectors: readonly (readonly number[])[];
  /** Null where the provider does not count. */
  readonly usage: Usage | null;
}
