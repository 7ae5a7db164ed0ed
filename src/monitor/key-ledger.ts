import type { AttemptRecord } from '../service/observer.ts';
import type { FailureKind } from '../shared/failure.ts';
import type { KeyTally, LastError } from './key-tally.ts';
import { LatencySamples } from './latency.ts';

/** What has become of the calls with one key since the start. */
export type KeyUseRecord = Omit<KeyTally, 'inFlight' | 'lastAction'>;

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
      const { latency, ...counts } = account;
      return { ...counts, firstMs: latency.recent(now) };
    },
  };
}

const UNUSED: KeyUseRecord = {
  calls: 0,
  successes: 0,
  failures: {},
  firstMs: [],
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
