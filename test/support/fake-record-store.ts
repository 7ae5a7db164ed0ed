import type { ClientUse } from '../../src/pool/fair-share.ts';
import type {
  ClaimAnswer,
  NamedRecord,
  OwnUse,
  RecordChange,
  RecordStore,
  RecordStoreListener,
  RecordUpdate,
  TotalUse,
} from '../../src/sharing/redis-store.ts';

export interface FakeRecordStoreOptions {
  now(): number;
  /** Carries a command to the store and its answer back. Default: at once. */
  send?<T>(act: () => T, commands: number): Promise<T>;
  /** Carries a message to one instance. Default: at once. */
  deliver?(act: () => void): void;
}

/** The shared store of several instances in memory: does what `redis-scripts.ts` does in Redis. */
export class FakeRecordStore {
  readonly #now: () => number;
  readonly #send: NonNullable<FakeRecordStoreOptions['send']>;
  readonly #deliver: NonNullable<FakeRecordStoreOptions['deliver']>;
  readonly #records = new Map<string, string>();
  readonly #claims = new Map<string, { readonly holder: number; readonly until: number }>();
  /** Of each quota, by instance. */
  readonly #uses = new Map<string, Map<number, ClientUse>>();
  #version = 0;
  readonly #listeners = new Map<number, RecordStoreListener>();

  constructor({
    now,
    send = async (act) => act(),
    deliver = (act) => act(),
  }: FakeRecordStoreOptions) {
    this.#now = now;
    this.#send = send;
    this.#deliver = deliver;
  }

  storeOf(instance: number): RecordStore {
    const records = this.#records;
    return {
      isUp: () => true,
      clockOffset: () => 0,
      listen: (listener) => {
        this.#listeners.set(instance, listener);
        listener.connected();
      },
      publish: (updates) =>
        this.#send(() => updates.map((update) => this.publish(update, instance)), updates.length),
      shareUse: (updates) =>
        this.#send(() => updates.map((update) => this.#shareUse(update, instance)), updates.length),
      claim: (scopes, holdMs) => this.#send(() => this.#claim(scopes, instance, holdMs), 1),
      async *all() {
        yield [...records].map(([name, record]) => ({ name, record }));
      },
    };
  }

  /** @returns the merged record */
  publish({ name, record, endsProbe }: RecordUpdate, instance: number): string {
    const before = this.#records.get(name);
    const merged = mergeRecords(before ?? '0|0|0|', noLaterThan(record, this.#now() + 1000));
    this.#records.set(name, merged);
    const isHolder = this.#claims.get(name)?.holder === instance;
    const hasEnded = endsProbe && isHolder && this.#claims.delete(name);
    if (hasEnded || merged !== before) {
      this.#notify({ name, record: merged, endsProbe: hasEnded }, instance);
    }
    return merged;
  }

  /** Loses every record, but no claim, and connects again. */
  forgetRecords(): void {
    this.#records.clear();
    for (const listener of this.#listeners.values()) listener.connected();
  }

  #notify(change: RecordChange, from: number): void {
    for (const [instance, listener] of this.#listeners) {
      // Redis delivers to the sender too, which ignores it.
      this.#deliver(() => (instance === from ? undefined : listener.changed(change)));
    }
  }

  #shareUse({ name, use, limits }: OwnUse, instance: number): TotalUse {
    this.#version += 1;
    const version = this.#version;
    const uses = this.#uses.get(name) ?? new Map();
    this.#uses.set(name, uses.set(instance, use));
    const ofMinute = [...uses.values()].filter(({ minute }) => minute === use.minute);
    const ofDay = [...uses.values()].filter(({ dayEndsAt }) => dayEndsAt === use.dayEndsAt);
    const total = {
      ...use,
      requests: sum(ofMinute.map(({ requests }) => requests)),
      tokens: sum(ofMinute.map(({ tokens }) => tokens)),
      asked: sum(ofMinute.map(({ asked }) => asked)),
      dayTokens: sum(ofDay.map(({ dayTokens }) => dayTokens)),
      dayRequests: sum(ofDay.map(({ dayRequests }) => dayRequests)),
    };
    for (const [other, listener] of this.#listeners) {
      this.#deliver(() =>
        other === instance ? undefined : listener.used({ name, use: total, limits, version }),
      );
    }
    return { name, use: total, limits, version };
  }

  #claim(scopes: readonly NamedRecord[], asker: number, holdMs: number): ClaimAnswer {
    const until = this.#now() + holdMs;
    const retryMs = Math.max(...scopes.map((scope) => this.#retryMs(scope, asker)));
    if (retryMs >= 0) {
      const records = scopes.map(({ name }) => ({ name, record: this.#records.get(name) ?? '' }));
      return { isGranted: false, retryMs, records };
    }
    for (const { name } of scopes) this.#claims.set(name, { holder: asker, until });
    return { isGranted: true };
  }

  /** Below 0 when the probe may begin. */
  #retryMs({ name, record }: NamedRecord, asker: number): number {
    const now = this.#now();
    const claim = this.#claims.get(name);
    const isHeld = claim !== undefined && claim.holder !== asker && claim.until > now;
    const heldMs = isHeld ? claim.until - now : -1;
    const known = this.#records.get(name);
    if (known === undefined) return heldMs;
    const { openedAt, foundAt, until } = parse(known);
    const isOpen = foundAt === 0 || foundAt < openedAt;
    if (isOpen) return Math.max(heldMs, openedAt > parse(record).foundAt ? 0 : -1);
    return Math.max(heldMs, until > now ? until - now : -1);
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);

function parse(record: string) {
  const [openedAt, foundAt, until, ...finding] = record.split('|');
  const times = { openedAt: Number(openedAt), foundAt: Number(foundAt), until: Number(until) };
  return { ...times, finding: finding.join('|') };
}

function noLaterThan(record: string, latest: number): string {
  const { openedAt, foundAt, until, finding } = parse(record);
  return [Math.min(openedAt, latest), Math.min(foundAt, latest), until, finding].join('|');
}

/**
 * Merges what two instances know of one scope, in any order: the last opening, and of the findings since then
 * the one that parks longest, as new as the newest. `Scope.learn` does the same.
 */
export function mergeRecords(one: string, other: string): string {
  const both = [parse(one), parse(other)];
  const openedAt = Math.max(...both.map((record) => record.openedAt));
  const valid = both.filter(({ foundAt }) => foundAt > 0 && foundAt >= openedAt);
  const [longest] = valid.toSorted((a, b) => b.until - a.until);
  if (longest === undefined) return `${openedAt}|0|0|`;
  const foundAt = Math.max(...valid.map((record) => record.foundAt));
  return [openedAt, foundAt, longest.until, longest.finding].join('|');
}
