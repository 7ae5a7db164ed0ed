import type { KnownKey } from '../provider.ts';
import type { QuotaWindows } from '../quota-window.ts';
import type { AnamAccountShape } from '../standin-key.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DEFAULT_SESSION_SECONDS = 60;
/** What an account without a limit names as its limit. */
const UNLIMITED_SLOTS = 1_000_000;

/** @returns the account of each key: keys of one project share theirs */
export function createAccounts(
  keys: readonly KnownKey[],
  windows: QuotaWindows,
): (key: KnownKey) => AnamAccount {
  const accounts = new Map<string, AnamAccount>();
  return ({ project }) => {
    const known = accounts.get(project);
    if (known !== undefined) return known;
    const shapes = keys.filter((key) => key.project === project).map(({ shape }) => shape.account);
    // Looks like Anam's, and reveals nothing of the key.
    const id = `00000000-0000-4000-8000-${String(accounts.size + 1).padStart(12, '0')}`;
    const account = new AnamAccount(id, shapes.find((shape) => shape !== undefined) ?? {}, windows);
    accounts.set(project, account);
    return account;
  };
}

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

  /** The answer of `GET /v1/personas`, on one page. */
  personas() {
    const data = (this.#shape.personas ?? []).map((id) => ({ id, name: id }));
    const meta = { total: data.length, lastPage: 1, currentPage: 1, perPage: data.length };
    return { data, meta };
  }

  /** Counts a minted token, unless the minute's are spent. @returns what the minute has left */
  mint(now: number) {
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

  /** @returns null when the session has started: it holds its slot and uses its minutes at once */
  start(now: number): 'slots_busy' | 'usage_limit' | null {
    if (!this.concurrency(now).canStartSession) return 'slots_busy';
    if (this.#usedMs >= (this.#shape.minutes ?? Number.POSITIVE_INFINITY) * MINUTE_MS) {
      return 'usage_limit';
    }
    const lengthMs = (this.#shape.sessionSeconds ?? DEFAULT_SESSION_SECONDS) * SECOND_MS;
    this.#usedMs += lengthMs;
    this.#sessionEnds.push(now + lengthMs / this.#windows.speed);
    return null;
  }

  /** The answer of `GET /v1/sessions/concurrency`: slots only, nothing about minutes. */
  concurrency(now: number) {
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
