import type { QuotaWindows } from '../quota-window.ts';
import type { Limits } from '../standin-key.ts';

/** One quota that a request would exceed. */
export interface Violation {
  readonly metric: string;
  readonly quotaId: string;
  readonly period: 'minute' | 'day';
  readonly limit: number;
}

const REQUESTS = 'generativelanguage.googleapis.com/generate_content_free_tier_requests';
const INPUT_TOKENS =
  'generativelanguage.googleapis.com/generate_content_free_tier_input_token_count';

export const requestsPerMinute = (limit: number): Violation => ({
  metric: REQUESTS,
  quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
  period: 'minute',
  limit,
});

export const tokensPerMinute = (limit: number): Violation => ({
  metric: INPUT_TOKENS,
  quotaId: 'GenerateContentInputTokensPerModelPerMinute-FreeTier',
  period: 'minute',
  limit,
});

export const requestsPerDay = (limit: number): Violation => ({
  metric: REQUESTS,
  quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
  period: 'day',
  limit,
});

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
   * Counts a request, unless a limit refuses it: a refused one counts against nothing.
   *
   * @returns the limits that it would exceed; none when it was counted.
   */
  spend(limits: Limits, tokens: number, now: number): readonly Violation[] {
    this.#openWindows(now);
    const violations = this.#violations(limits, tokens);
    if (violations.length === 0) {
      this.#minuteRequests += 1;
      this.#minuteTokens += tokens;
      this.#dayRequests += 1;
    }
    return violations;
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

  #violations({ rpm, tpm, rpd }: Limits, tokens: number): Violation[] {
    const exceeded: Violation[] = [];
    if (rpd !== undefined && this.#dayRequests >= rpd) exceeded.push(requestsPerDay(rpd));
    if (rpm !== undefined && this.#minuteRequests >= rpm) exceeded.push(requestsPerMinute(rpm));
    if (tpm !== undefined && isOver(this.#minuteTokens + tokens, tpm)) {
      exceeded.push(tokensPerMinute(tpm));
    }
    return exceeded;
  }
}

/** No quota at all refuses even a request without text. */
const isOver = (tokens: number, limit: number) => limit === 0 || tokens > limit;
