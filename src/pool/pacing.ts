import type { QuotaLimit, QuotaLimits, QuotaName } from '../shared/failure.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';
import type { Scope } from './scope.ts';

/** A day on which the clocks are put back has 25 hours. */
const LONGEST_DAY_MS = 90_000_000;

/** What was learned of a limit is forgotten after this time. */
const REMEMBERED_MS = 86_400_000;

export interface KnownLimit {
  readonly value: number;
  /** Milliseconds since the epoch; `Infinity` for a limit that the settings state. */
  readonly knownUntil: number;
}

/** What is used of a quota in its present windows. */
export interface QuotaUse {
  /** Minutes since the epoch. */
  readonly minute: number;
  readonly requests: number;
  readonly tokens: number;
  /** Milliseconds since the epoch; 0 where no limit of a day is known. */
  readonly dayEndsAt: number;
  readonly dayRequests: number;
}

/** Of a minute, and of a day. */
interface Amounts {
  readonly requests: number;
  readonly tokens: number;
  readonly dayRequests: number;
}

type Limits = ReadonlyMap<QuotaName, KnownLimit>;

/** Shared by all quotas of which nothing is known, since there may be 100,000. */
const NONE: Limits = new Map();

const NOTHING_TOO_LARGE = { tokens: Number.POSITIVE_INFINITY, until: 0 };

class Window {
  endsAt = 0;
  requests = 0;
  tokens = 0;
  /** Of these, what was answered. */
  answered = 0;
  answeredTokens = 0;
  /** The smallest request that did not fit into what was left: none of this size does any more. */
  refusedFrom = Number.POSITIVE_INFINITY;
  /** By other instances. */
  othersRequests = 0;
  othersTokens = 0;

  openUntil(endsAt: number): void {
    this.endsAt = endsAt;
    this.requests = this.tokens = this.answered = this.answeredTokens = 0;
    this.refusedFrom = Number.POSITIVE_INFINITY;
    this.othersRequests = this.othersTokens = 0;
  }
}

/**
 * The quota of one model in one project: the limits that are known, from the settings or from refusals, and what is
 * used of them. Google counts by the minute of the clock and by the day of Los Angeles
 * (https://ai.google.dev/gemini-api/docs/rate-limits). Times are milliseconds since the epoch.
 */
export class Quota {
  /** What other instances know it by: the project's scope for the target. */
  readonly scope: Scope;
  /** Nothing is counted while no limit is known. */
  isKnown = false;
  /** Milliseconds since the epoch; 0 where there is room. */
  fullSince = 0;
  /** Whether a request was sent although the quota seems to be used up, as the last resort: its outcome is awaited. */
  isTested = false;
  readonly #minuteMs: number;
  #limits = NONE;
  #tooLarge: { readonly tokens: number; readonly until: number } = NOTHING_TOO_LARGE;
  /** Limits that proved wrong: they are not believed again, unless they are larger. */
  #disproved = NONE;
  readonly #minute = new Window();
  readonly #day = new Window();

  /** @param minuteMs how long a minute lasts: those of a stand-in may be shorter */
  constructor(scope: Scope, stated: QuotaLimits, minuteMs: number) {
    this.scope = scope;
    this.#minuteMs = minuteMs;
    for (const [of, value] of Object.entries(stated) as [QuotaName, number][]) {
      this.#set(of, { value, knownUntil: Number.POSITIVE_INFINITY });
    }
  }

  get limits(): Limits {
    return this.#limits;
  }

  /** The most input tokens of a minute, and so of one request; `Infinity` where it is unknown. */
  get tokenLimit(): number {
    return this.#valueOf('tpm');
  }

  /** A refusal names these limits. Those of the settings stay. */
  learn(limits: readonly QuotaLimit[], now: number): void {
    for (const { of, value } of limits) {
      this.#learnOne(of, { value, knownUntil: now + REMEMBERED_MS }, now);
    }
  }

