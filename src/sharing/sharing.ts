import { holdsProbe } from '../pool/half-open.ts';
import type { Quota } from '../pool/pacing.ts';
import type { Peers, SharedQuotas, SharedScopes } from '../pool/peers.ts';
import type { Scope } from '../pool/scope.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import { createProbeClaims, type ProbeClaims } from './probe-claims.ts';
import { createPublisher, type Publisher } from './publisher.ts';
import type { NamedRecord, RecordChange, RecordStore, RecordUpdate } from './redis-store.ts';
import { createScopeNames } from './scope-names.ts';
import { isSameRecord, readRecord, writeRecord } from './scope-record.ts';
import {
  createUseSharing,
  readLimits,
  type UseSharing,
  type UseSharingOptions,
  writeLimits,
} from './use-sharing.ts';

export interface SharingOptions {
  readonly store: RecordStore;
  readonly keys: readonly ApiKey[];
  readonly cooldownMs: number;
  readonly clock: Clock;
}

/** Wakes the requests that wait for a key. */
export interface SharingListener {
  /** A key of the provider is available again. */
  opened(provider: ProviderName): void;
  /** Anything else about the provider's keys has changed. */
  changed(provider: ProviderName): void;
}

/** Of a pool. */
export interface SharedParts {
  readonly sharedScopes: SharedScopes;
  readonly sharedQuotas: SharedQuotas;
}

interface Joined {
  readonly scopes: SharedScopes;
  readonly quotas: SharedQuotas;
  readonly listener: SharingListener;
}

/** Keeps what one pool knows and what the shared store knows the same. */
export class Sharing {
  /** For the pool. */
  readonly peers: Peers;
  readonly #options: SharingOptions;
  readonly #store: RecordStore;
  #names: ReturnType<typeof createScopeNames>;
  readonly #publisher: Publisher;
  readonly #claims: ProbeClaims;
  readonly #quotas: UseSharing<Quota>;
  #clientUse: Pick<UseSharing<unknown>, 'received' | 'stop'> | null = null;
  readonly #providers: Set<ProviderName>;
  #joined: Joined | null = null;
  /** After a failure the store connects again. */
  readonly #sync = coalesce(() => this.#syncOnce().catch(() => {}));
  /** Changes of scopes that were published or merged, and records that could not be read. */
  readonly #counts = { published: 0, merged: 0, unreadable: 0 };

