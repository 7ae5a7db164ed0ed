import type { QuotaWindows } from '../quota-window.ts';
import type { AnamAccountShape } from '../standin-key.ts';

/** How much of its minute an account has left for minting. */
export interface MintAllowance {
  readonly granted: boolean;
  readonly limit: number;
  readonly remaining: number;
  readonly resetsInMs: number;
}

/** What `GET /v1/sessions/concurrency` tells. */
export interface Concurrency {
  readonly limit: number;
  readonly active: number;
  readonly canStartSession: boolean;
  readonly estimatedWaitSeconds: number;
}

export type StartRefusal = 'slots_busy' | 'usage_limit';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DEFAULT_SESSION_SECONDS = 60;
/** What an account without a limit names as its limit. */
const UNLIMITED_SLOTS = 1_000_000;

/** One organisation: its running sessions and what it has used, shared by all its keys. */
export class AnamAccount {
  readonly id: string;
  readonly #shape: AnamAccountShape;
  readonly #windows: QuotaWindows;
  /** The ends of the running sessions, soonest first. */
  readonly #sessionEnds: number[] = [];
  #usedMs = 0;
  #minuteEndsAt = 0;
  #minted = 0;

  constructor(id: string, shape: AnamAccountShape, windows: QuotaWindows) {
    this.id = id;
    this.#shape = shape;
    this.#windows = windows;
  }

  owns(personaId: string): boolean {
    return this.#shape.personas?.includes(personaId) ?? true;
  }

  /** Counts a minted token, unless the minute's are spent. */
  mint(now: number): MintAllowance {
    if (now >= this.#minuteEndsAt) {
      this.#minuteEndsAt = this.#windows.minuteEnd(now);
      this.#minted = 0;
    }
    const limit = this.#shape.sessionsPerMinute ?? Number.POSITIVE_INFINITY;
    const granted = this.#minted < limit;
    if (granted) this.#minted += 1;
    const resetsInMs = this.#minuteEndsAt - now;
    return { granted, limit, remaining: limit - this.#minted, resetsInMs };
  }

  /** @returns null when the session has started: it holds its slot and uses its minutes at once. */
  start(now: number): StartRefusal | null {
    if (!this.concurrency(now).canStartSession) return 'slots_busy';
    if (this.#usedMs >= (this.#shape.minutes ?? Number.POSITIVE_INFINITY) * MINUTE_MS) {
      return 'usage_limit';
    }
    const lengthMs = (this.#shape.sessionSeconds ?? DEFAULT_SESSION_SECONDS) * SECOND_MS;
    this.#usedMs += lengthMs;
    this.#sessionEnds.push(now + lengthMs / this.#windows.speed);
    return null;
  }

  /** Slots only: it says nothing about minutes. */
  concurrency(now: number): Concurrency {
    const ends = this.#sessionEnds;
    while (ends[0] !== undefined && ends[0] <= now) ends.shift();
    const limit = this.#shape.slots ?? UNLIMITED_SLOTS;
    const canStartSession = ends.length < limit;
    const waitMs = canStartSession ? 0 : (ends[0] ?? now) - now;
    return {
      limit,
      active: ends.length,
      canStartSession,
      estimatedWaitSeconds: Math.ceil(waitMs / SECOND_MS),
    };
  }
}
