import type { WaitQueues } from '../failover/wait-queue.ts';
import type { KeyPool } from '../pool/key-pool.ts';
import type { CheckKey } from '../providers/provider.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { atMost, type Clock, isoTime } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import { CHECK_VERDICTS, type CheckVerdict, type KeyCheck } from '../shared/key-check.ts';
import type { Logger } from '../shared/logger.ts';
import type { Secret } from '../shared/secret.ts';

export interface KeyChecksOptions {
  /** A provider without an entry has no call that uses no quota. */
  readonly checkers: ReadonlyMap<ProviderName, CheckKey>;
  /** Learns the outcome of a check. Null: no server runs. */
  readonly learns: { readonly pool: KeyPool; readonly queues: WaitQueues } | null;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface CheckedKey {
  readonly key: ApiKey;
  readonly check: KeyCheck;
}

/** Checks keys by calls that use no quota. Each takes at most ten seconds. */
export interface KeyChecks {
  /** A key that is being checked already is not checked twice. */
  check(key: ApiKey): Promise<KeyCheck>;
  /**
   * Checks eight at a time.
   *
   * @param limitMs for all together; keys that are not reached get the verdict `unknown`
   * @returns in the order of the keys
   */
  checkAll(keys: readonly ApiKey[], limitMs: number): Promise<readonly CheckedKey[]>;
  /** Null where the key was not checked since the start. */
  lastOf(key: ApiKey): KeyCheck | null;
  /** When the last check began that found a key of the provider working, in milliseconds since the epoch; 0 for never. */
  workedAt(provider: ProviderName): number;
  /** Ends the checks under way. */
  stop(): void;
}

const LIMIT_MS = 10_000;
const AT_ONCE = 8;

export function createKeyChecks({ checkers, learns, clock, log }: KeyChecksOptions): KeyChecks {
  /** By the text of the key: a check stays when a label changes, and not when the text does. */
  const last = new WeakMap<Secret, KeyCheck>();
  const running = new Map<Secret, Promise<KeyCheck>>();
  const workedAt = new Map<ProviderName, number>();
  const stopping = new AbortController();

  function check(key: ApiKey): Promise<KeyCheck> {
    const { secret } = key;
    const known = running.get(secret);
    if (known !== undefined) return known;
    const started = run(key).finally(() => running.delete(secret));
    running.set(secret, started);
    return started;
  }

  async function run(key: ApiKey): Promise<KeyCheck> {
    const checker = checkers.get(key.provider);
    if (checker === undefined) return said(unknown(NO_CHECKER), clock.now());
    const startedAt = clock.now();
    const lease = learns?.pool.leaseForCheck(key) ?? null;
    const failure = await ask(checker, key);
    lease?.report(failure ?? { kind: 'success' });
    const queue = learns?.queues.get(key.provider);
    if (failure === null) {
      workedAt.set(key.provider, startedAt);
      queue?.keyProved(null);
    } else queue?.leaseFailed(null);
    const found = said(failure === null ? WORKS : judge(failure), startedAt);
    last.set(key.secret, found);
    const line = { key: key.id, verdict: found.verdict, ms: found.ms, why: failure?.message };
    log[found.verdict === 'works' ? 'debug' : 'warn'](line, 'key checked');
    return found;
  }

  /** Settles within the limit, even if the checker does not. */
  async function ask(checker: CheckKey, key: ApiKey): Promise<Failure | null> {
    const controller = new AbortController();
    const signal = AbortSignal.any([controller.signal, stopping.signal]);
    const asked = checker(key, signal).catch((err: unknown) => {
      log.error({ err, key: key.id }, 'the check of a key failed');
      return OUR_BUG;
    });
    const found = await atMost(LIMIT_MS, clock, asked, TOO_LATE);
    controller.abort();
    return found;
  }

  const said = (judged: Judged, startedAt: number): KeyCheck => {
    const now = clock.now();
    return { ...judged, at: isoTime(now), ms: Math.max(0, now - startedAt) };
  };

  return {
    check,
    async checkAll(keys, limitMs) {
      const until = clock.now() + limitMs;
      const waiting = keys.values();
      const found = new Map<ApiKey, KeyCheck>();
      const work = async () => {
        for (const key of waiting) {
          if (clock.now() >= until || stopping.signal.aborted) return;
          found.set(key, await check(key));
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      const checked = keys.map((key) => ({
        key,
        check: found.get(key) ?? said(unknown(NOT_REACHED), clock.now()),
      }));
      log.info(countsOf(checked), 'keys checked');
      return checked;
    },
    lastOf: ({ secret }) => last.get(secret) ?? null,
    workedAt: (provider) => workedAt.get(provider) ?? 0,
    stop: () => stopping.abort(),
  };
}

const countsOf = (checked: readonly CheckedKey[]) =>
  Object.fromEntries(
    CHECK_VERDICTS.map((verdict) => [
      verdict,
      checked.filter(({ check }) => check.verdict === verdict).length,
    ]),
  );

type Judged = Pick<KeyCheck, 'verdict' | 'sentence'>;

const WORKS: Judged = {
  verdict: 'works',
  sentence: 'The provider accepts the key. This says nothing about its quota and credit.',
};
const NO_CHECKER = 'Its provider has no call that uses no quota.';
const NOT_REACHED = 'It was not checked: the time for all checks has passed.';
const unknown = (sentence: string): Judged => ({ verdict: 'unknown', sentence });

const TOO_LATE: Failure = {
  kind: 'upstream_down',
  timedOut: true,
  message: `no answer within ${LIMIT_MS / 1000} seconds`,
};
const OUR_BUG: Failure = { kind: 'internal_error', message: 'a bug of our own' };

const judge = ({ kind, message }: Failure): Judged => {
  const [verdict, beginning] = JUDGEMENTS[kind];
  return { verdict, sentence: `${beginning}: ${message}` };
};

const SAYS_NOTHING = ['unknown', 'The answer says nothing about the key'] as const;
const LACKS_QUOTA = ['no_quota', 'The provider has no quota left for the key'] as const;

const JUDGEMENTS = {
  key_rejected: ['rejected', 'The provider rejects the key'],
  out_of_credit: ['no_credit', 'The project of the key has no credit, or its plan ends here'],
  rate_limited: LACKS_QUOTA,
  quota_exhausted: LACKS_QUOTA,
  quota_unexplained: LACKS_QUOTA,
  request_too_large: LACKS_QUOTA,
  upstream_down: ['unreachable', 'The provider gave no answer'],
  misconfigured: ['unknown', 'A setting or the address of this server is at fault, not the key'],
  model_unavailable: ['unknown', 'The key may not use the model of the check'],
  not_owned: SAYS_NOTHING,
  request_fault: SAYS_NOTHING,
  content_blocked: SAYS_NOTHING,
  unusable_answer: SAYS_NOTHING,
  deadline_exceeded: SAYS_NOTHING,
  client_gone: SAYS_NOTHING,
  superseded: SAYS_NOTHING,
  internal_error: SAYS_NOTHING,
} as const satisfies Record<FailureKind, readonly [CheckVerdict, string]>;
