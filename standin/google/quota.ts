import type { QuotaWindows } from '../quota-window.ts';
import type { Limits } from '../standin-key.ts';

const REQUESTS = 'generativelanguage.googleapis.com/generate_content_free_tier_requests';
const INPUT_TOKENS =
  'generativelanguage.googleapis.com/generate_content_free_tier_input_token_count';

/** The quotas of a model in a project, as Google names them. */
export const QUOTAS = {
  rpd: {
    metric: REQUESTS,
    quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
    period: 'day',
  },
  rpm: {
    metric: REQUESTS,
    quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
    period: 'minute',
  },
  tpm: {
    metric: INPUT_TOKENS,
    quotaId: 'GenerateContentInputTokensPerModelPerMinute-FreeTier',
    period: 'minute',
  },
} satisfies Record<keyof Limits, object>;

const EMBEDDING_REQUESTS = 'generativelanguage.googleapis.com/embed_content_free_tier_requests';

/** The names of the quotas of embeddings, from refusals that were posted in public. None named a quota of tokens. */
export const EMBEDDING_QUOTAS = {
  rpd: {
    metric: EMBEDDING_REQUESTS,
    quotaId: 'EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier',
    period: 'day',
  },
  rpm: {
    metric: EMBEDDING_REQUESTS,
    quotaId: 'EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier',
    period: 'minute',
  },
  tpm: {
    metric: 'generativelanguage.googleapis.com/embed_content_free_tier_input_token_count',
    quotaId: 'EmbedContentInputTokensPerMinutePerProjectPerModel-FreeTier',
    period: 'minute',
  },
} satisfies typeof QUOTAS;

/** The quota of each (project, model). */
export class Quotas {
  readonly #windows: QuotaWindows;
  readonly #quotas = new Map<string, ModelQuota>();

  constructor(windows: QuotaWindows) {
    this.#windows = windows;
  }

  of(project: string, model: string): ModelQuota {
    const id = `${project} ${model}`;
    const quota = this.#quotas.get(id) ?? new ModelQuota(this.#windows);
    this.#quotas.set(id, quota);
    return quota;
  }
}

/** What one project has used of one model in the current minute and day. */
export class ModelQuota {
  readonly #windows: QuotaWindows;
  #minuteEndsAt = 0;
  #minuteRequests = 0;
  #minuteTokens = 0;
  #dayEndsAt = 0;
  #dayRequests = 0;

  constructor(windows: QuotaWindows) {
    this.#windows = windows;
  }

  /**
   * Counts a request, unless it would exceed a limit: a refused one counts against nothing.
   *
   * @param requests as how many it counts
   * @returns the limits that it would exceed; null when it was counted
   */
  spend(limits: Limits, tokens: number, now: number, requests = 1): Limits | null {
    this.#openWindows(now);
    const exceeded = this.#exceeded(limits, tokens, requests);
    if (Object.keys(exceeded).length > 0) return exceeded;
    this.#minuteRequests += requests;
    this.#minuteTokens += tokens;
    this.#dayRequests += requests;
    return null;
  }

  #openWindows(now: number): void {
    if (now >= this.#minuteEndsAt) {
      this.#minuteEndsAt = this.#windows.minuteEnd(now);
      this.#minuteRequests = 0;
      this.#minuteTokens = 0;
    }
    if (now >= this.#dayEndsAt) {
      this.#dayEndsAt = this.#windows.dayEnd(now);
      this.#dayRequests = 0;
    }
  }

  #exceeded(
    { rpd = Infinity, rpm = Infinity, tpm = Infinity }: Limits,
    tokens: number,
    requests: number,
  ): Limits {
    // A limit of 0 tokens refuses even a request without text.
    const isOverTokens = tpm === 0 || this.#minuteTokens + tokens > tpm;
    return {
      ...(this.#dayRequests + requests > rpd ? { rpd } : {}),
      ...(this.#minuteRequests + requests > rpm ? { rpm } : {}),
      ...(isOverTokens ? { tpm } : {}),
    };
  }
}
