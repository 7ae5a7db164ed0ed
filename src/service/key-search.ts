import type { Reach } from '../pool/health.ts';
import type { KeyPool, LeaseOptions } from '../pool/key-pool.ts';
import type { Lease } from '../pool/lease.ts';
import type { ApiKey, Service } from '../shared/api-key.ts';
import type { Failure } from '../shared/failure.ts';

/** After this many attempts of one request have met upstream trouble, the model counts as overloaded. */
const MAX_TROUBLES = 3;

/** What one request has tried of one model. */
interface Tried {
  readonly model: string;
  /** Every key is tried once. */
  readonly keys: Set<string>;
  /** Keys that failed without being parked: the pool would offer them again at once. */
  readonly notParked: Set<string>;
  readonly withoutModel: Set<string>;
  troubles: number;
}

/** What a search has to know of a lease that failed. */
interface LeasedKey {
  readonly model: string;
  readonly key: { readonly id: string };
}

/** What is looked for. */
export interface Wanted {
  readonly service: Service;
  readonly models: readonly string[];
  /** Whether a key can serve the request at all; without it, any. */
  readonly only?: (key: ApiKey) => boolean;
  /** The id of the key that is tried first, if it may be used. */
  readonly preferred?: string;
  readonly reach?: Reach;
}

/** One request's way through the keys: each eligible one once for a model, then the next model. */
export class KeySearch {
  readonly service: Service;
  readonly #pool: KeyPool;
  readonly #tried: readonly Tried[];
  readonly #only: Pick<Wanted, 'only'>;
  readonly #options: Pick<Wanted, 'only' | 'reach'>;
  readonly #preferred: string | null;
  #question: string | null = null;

  constructor(pool: KeyPool, { service, models, only, preferred, reach }: Wanted) {
    this.#pool = pool;
    this.service = service;
    this.#only = only === undefined ? {} : { only };
    this.#options = reach === undefined ? this.#only : { ...this.#only, reach };
    this.#preferred = preferred ?? null;
    this.#tried = models.map((model) => ({
      model,
      keys: new Set(),
      notParked: new Set(),
      withoutModel: new Set(),
      troubles: 0,
    }));
  }

  /** The next key that was not tried yet. */
  next(): Lease | null {
    return this.#leasePreferred() ?? this.#lease(untried);
  }

  /**
   * For a request that has waited: also a key that was tried before and has come back since.
   *
   * @param isWanted whether a key of this model is wanted just now
   */
  nextReturned(isWanted: (model: string) => boolean = () => true): Lease | null {
    return this.#lease(returned, isWanted);
  }

  /** Whether `nextReturned` would find one. */
  hasReturned(): boolean {
    return this.#has(returned);
  }

  /** The models of which `nextReturned` could give a key. */
  returnedModels(): readonly string[] {
    return this.#open()
      .filter((tried) =>
        this.#pool.hasLease(this.service, tried.model, this.#choose(returned, tried)),
      )
      .map(({ model }) => model);
  }

  /** A key that rests: suspected, but better than a refusal. */
  lastResort(): Lease | null {
    return this.#lease(resting);
  }

  /** Whether there is anything left to try at once. */
  hasMore(): boolean {
    return this.#has(untried) || this.#has(resting);
  }

  failed(lease: LeasedKey, failure: Failure, isParked: boolean): void {
    const tried = this.#tried.find(({ model }) => model === lease.model);
    if (tried === undefined) return;
    this.#question = null;
    const { id } = lease.key;
    tried.keys.add(id);
    if (!isParked) tried.notParked.add(id);
    if (failure.kind === 'model_unavailable') tried.withoutModel.add(id);
    if (failure.kind === 'upstream_down') tried.troubles += 1;
  }

  /** Two searches with one question get the same answers of `nextReturned`, `returnsAt` and `nextDueAt`. */
  get question(): unknown {
    // Nobody else asks quite the same.
    if (this.#only.only !== undefined) return this;
    this.#question ??= this.#open()
      .map(({ model, notParked }) => [model, ...notParked].join(' '))
      .join('|');
    return this.#question;
  }

  /** When the first key comes back that this request could use: `now` or later, null for never. */
  returnsAt(): number | null {
    return this.#earliest(({ model, notParked }) =>
      this.#pool.returnsAt(this.service, model, { ...this.#only, except: notParked }),
    );
  }

  /** When time alone next brings a key back, whatever trials are in flight; null for never. */
  nextDueAt(): number | null {
    return this.#earliest(({ model }) => this.#pool.nextDueAt(this.service, model));
  }

  /** Whether it will be known in a moment that a key may be tried. */
  isAsking(): boolean {
    return this.#open().some(({ model }) => this.#pool.isAsking(this.service, model));
  }

  /** When to ask again, whatever this request has tried; null for never. */
  retryAt(): number | null {
    return soonest(
      this.#tried.map(({ model }) => this.#pool.retryAt(this.service, model, this.#only)),
    );
  }

  /** Whether every key lacks every model that was asked for. */
  isModelUnavailable(): boolean {
    return this.#tried.every(({ model, withoutModel }) =>
      this.#pool.isModelUnavailable(this.service, model, { ...this.#only, except: withoutModel }),
    );
  }

  #earliest(timeFor: (tried: Tried) => number | null): number | null {
    return soonest(this.#open().map(timeFor));
  }

  #open(): readonly Tried[] {
    return this.#tried.filter(({ troubles }) => troubles < MAX_TROUBLES);
  }

  /** Once: what it finds decides whether the key is still among the untried. */
  #leasePreferred(): Lease | null {
    const id = this.#preferred;
    const tried = this.#open().find(({ keys }) => id !== null && !keys.has(id));
    if (tried === undefined) return null;
    const only = (key: ApiKey) => key.id === id && (this.#only.only?.(key) ?? true);
    return this.#pool.lease(this.service, tried.model, { ...this.#options, only });
  }

  #choose(select: Selection, tried: Tried): LeaseOptions {
    return { ...this.#options, ...select(tried) };
  }

  #lease(select: Selection, isWanted: (model: string) => boolean = () => true): Lease | null {
    for (const tried of this.#open()) {
      if (!isWanted(tried.model)) continue;
      const lease = this.#pool.lease(this.service, tried.model, this.#choose(select, tried));
      if (lease !== null) return lease;
    }
    return null;
  }

  #has(select: Selection): boolean {
    return this.#open().some((tried) =>
      this.#pool.hasLease(this.service, tried.model, this.#choose(select, tried)),
    );
  }
}

/** Which keys of a model one request may have, by what it has tried of it. */
type Selection = (tried: Tried) => LeaseOptions;

function soonest(times: readonly (number | null)[]): number | null {
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}

const untried: Selection = ({ keys }) => ({ except: keys });
const returned: Selection = ({ notParked }) => ({ except: notParked });
const resting: Selection = ({ keys }) => ({ except: keys, lastResort: true });
