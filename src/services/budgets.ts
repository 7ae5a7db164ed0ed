import type { ClientUse } from '../pool/fair-share.ts';
import { type Clock, DAY_MS, isoTime, MINUTE_MS, type Timer } from '../shared/clock.ts';
import type { DurableStore } from '../shared/durable-store.ts';

/** What a client may use in a minute of the clock and in a day of UTC. Null: no limit. */
export interface BudgetLimits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly requestsPerDay: number | null;
  readonly tokensPerDay: number | null;
}

/** Why a request of a client was refused; `share` is its share of a scarce model. */
export const CLIENT_LIMITS = [
  'requests_per_minute',
  'tokens_per_minute',
  'requests_per_day',
  'tokens_per_day',
  'share',
] as const;
export type ClientLimit = (typeof CLIENT_LIMITS)[number];

export interface UsedUp {
  readonly limit: Exclude<ClientLimit, 'share'>;
  readonly value: number;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

class Window {
  endsAt = 0;
  requests = 0;
  tokens = 0;
  /** In other instances, or before the restart. */
  othersRequests = 0;
  othersTokens = 0;

  get allRequests(): number {
    return this.requests + this.othersRequests;
  }

  get allTokens(): number {
    return this.tokens + this.othersTokens;
  }

  giveBack(countedAt: number, lengthMs: number): void {
    if (countedAt >= this.endsAt - lengthMs && this.requests > 0) this.requests -= 1;
  }

  /** Starts the next window if this one has ended. The clock may be set back. */
  open(now: number, lengthMs: number): void {
    if (now < this.endsAt && now >= this.endsAt - lengthMs) return;
    this.endsAt = (Math.floor(now / lengthMs) + 1) * lengthMs;
    this.requests = this.tokens = this.othersRequests = this.othersTokens = 0;
  }
}

/** What one client has used, beside its limits. */
export class Budget {
  limits: BudgetLimits;
  readonly #minute = new Window();
  readonly #day = new Window();
  /** What was saved of the day. */
  #saved = { endsAt: 0, requests: 0, tokens: 0 };

  constructor(limits: BudgetLimits) {
    this.limits = limits;
  }