  /**
   * Counts a request that is about to be sent.
   *
   * @param requests how many requests the provider counts for it
   */
  reserve(tokens: number, now: number, requests = 1): Reservation {
    this.#open(now);
    for (const window of [this.#minute, this.#day]) {
      window.requests += requests;
      window.tokens += tokens;
    }
    return { minuteEndsAt: this.#minute.endsAt, dayEndsAt: this.#day.endsAt, tokens, requests };
  }

  /**
   * The request was not counted by the provider, or it was answered.
   *
   * @param tokens that it really had; null for a request that was not answered
   */
  settle({ minuteEndsAt, dayEndsAt, tokens, requests }: Reservation, actual: number | null): void {
    const windows = [
      [this.#minute, minuteEndsAt],
      [this.#day, dayEndsAt],
    ] as const;
    for (const [window, endsAt] of windows) {
      if (window.endsAt !== endsAt) continue;
      window.tokens += (actual ?? 0) - tokens;
      if (actual === null) window.requests -= requests;
      else {
        window.answered += requests;
        window.answeredTokens += actual;
      }
    }
    this.#forgetDisproved();
  }

  /** A request was answered although a limit seemed to be used up: that limit is larger than thought. */
  disproveFull(now: number): void {
    this.#open(now);
    const isFull = {
      rpm: this.#requestsIn(this.#minute) > this.#valueOf('rpm'),
      tpm: this.#tokensInMinute() > this.tokenLimit,
      rpd: this.#requestsIn(this.#day) > this.#valueOf('rpd'),
    };
    for (const [of, limit] of this.#limits) if (isFull[of]) this.#disprove(of, limit);
  }

  /** Until when a limit is used up; 0 where there is room. */
  fullUntil(now: number): number {
    if (!this.isKnown) return 0;
    this.#open(now);
    const isMinuteFull =
      this.#requestsIn(this.#minute) >= this.#valueOf('rpm') ||
      this.#tokensInMinute() >= this.tokenLimit;
    const isDayFull = this.#requestsIn(this.#day) >= this.#valueOf('rpd');
    const until = Math.max(
      isMinuteFull ? this.#minute.endsAt : 0,
      isDayFull ? this.#day.endsAt : 0,
    );
    if (until === 0) this.fullSince = 0;
    else if (this.fullSince === 0) this.fullSince = now;
    return until;
  }

  minuteEndsAt(now: number): number {
    this.#open(now);
    return this.#minute.endsAt;
  }

  /** What all instances have used in the present windows. */
  used(now: number): Amounts {
    this.#open(now);
    return {
      requests: this.#requestsIn(this.#minute),
      tokens: this.#tokensInMinute(),
      dayRequests: this.#requestsIn(this.#day),
    };
  }

  /** What can be used in the present windows; `Infinity` where no limit is known. */
  most(now: number): Amounts {
    const { requests, tokens, dayRequests } = this.used(now);
    return {
      requests: Math.max(requests, this.#valueOf('rpm')),
      tokens: Math.max(tokens, this.tokenLimit),
      dayRequests: Math.max(dayRequests, this.#valueOf('rpd')),
    };
  }

  /** When a request of this size fits: 0 for now; null where the provider has refused such a one as too large. */
  fitsAt(tokens: number, now: number): number | null {
    if (tokens >= this.#tooLarge.tokens && now < this.#tooLarge.until) return null;
    this.#open(now);
    const used = this.#tokensInMinute();
    const hasRoom = used === 0 || used + tokens <= this.tokenLimit;
    return hasRoom && tokens < this.#minute.refusedFrom ? 0 : this.#minute.endsAt;
  }

  fits(tokens: number, now: number, how: Fit): boolean {
    const fitsAt = this.fitsAt(tokens, now);
    if (fitsAt === null) return false;
    return how === 'ever' || fitsAt <= now || (how === 'perhaps' && !this.#hasRefused(tokens));
  }

  /** Whether other requests have used most of the minute's tokens. */
  isMostlyUsed({ tokens, minuteEndsAt }: Reservation): boolean {
    const isPresent = this.#minute.endsAt === minuteEndsAt;
    return isPresent && this.#tokensInMinute() - tokens > this.tokenLimit / 2;
  }

  /** The provider has refused a request of this size, which is larger than the limit itself. */
  refuseAsTooLarge(tokens: number, until: number): void {
    this.#tooLarge = { tokens, until };
  }

  /** The provider has refused so many tokens, although smaller requests may fit: in the minute in which they were sent. */
  refuse(tokens: number, sentAt: number, now: number): void {
    this.#open(now);
    const minute = this.#minute;
    if (sentAt < minute.endsAt - this.#minuteMs) return;
    minute.refusedFrom = Math.min(minute.refusedFrom, tokens);
  }

  /** What this instance has used. */
  use(now: number): QuotaUse {
    this.#open(now);
    const { requests, tokens, endsAt } = this.#minute;
    const { endsAt: dayEndsAt, requests: dayRequests } = this.#day;
    return { minute: endsAt / this.#minuteMs, requests, tokens, dayEndsAt, dayRequests };
  }

  /** What the other instances have used, and the limits that they know. */
  merge({ others, limits, now }: OthersUse): void {
    for (const { of, value, knownUntil } of limits) {
      if (knownUntil <= now) continue;
      this.#learnOne(of, { value, knownUntil: Math.min(knownUntil, now + REMEMBERED_MS) }, now);
    }
    this.#open(now);
    if (others.minute === this.#minute.endsAt / this.#minuteMs) {
      this.#minute.othersRequests = others.requests;
      this.#minute.othersTokens = others.tokens;
    }
    if (others.dayEndsAt === this.#day.endsAt) this.#day.othersRequests = others.dayRequests;
  }

  #learnOne(of: QuotaName, limit: KnownLimit, now: number): void {
    const disproved = this.#disproved.get(of);
    const isWrong = disproved !== undefined && disproved.knownUntil > now;
    if (!isWrong || limit.value > disproved.value) this.#set(of, limit);
  }

  #hasRefused(tokens: number): boolean {
    return tokens >= this.#minute.refusedFrom;
  }

  #set(of: QuotaName, limit: KnownLimit): void {
    if (this.#limits.get(of)?.knownUntil === Number.POSITIVE_INFINITY) return;
    this.#limits = new Map([...this.#limits, [of, limit]]);
    this.isKnown = true;
  }

  #forget(of: QuotaName): void {
    this.#limits = new Map([...this.#limits].filter(([name]) => name !== of));
    this.isKnown = this.#limits.size > 0;
  }

  #valueOf(of: QuotaName): number {
    return this.#limits.get(of)?.value ?? Number.POSITIVE_INFINITY;
  }

  #requestsIn({ requests, othersRequests }: Window): number {
    return requests + othersRequests;
  }

  #tokensInMinute(): number {
    return this.#minute.tokens + this.#minute.othersTokens;
  }

  /** More was answered than a limit allows: it is larger by now, or its window is shorter than thought. */
  #forgetDisproved(): void {
    const { answered: rpm, answeredTokens: tpm } = this.#minute;
    const answered = { rpm, tpm, rpd: this.#day.answered };
    for (const [of, limit] of this.#limits) {
      if (answered[of] > limit.value) this.#disprove(of, limit);
    }
  }

  /** A limit of the settings stays. */
  #disprove(of: QuotaName, limit: KnownLimit): void {
    if (limit.knownUntil === Number.POSITIVE_INFINITY) return;
    this.#disproved = new Map([...this.#disproved, [of, limit]]);
    this.#forget(of);
  }

  /** Starts the next windows where the present ones have ended. The clock may be set back. */
  #open(now: number): void {
    const { endsAt } = this.#minute;
    if (now >= endsAt || now < endsAt - this.#minuteMs) {
      this.#minute.openUntil((Math.floor(now / this.#minuteMs) + 1) * this.#minuteMs);
      for (const [of, { knownUntil }] of this.#limits) {
        if (now >= knownUntil) this.#forget(of);
      }
    }
    const isOfAnotherDay = now >= this.#day.endsAt || now < this.#day.endsAt - LONGEST_DAY_MS;
    if (isOfAnotherDay && this.#limits.has('rpd')) {
      this.#day.openUntil(nextPacificMidnight(now));
    }
  }
}

/**
 * How surely a request must fit into a minute's tokens. `now`: as far as is known. `perhaps`: unless the provider has
 * refused as many within this minute. `ever`: into an unused minute.
 */
export type Fit = 'now' | 'perhaps' | 'ever';

/** What another instance has published of a quota. */
export interface OthersUse {
  readonly others: QuotaUse;
  readonly limits: readonly (QuotaLimit & KnownLimit)[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** A request that is counted in these windows. */
export interface Reservation {
  readonly minuteEndsAt: number;
  readonly dayEndsAt: number;
  /** Estimated. */
  readonly tokens: number;
  readonly requests: number;
}
