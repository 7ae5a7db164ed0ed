import type { KeyPool, LeaseOptions } from '../pool/key-pool.ts';
import type { Lease } from '../pool/lease.ts';
import type { Service } from '../shared/api-key.ts';
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

/** One request's way through the keys: each eligible one once for a model, then the next model. */
export class KeySearch {
  readonly service: Service;
  readonly #pool: KeyPool;
  readonly #tried: readonly Tried[];
  #question: string | null = null;

  constructor(pool: KeyPool, service: Service, models: readonly string[]) {
    this.#pool = pool;
    this.service = service;
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
    return this.#lease(untried);
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
      .filter((tried) => this.#pool.hasLease(this.service, tried.model, returned(tried)))
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
  get question(): string {
    this.#question ??= this.#open()
      .map(({ model, notParked }) => [model, ...notParked].join(' '))
      .join('|');
    return this.#question;
  }

  /** When the first key comes back that this request could use: `now` or later, null for never. */
  returnsAt(): number | null {
    return this.#earliest(({ model, notParked }) =>
      this.#pool.returnsAt(this.service, model, notParked),
    );
  }

  /** When time alone next brings a key back, whatever trials are in flight; null for never. */
  nextDueAt(): number | null {
    return this.#earliest(({ model }) => this.#pool.nextDueAt(this.service, model));
  }

  /** When to ask again, whatever this request has tried; null for never. */
  retryAt(): number | null {
    return soonest(this.#tried.map(({ model }) => this.#pool.retryAt(this.service, model)));
  }

  /** Whether every key lacks every model that was asked for. */
  isModelUnavailable(): boolean {
    return this.#tried.every(({ model, withoutModel }) =>
      this.#pool.isModelUnavailable(this.service, model, withoutModel),
    );
  }

  #earliest(timeFor: (tried: Tried) => number | null): number | null {
    return soonest(this.#open().map(timeFor));
  }

  #open(): readonly Tried[] {
    return this.#tried.filter(({ troubles }) => troubles < MAX_TROUBLES);
  }

  #lease(choice: Choice, isWanted: (model: string) => boolean = () => true): Lease | null {
    for (const tried of this.#open()) {
      if (!isWanted(tried.model)) continue;
      const lease = this.#pool.lease(this.service, tried.model, choice(tried));
      if (lease !== null) return lease;
    }
    return null;
  }

  #has(choice: Choice): boolean {
    return this.#open().some((tried) =>
      this.#pool.hasLease(this.service, tried.model, choice(tried)),
    );
  }
}

/** Which keys of a model one request may have, by what it has tried of it. */
type Choice = (tried: Tried) => LeaseOptions;

function soonest(times: readonly (number | null)[]): number | null {
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}

const untried: Choice = ({ keys }) => ({ except: keys });
const returned: Choice = ({ notParked }) => ({ except: notParked });
const resting: Choice = ({ keys }) => ({ except: keys, lastResort: true });
