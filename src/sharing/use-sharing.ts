import type { ClientUse } from '../pool/fair-share.ts';
import type { Quota } from '../pool/pacing.ts';
import { type Clock, MINUTE_MS, type Timer } from '../shared/clock.ts';
import { QUOTA_NAMES } from '../shared/failure.ts';
import { parseJson } from '../shared/json.ts';
import type { RecordStore, TotalUse } from './redis-store.ts';

/**
 * Adds up what all instances use of quotas, of clients' budgets and of their shares. The totals lag: no request waits for
 * Redis.
 */
export interface UseSharing<Counted> {
  /** This instance has used some of it. */
  used(counted: Counted): void;
  /** Another instance has published the totals. */
  received(total: TotalUse): void;
  stop(): void;
}

export interface UseSharingOptions<Counted> {
  readonly store: RecordStore;
  readonly clock: Clock;
  nameOf(counted: Counted): string;
  /** @returns null for a name that this instance does not know */
  find(name: string): Counted | null;
  /** What this instance has used. */
  countsOf(counted: Counted, now: number): ClientUse;
  /** The limits that this instance has learned, as text. Default: none. */
  limitsOf?(counted: Counted): string;
  /** @param others what the other instances have used */
  merge(counted: Counted, others: ClientUse, limits: string, now: number): void;
}

/** Changes within this time are published together. */
const COLLECT_MS = 100;
/** The most in one command. */
const BATCH = 200;

const HOUR_MS = 60 * MINUTE_MS;

interface Latest {
  readonly minute: number;
  readonly version: number;
  /** When it was received. */
  readonly at: number;
}

export function createUseSharing<Counted>(
  options: UseSharingOptions<Counted>,
): UseSharing<Counted> {
  const { store, clock, nameOf, find, countsOf, limitsOf, merge } = options;
  const changed = new Set<Counted>();
  /** What this instance has published last, which the totals include. */
  const published = new Map<string, ClientUse>();
  const latest = new Map<string, Latest>();
  let forgetsAt = 0;
  let timer: Timer | null = null;
  /** By how many minutes the store's clock, which counts, is ahead of ours. */
  const minutesAhead = () => Math.round(store.clockOffset() / MINUTE_MS);

  function publishSoon(): void {
    timer ??= clock.after(COLLECT_MS, () => {
      timer = null;
      // The store reports its failures. Counts are totals: the next publication makes up for a lost one.
      publish().catch(() => {});
      if (changed.size > 0) publishSoon();
    });
  }

  async function publish(): Promise<void> {
    const batch = [...changed].slice(0, BATCH);
    for (const counted of batch) changed.delete(counted);
    // Without the store each instance counts for itself.
    if (!store.isUp()) return;
    const updates = batch.map((counted) => {
      const name = nameOf(counted);
      const own = countsOf(counted, clock.now());
      published.set(name, own);
      const use = { ...own, minute: own.minute + minutesAhead() };
      return { name, use, limits: limitsOf?.(counted) ?? '[]' };
    });
    for (const total of await store.shareUse(updates)) received(total);
  }

  function received({ name, use, limits, version }: TotalUse): void {
    const counted = find(name);
    const before = latest.get(name);
    const isOvertaken = before?.minute === use.minute && version < before.version;
    if (counted === null || isOvertaken) return;
    const now = clock.now();
    forgetOld(now);
    latest.set(name, { minute: use.minute, version, at: now });
    const here = { ...use, minute: use.minute - minutesAhead() };
    merge(counted, without(here, published.get(name)), limits, now);
  }

  /** Drops counts that no longer matter, such as those of a revoked client. */
  function forgetOld(now: number): void {
    if (now < forgetsAt) return;
    forgetsAt = now + HOUR_MS;
    deleteWhere(published, ({ dayEndsAt }) => dayEndsAt <= now);
    deleteWhere(latest, ({ at }) => at <= now - HOUR_MS);
  }

  return {
    used(counted) {
      changed.add(counted);
      publishSoon();
    },
    received,
    stop: () => timer?.cancel(),
  };
}

function deleteWhere<T>(values: Map<string, T>, isOver: (value: T) => boolean): void {
  for (const [name, value] of values) if (isOver(value)) values.delete(name);
}

function without(total: ClientUse, own: ClientUse | undefined): ClientUse {
  const isSameMinute = own?.minute === total.minute;
  const isSameDay = own?.dayEndsAt === total.dayEndsAt;
  const rest = (all: number, ours = 0) => Math.max(0, all - ours);
  return {
    ...total,
    requests: rest(total.requests, isSameMinute ? own?.requests : 0),
    tokens: rest(total.tokens, isSameMinute ? own?.tokens : 0),
    asked: rest(total.asked, isSameMinute ? own?.asked : 0),
    dayRequests: rest(total.dayRequests, isSameDay ? own?.dayRequests : 0),
    dayTokens: rest(total.dayTokens, isSameDay ? own?.dayTokens : 0),
  };
}

/** Limits from the settings are not shared. */
export function writeLimits({ limits }: Quota): string {
  const learned = [...limits].filter(([, { knownUntil }]) => Number.isFinite(knownUntil));
  return JSON.stringify(learned.map(([of, { value, knownUntil }]) => [of, value, knownUntil]));
}

export function readLimits(text: string) {
  const parsed = parseJson(text);
  return (Array.isArray(parsed) ? parsed : []).flatMap((entry) => {
    const [name, value, knownUntil] = Array.isArray(entry) ? entry : [];
    const of = QUOTA_NAMES.find((known) => known === name);
    return of !== undefined && value > 0 && knownUntil > 0 ? [{ of, value, knownUntil }] : [];
  });
}
