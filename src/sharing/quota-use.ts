import type { Quota, QuotaUse } from '../pool/pacing.ts';
import type { SharedQuotas } from '../pool/peers.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import { QUOTA_NAMES } from '../shared/failure.ts';
import { parseJson } from '../shared/json.ts';
import type { RecordStore, TotalUse } from './redis-store.ts';

/** Adds up what all instances use of each quota, so that they pace together. The totals lag; no request waits for them. */
export interface QuotaSharing {
  /** This instance has used the quota, or learned its limits. */
  used(quota: Quota): void;
  /** Another instance has published the totals of a quota. */
  received(total: TotalUse): void;
  stop(): void;
}

export interface QuotaSharingOptions {
  readonly store: RecordStore;
  readonly clock: Clock;
  nameOf(quota: Quota): string;
  quotaOf(name: string): Quota | null;
  /** Null until this instance has joined. */
  quotas(): SharedQuotas | null;
}

/** Changes of one quota within this time are published together. */
const COLLECT_MS = 100;
const MINUTE_MS = 60_000;
/** The most quotas in one command. */
const BATCH = 200;

export function createQuotaSharing(options: QuotaSharingOptions): QuotaSharing {
  const { store, clock, nameOf, quotaOf, quotas } = options;
  const changed = new Set<Quota>();
  /** What this instance has published last, which the totals include. */
  const published = new Map<string, QuotaUse>();
  const latest = new Map<string, { readonly minute: number; readonly version: number }>();
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
    for (const quota of batch) changed.delete(quota);
    // Without the store each instance counts for itself.
    if (!store.isUp()) return;
    const updates = batch.map((quota) => {
      const name = nameOf(quota);
      const own = quota.use(clock.now());
      published.set(name, own);
      const use = { ...own, minute: own.minute + minutesAhead() };
      return { name, use, limits: writeLimits(quota) };
    });
    for (const total of await store.shareUse(updates)) received(total);
  }

  function received({ name, use, limits, version }: TotalUse): void {
    const quota = quotaOf(name);
    const before = latest.get(name);
    const isOvertaken = before?.minute === use.minute && version < before.version;
    if (quota === null || isOvertaken) return;
    latest.set(name, { minute: use.minute, version });
    const here = { ...use, minute: use.minute - minutesAhead() };
    const others = without(here, published.get(name));
    quotas()?.merge(quota, { others, limits: readLimits(limits), now: clock.now() });
  }

  return {
    used(quota) {
      changed.add(quota);
      publishSoon();
    },
    received,
    stop: () => timer?.cancel(),
  };
}

function without(total: QuotaUse, own: QuotaUse | undefined): QuotaUse {
  const isSameMinute = own?.minute === total.minute;
  const isSameDay = own?.dayEndsAt === total.dayEndsAt;
  const rest = (all: number, ours = 0) => Math.max(0, all - ours);
  return {
    ...total,
    requests: rest(total.requests, isSameMinute ? own?.requests : 0),
    tokens: rest(total.tokens, isSameMinute ? own?.tokens : 0),
    dayRequests: rest(total.dayRequests, isSameDay ? own?.dayRequests : 0),
  };
}

/** Limits from the settings are not shared. */
function writeLimits({ limits }: Quota): string {
  const learned = [...limits].filter(([, { knownUntil }]) => Number.isFinite(knownUntil));
  return JSON.stringify(learned.map(([of, { value, knownUntil }]) => [of, value, knownUntil]));
}

function readLimits(text: string) {
  const parsed = parseJson(text);
  return (Array.isArray(parsed) ? parsed : []).flatMap((entry) => {
    const [name, value, knownUntil] = Array.isArray(entry) ? entry : [];
    const of = QUOTA_NAMES.find((known) => known === name);
    return of !== undefined && value > 0 && knownUntil > 0 ? [{ of, value, knownUntil }] : [];
  });
}