  constructor(options: SharingOptions) {
    const { store, keys, clock } = options;
    this.#options = options;
    this.#store = store;
    this.#names = createScopeNames(keys);
    this.#providers = new Set(keys.map(({ provider }) => provider));
    this.#publisher = createPublisher({
      store,
      updateOf: (scope) => this.#updateOf(scope),
      merged: (scope, record) => {
        if (this.#merge(scope, record)) this.#notify(scope);
      },
    });
    this.#claims = createProbeClaims({
      store,
      clock,
      publisher: this.#publisher,
      recordOf: (scope) => this.#recordOf(scope),
      merge: (named) => this.#mergeNamed(named),
      notify: (scope) => this.#notify(scope),
    });
    this.#quotas = createUseSharing<Quota>({
      store,
      clock,
      nameOf: ({ scope }) => this.#recordOf(scope).name,
      find: (name) => this.#quotaOf(name),
      countsOf: (quota, now) => ({ ...quota.use(now), dayTokens: 0, asked: 0 }),
      limitsOf: writeLimits,
      merge: (quota, others, limits, now) =>
        this.#joined?.quotas.merge(quota, { others, limits: readLimits(limits), now }),
    });
    this.peers = {
      found: (scope) => this.#publisher.add(scope),
      ask: (probe) => this.#claims.ask(probe),
      used: (quota) => this.#quotas.used(quota),
    };
  }

  get counts() {
    return { ...this.#counts, backlog: this.#publisher.backlog };
  }

  /** Adds up what clients use, from now on. */
  readonly shareClientUse = <Counted>(
    options: Omit<UseSharingOptions<Counted>, 'store' | 'clock'>,
  ): UseSharing<Counted> => {
    const shared = createUseSharing({ ...options, ...this.#options });
    this.#clientUse = shared;
    return shared;
  };

  /**
   * Starts to publish and to merge.
   *
   * @returns resolves once the store's records are merged here, or the store has failed
   */
  join(
    { sharedScopes: scopes, sharedQuotas: quotas }: SharedParts,
    listener: SharingListener,
  ): Promise<void> {
    this.#joined = { scopes, quotas, listener };
    return new Promise((resolve) => {
      this.#store.listen({
        changed: (change) => this.#changed(change),
        used: (total) => {
          this.#quotas.received(total);
          this.#clientUse?.received(total);
        },
        connected: () => void this.#sync().then(resolve),
        failed: resolve,
      });
    });
  }

  /**
   * Call it after each change of the keys in the pool.
   *
   * @param keys all of them
   * @param added those that were added or replaced: other instances may have findings about them
   */
  keysChanged(keys: Iterable<ApiKey>, added: readonly ApiKey[]): void {
    this.#names = createScopeNames(keys);
    for (const { provider } of added) this.#providers.add(provider);
    if (added.length > 0 && this.#joined !== null && this.#store.isUp()) void this.#sync();
  }

  /** Gives back claims and publishes the backlog, as far as the store takes it at once. */
  async stop(): Promise<void> {
    this.#claims.stop();
    this.#quotas.stop();
    this.#clientUse?.stop();
    await this.#publisher.flush();
  }

  #changed({ endsProbe, ...named }: RecordChange): void {
    const scope = this.#scopeOf(named);
    if (scope === null) return;
    this.#merge(scope, named.record);
    if (endsProbe) this.#joined?.scopes.probeEnded(scope);
    this.#notify(scope);
  }

  /** Merges every record of the store, then publishes what the store lacks. */
  async #syncOnce(): Promise<void> {
    const stored = new Map<string, string>();
    for await (const batch of this.#store.all()) {
      for (const named of batch) {
        stored.set(named.name, named.record);
        this.#mergeNamed(named);
      }
    }
    for (const scope of this.#joined?.scopes.all() ?? []) {
      if (!hasRecord(scope)) continue;
      const { name, record } = this.#recordOf(scope);
      if (!isSameRecord(stored.get(name), record)) this.#publisher.add(scope);
    }
    for (const provider of this.#providers) this.#joined?.listener.opened(provider);
    await this.#publisher.flush();
  }

  #mergeNamed(named: NamedRecord): void {
    const scope = this.#scopeOf(named);
    if (scope !== null) this.#merge(scope, named.record);
  }

  /** @returns whether anything about the scope has changed */
  #merge(scope: Scope, record: string): boolean {
    const { clock, cooldownMs } = this.#options;
    const limits = { clockOffset: this.#store.clockOffset(), now: clock.now(), cooldownMs };
    const known = readRecord(record, limits);
    if (known === null) this.#counts.unreadable += 1;
    const isNew = known !== null && this.#joined?.scopes.merge(scope, known) === true;
    if (isNew) {
      this.#counts.merged += 1;
      this.#publisher.addIfUnderWay(scope);
    }
    return isNew;
  }

  #quotaOf(name: string): Quota | null {
    const scope = this.#scopeOf({ name });
    return scope === null ? null : (this.#joined?.quotas.find(scope) ?? null);
  }

  #scopeOf({ name }: Pick<NamedRecord, 'name'>): Scope | null {
    const subject = this.#names.subjectOf(name);
    return subject === null ? null : (this.#joined?.scopes.find(subject) ?? null);
  }

  #updateOf(scope: Scope): RecordUpdate {
    this.#counts.published += 1;
    const { health, subject } = scope;
    const needsAction = health.state !== 'ready' && health.finding.effect === 'needs_action';
    const isLasting = needsAction || subject?.kind === 'operator';
    return {
      ...this.#recordOf(scope),
      endsProbe: !holdsProbe(scope) && !this.#claims.isAskedFor(scope),
      keepMs: isLasting ? WEEK_MS : this.#options.cooldownMs,
    };
  }

  #recordOf({ subject, sharedHealth: known }: Scope): NamedRecord {
    const name = subject === null ? '' : this.#names.nameOf(subject);
    return { name, record: writeRecord(known, this.#store.clockOffset()) };
  }

  #notify({ subject, health }: Scope): void {
    if (subject === null) return;
    if (health.state === 'ready') this.#joined?.listener.opened(subject.provider);
    else this.#joined?.listener.changed(subject.provider);
  }
}

const hasRecord = ({ sharedHealth: known }: Scope) => known.openedAt > 0 || known.found !== null;

/** What needs action is kept long after its time: the action may come days later. */
const WEEK_MS = 7 * 86_400_000;

/**
 * Joins calls of `run`. Calls during a run share one further run, so that each call resolves after a run that began after
 * it. A run that rejects rejects the calls that wait for it.
 */
function coalesce(run: () => Promise<void>): () => Promise<void> {
  let isStale = false;
  let running: Promise<void> | null = null;

  async function runUntilFresh(): Promise<void> {
    try {
      while (isStale) {
        isStale = false;
        await run();
      }
    } finally {
      // In the same turn as the last look at `isStale`: a later call must begin another run.
      running = null;
    }
  }

  return () => {
    isStale = true;
    running ??= runUntilFresh();
    return running;
  };
}
