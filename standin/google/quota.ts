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
   * @returns the limits that it would exceed; null when it was counted
   */
  spend(limits: Limits, tokens: number, now: number): Limits | null {
    this.#openWindows(now);
    const exceeded = this.#exceeded(limits, tokens);
    if (Object.keys(exceeded).length > 0) return exceeded;
    this.#minuteRequests += 1;
    this.#minuteTokens += tokens;
    this.#dayRequests += 1;
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

  #exceeded({ rpd = Infinity, rpm = Infinity, tpm = Infinity }: Limits, tokens: number): Limits {
    // A limit of 0 tokens refuses even a request without text.
    const isOverTokens = tpm === 0 || this.#minuteTokens + tokens > tpm;
    return {
      ...(this.#dayRequests >= rpd ? { rpd } : {}),
      ...(this.#minuteRequests >= rpm ? { rpm } : {}),
      ...(isOverTokens ? { tpm } : {}),
    };
  }
}
