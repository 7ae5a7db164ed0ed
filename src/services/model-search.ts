import { notOwned, type ProviderWords, UpstreamError } from '../shared/failure.ts';

/** So many keys are asked about a model before the last one's word is taken for that of all. */
const MAX_ASKED = 3;

/**
 * For a call that uses no quota and therefore parks nothing: that a key lacks the model would be asked
 * of every other key, again and again.
 */
export class ModelSearch {
  /** What the last key said that lacks the model. */
  refusal: ProviderWords | null = null;
  #asked = 0;

  /** @returns the failure as the request has to take it */
  explain(error: unknown): unknown {
    if (!(error instanceof UpstreamError) || error.failure.kind !== 'model_unavailable')
      return error;
    this.#asked += 1;
    this.refusal = error.refusal;
    if (this.#asked < MAX_ASKED) return notOwned(error);
    const { message } = error.failure;
    return new UpstreamError({ kind: 'request_fault', message }, error.refusal);
  }
}