  /** The limit that ends last of those that are used up; null where there is none. */
  usedUp(now: number): UsedUp | null {
    this.#open(now);
    const { requestsPerMinute, tokensPerMinute, requestsPerDay, tokensPerDay } = this.limits;
    const [minute, day] = [this.#minute, this.#day];
    return (
      usedUp('requests_per_day', requestsPerDay, day.allRequests, day) ??
      usedUp('tokens_per_day', tokensPerDay, day.allTokens, day) ??
      usedUp('requests_per_minute', requestsPerMinute, minute.allRequests, minute) ??
      usedUp('tokens_per_minute', tokensPerMinute, minute.allTokens, minute)
    );
  }

  countRequest(now: number): void {
    this.#open(now);
    this.#minute.requests += 1;
    this.#day.requests += 1;
  }

  /** Takes back a request that was counted at this time, if the window of that time has not ended. */
  giveBackRequest(countedAt: number, now: number): void {
    this.#open(now);
    this.#minute.giveBack(countedAt, MINUTE_MS);
    this.#day.giveBack(countedAt, DAY_MS);
  }

  /** Counts the tokens of a request that has ended, in the minute of its end. */
  countTokens(tokens: number, now: number): void {
    this.#open(now);
    this.#minute.tokens += tokens;
    this.#day.tokens += tokens;
  }

  /** In all instances. */
  used(now: number) {
    this.#open(now);
    return {
      requestsMinute: this.#minute.allRequests,
      tokensMinute: this.#minute.allTokens,
      requestsDay: this.#day.allRequests,
      tokensDay: this.#day.allTokens,
    };
  }

  /** In this instance. */
  countsHere(now: number): ClientUse {
    this.#open(now);
    const { requests, tokens, endsAt } = this.#minute;
    const { requests: dayRequests, tokens: dayTokens, endsAt: dayEndsAt } = this.#day;
    const minute = endsAt / MINUTE_MS;
    return { minute, requests, tokens, asked: 0, dayEndsAt, dayRequests, dayTokens };
  }

  /** @param others what the other instances have used */
  merge(others: ClientUse, now: number): void {
    this.#open(now);
    if (others.minute === this.#minute.endsAt / MINUTE_MS) {
      this.#minute.othersRequests = others.requests;
      this.#minute.othersTokens = others.tokens;
    }
    if (others.dayEndsAt === this.#day.endsAt) {
      this.#day.othersRequests = others.dayRequests;
      this.#day.othersTokens = others.dayTokens;
    }
  }

  /** What was used of this day before the restart. */
  restore(requests: number, tokens: number, now: number): void {
    this.#open(now);
    this.#day.othersRequests = requests;
    this.#day.othersTokens = tokens;
  }

  /** What was used of this day since the last call; null for nothing. */
  takeUnsaved(now: number): { readonly requests: number; readonly tokens: number } | null {
    this.#open(now);
    const { endsAt, requests, tokens } = this.#day;
    const before = this.#saved.endsAt === endsAt ? this.#saved : { requests: 0, tokens: 0 };
    this.#saved = { endsAt, requests, tokens };
    const unsaved = { requests: requests - before.requests, tokens: tokens - before.tokens };
    return unsaved.requests === 0 && unsaved.tokens === 0 ? null : unsaved;
  }

  /** Marks numbers that could not be saved as unsaved. */
  giveBackUnsaved(unsaved: { readonly requests: number; readonly tokens: number }): void {
    this.#saved.requests -= unsaved.requests;
    this.#saved.tokens -= unsaved.tokens;
  }

  #open(now: number): void {
    this.#minute.open(now, MINUTE_MS);
    this.#day.open(now, DAY_MS);
  }
}

const usedUp = (
  limit: UsedUp['limit'],
  value: number | null,
  used: number,
  { endsAt: until }: Window,
): UsedUp | null => (value !== null && used >= value ? { limit, value, until } : null);

/** Saves the counts of the day, so that they survive a restart without Redis. */
export interface BudgetSaver {
  restore(): Promise<void>;
  changed(): void;
  /** Saves the remaining counts. */
  stop(): Promise<void>;
}

export interface BudgetSaverOptions {
  readonly store: DurableStore;
  readonly clock: Clock;
  readonly budgets: () => Iterable<readonly [name: string, budget: Budget]>;
}

const SAVE_MS = 2000;
/** Rows of one call. */
const BATCH = 1000;

export function createBudgetSaver({ store, clock, budgets }: BudgetSaverOptions): BudgetSaver {
  let timer: Timer | null = null;
  let saving: Promise<void> = Promise.resolve();

  async function save(): Promise<void> {
    const now = clock.now();
    const unsaved = [...budgets()].flatMap(([name, budget]) => {
      const numbers = budget.takeUnsaved(now);
      return numbers === null ? [] : [{ name, budget, numbers }];
    });
    for (let from = 0; from < unsaved.length; from += BATCH) {
      const rows = unsaved.slice(from, from + BATCH);
      try {
        await store.add(
          collectionAt(now),
          rows.map(({ name, numbers }) => ({ name, numbers })),
          now + 2 * DAY_MS,
        );
      } catch {
        // The store reports its failures.
        for (const { budget, numbers } of rows) budget.giveBackUnsaved(numbers);
      }
    }
  }

  return {
    async restore() {
      const now = clock.now();
      const all = new Map(budgets());
      for (const { name, numbers } of await store.rows(collectionAt(now))) {
        all.get(name)?.restore(numbers.requests ?? 0, numbers.tokens ?? 0, now);
      }
    },
    changed() {
      timer ??= clock.after(SAVE_MS, () => {
        timer = null;
        saving = save();
      });
    },
    async stop() {
      timer?.cancel();
      await saving;
      await save();
    },
  };
}

const collectionAt = (now: number) => `budget:${isoTime(now).slice(0, 10)}`;
