import type { AttemptRecord } from '../service/observer.ts';
import type { FailureKind } from '../shared/failure.ts';
import { type Latency, LatencySamples } from './latency.ts';

/** What has become of the calls with one key since the start. */
export interface KeyUseRecord {
  readonly calls: number;
  readonly successes: number;
  readonly failures: Readonly<Partial<Record<FailureKind, number>>>;
  readonly latency: Latency | null;
  readonly lastError: LastError | null;
}

export interface LastError {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: FailureKind;
  readonly model: string;
  /** In the provider's words, without any key. */
  readonly message: string;
  /** The HTTP status, where the provider answered. */
  readonly status: number | null;
}

/** Of every key, by its id. */
export interface KeyLedger {
  attemptEnded(attempt: AttemptRecord): void;
  of(id: string, now: number): KeyUseRecord;
}

interface Account {
  calls: number;
  successes: number;
  readonly failures: Partial<Record<FailureKind, number>>;
  readonly latency: LatencySamples;
  lastError: LastError | null;
}

export function createKeyLedger(): KeyLedger {
  const accounts = new Map<string, Account>();
  return {
    attemptEnded(attempt) {
      const account = accounts.get(attempt.key) ?? newAccount();
      accounts.set(attempt.key, account);
      enter(account, attempt);
    },
    of(id, now) {
      const account = accounts.get(id);
      if (account === undefined) return UNUSED;
      return { ...account, latency: account.latency.summary(now) };
    },
  };
}

const UNUSED: KeyUseRecord = {
  calls: 0,
  successes: 0,
  failures: {},
  latency: null,
  lastError: null,
};

const newAccount = (): Account => ({
  calls: 0,
  successes: 0,
  failures: {},
  latency: new LatencySamples(),
  lastError: null,
});

function enter(account: Account, attempt: AttemptRecord): void {
  const { outcome, firstMs, startedAt, ms, model } = attempt;
  const at = startedAt + ms;
  account.calls += 1;
  if (firstMs !== null) account.latency.add(at, firstMs);
  if (outcome.kind === 'success') {
    account.successes += 1;
    return;
  }
  const { kind, message, status = null } = outcome;
  account.failures[kind] = (account.failures[kind] ?? 0) + 1;
  if (!NOBODYS_FAULT.has(kind)) account.lastError = { at, kind, model, message, status };
}

/** What says nothing of the key or its provider. */
const NOBODYS_FAULT: ReadonlySet<FailureKind> = new Set([
  'request_fault',
  'content_blocked',
  'client_gone',
]);
