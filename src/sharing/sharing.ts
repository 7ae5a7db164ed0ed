import type { Knowledge } from '../pool/knowledge.ts';
import type { Peers } from '../pool/peers.ts';
import type { Scope } from '../pool/scope.ts';
import { type ApiKey, SERVICES, type Service } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Exchange, Named, News, Report } from './exchange.ts';
import { isSameRecord } from './merge-records.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { outlives } from './outlives.ts';
import { createScopeNames, type ScopeNames } from './scope-names.ts';
import { type RecordLimits, readRecord, writeRecord } from './scope-record.ts';
import { createProbeClaims, type ProbeClaims } from './trials.ts';

export interface SharingOptions {
  readonly exchange: Exchange;
  readonly keys: readonly ApiKey[];
  readonly cooldownMs: number;
  readonly clock: Clock;
}

/** Whom news may concern. */
export interface Waiting {
  /** A key of the service has come back. */
  opened(service: Service): void;
  /** Something else is different now. */
  changed(service: Service): void;
}

export interface SharingCounts {
  /** Scopes that were told of, and scopes of which others had something new to tell. */
  readonly told: number;
  readonly learnt: number;
  /** Records that could not be read. */
  readonly unread: number;
  /** Scopes that still wait to be told of. */
  readonly backlog: number;
}

/** Keeps what a pool knows and what the other processes know the same. */
export class Sharing {
  /** For the pool that joins. */
  readonly peers: Peers;
  readonly #options: SharingOptions;
  readonly #exchange: Exchange;
  readonly #names: ScopeNames;
  readonly #outbox: Outbox;
  readonly #trials: ProbeClaims;
  #joined: { readonly knowledge: Knowledge; readonly waiting: Waiting } | null = null;
  #syncing: Promise<void> | null = null;
  #isStale = false;
  #started: () => void = () => {};
  #told = 0;
  #learnt = 0;
  #unread = 0;

  constructor(options: SharingOptions) {
    const { exchange, keys } = options;
    this.#options = options;
    this.#exchange = exchange;
    this.#names = createScopeNames(keys);
    this.#outbox = createOutbox({
      exchange,
      reportOf: (scope) => this.#reportOf(scope),
      answered: (scope, record) => this.#wakeIf(this.#learn(scope, record), scope),
    });
    this.#trials = createProbeClaims({
      ...options,
      outbox: this.#outbox,
      namedOf: (scope) => this.#namedOf(scope),
      learn: (named) => this.#learnNamed(named),
      wake: (scope) => this.#wake(scope),
    });
    this.peers = {
      found: (scope) => this.#outbox.add(scope),
      ask: (trial) => this.#trials.ask(trial),
    };
  }

  get counts(): SharingCounts {
    const [told, learnt, unread] = [this.#told, this.#learnt, this.#unread];
    return { told, learnt, unread, backlog: this.#outbox.size };
  }

  /**
   * From now on news goes both ways.
   *
   * @returns resolves once what is there is known here, or the exchange cannot be had
   */
  join(knowledge: Knowledge, waiting: Waiting): Promise<void> {
    this.#joined = { knowledge, waiting };
    return new Promise((resolve) => {
      this.#started = resolve;
      this.#exchange.listen({
        heard: (news) => this.#heard(news),
        arrived: () => this.#sync(),
        failed: resolve,
      });
    });
  }

  /** Tells what still waits to be told, as far as the exchange takes it at once. */
  async stop(): Promise<void> {
    this.#trials.stop();
    await this.#outbox.flush();
  }

  #heard({ isTrialOver, ...named }: News): void {
    const scope = this.#scopeOf(named);
    if (scope === null) return;
    this.#learn(scope, named.record);
    if (isTrialOver) this.#joined?.knowledge.probeOver(scope);
    this.#wake(scope);
  }

  /** What each side knows the other may not: first takes what is there, then tells what is not. */
  #sync(): void {
    this.#isStale = true;
    this.#syncing ??= this.#syncUntilFresh().finally(() => {
      this.#syncing = null;
    });
  }

  async #syncUntilFresh(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      // Where it breaks off, the exchange says so and arrives again.
      await this.#syncOnce().catch(() => {});
    }
    this.#started();
  }

  async #syncOnce(): Promise<void> {
    const there = new Map<string, string>();
    for await (const some of this.#exchange.all()) {
      for (const named of some) {
        there.set(named.name, named.record);
        this.#learnNamed(named);
      }
    }
    for (const scope of this.#joined?.knowledge.all() ?? []) {
      if (!isKnown(scope)) continue;
      const { name, record } = this.#namedOf(scope);
      if (!isSameRecord(there.get(name), record)) this.#outbox.add(scope);
    }
    for (const service of SERVICES) this.#joined?.waiting.opened(service);
    await this.#outbox.flush();
  }

  #learnNamed(named: Named): void {
    const scope = this.#scopeOf(named);
    if (scope !== null) this.#learn(scope, named.record);
  }

  #learn(scope: Scope, record: string): boolean {
    const known = readRecord(record, this.#limits());
    if (known === null) this.#unread += 1;
    const isNews = known !== null && this.#joined?.knowledge.learn(scope, known) === true;
    if (isNews) this.#learnt += 1;
    return isNews;
  }

  #limits(): RecordLimits {
    const { clock, cooldownMs } = this.#options;
    return { clockAhead: this.#exchange.clockAhead(), now: clock.now(), cooldownMs };
  }

  #scopeOf({ name }: Named): Scope | null {
    const subject = this.#names.subjectOf(name);
    return subject === null ? null : (this.#joined?.knowledge.find(subject) ?? null);
  }

  #reportOf(scope: Scope): Report {
    this.#told += 1;
    const { health, permit } = scope;
    return {
      ...this.#namedOf(scope),
      frees: health.state !== 'half_open' && permit === null && !this.#trials.isAskedFor(scope),
      outlivesMs: outlives(scope, this.#options.cooldownMs),
    };
  }

  #namedOf(scope: Scope): Named {
    const name = scope.subject === null ? '' : this.#names.nameOf(scope.subject);
    return { name, record: writeRecord(scope.known, this.#exchange.clockAhead()) };
  }

  #wakeIf(isNews: boolean, scope: Scope): void {
    if (isNews) this.#wake(scope);
  }

  #wake({ subject, health }: Scope): void {
    if (subject === null) return;
    if (health.state === 'ready') this.#joined?.waiting.opened(subject.service);
    else this.#joined?.waiting.changed(subject.service);
  }
}

const isKnown = ({ known }: Scope) => known.openedAt > 0 || known.found !== null;
