import type { KeyPool, LeaseOptions } from '../pool/key-pool.ts';
import type { Lease, Parked } from '../pool/lease.ts';
import type { Reach } from '../pool/scope.ts';
import { type Verdict, verdictOf } from '../pool/verdicts.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import { PLAIN, type RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';

/** After this many attempts of one request have met upstream trouble, the model counts as overloaded. */
const MAX_TROUBLES = 3;
/** So many projects in a row that refuse a special request alike speak for all, of one target. */
const MAX_ALIKE = 3;
/** The most calls of one target that may fail for the sake of the request or of upstream. */
const MAX_FRUITLESS = 4;

/** What one request has tried of one target. */
interface Tried {
  readonly target: Target;
  /** Every key is tried once. */
  readonly keys: Set<string>;
  /** Keys that failed without being parked: the pool would offer them again at once. */
  readonly notParked: Set<string>;
  readonly withoutModel: Set<string>;
  /** Projects that have refused for the sake of the request. */
  readonly refusedBy: Set<string>;
  troubles: number;
  fruitless: number;
  /** The last refusals in a row for the sake of the request. */
  alike: { readonly what: string; readonly times: number };
}

/** What a search has to know of a lease that failed. */
interface LeasedKey {
  readonly target: Target;
  readonly key: Pick<ApiKey, 'id' | 'project'>;
}

/** What is looked for. */
export interface Wanted {
  readonly targets: readonly [Target, ...Target[]];
  /** Whether a key can serve the request at all; without it, any. */
  readonly only?: (key: ApiKey) => boolean;
  /** The id of the key that is tried first, if it may be used. */
  readonly preferred?: string;
  readonly reach?: Reach;
  readonly shape?: () => RequestShape;
}

/** One request's way through the keys: each eligible one once for a target, then the next target. */
export class CandidateSearch {
  /** The first target's. */
  readonly provider: ProviderName;
  readonly #pool: KeyPool;
  readonly #tried: readonly Tried[];
  readonly #only: Pick<Wanted, 'only'>;
  readonly #options: Pick<Wanted, 'only' | 'reach'> & { readonly shape: () => RequestShape };
  readonly #preferred: string | null;
  #question: string | null = null;
  /** Calls of any model that met upstream trouble. */
  #troubles = 0;
  #isTooSlow = false;

  constructor(pool: KeyPool, { targets, only, preferred, reach, shape = PLAIN }: Wanted) {
    this.#pool = pool;
    this.provider = targets[0].provider;
    this.#only = only === undefined ? {} : { only };
    let known: RequestShape | null = null;
    const shapeOnce = () => {
      known ??= shape();
      return known;
    };
    this.#options = {
      ...this.#only,
      ...(reach === undefined ? {} : { reach }),
      shape: shapeOnce,
    };
    this.#preferred = preferred ?? null;
    this.#tried = targets.map((target) => ({
      target,
      keys: new Set(),
      notParked: new Set(),
      withoutModel: new Set(),
      refusedBy: new Set(),
      troubles: 0,
      fruitless: 0,
      alike: NONE_ALIKE,
    }));
  }

  /** The next key that was not tried yet. */
  next(): Lease | null {
    return this.#leasePreferred() ?? this.#lease(untried);
  }

  /**
   * For a request that has waited: also a key that was tried before and has come back since.
   *
   * @param isWanted whether a key of this target is wanted just now
   */
  nextReturned(isWanted: (target: Target) => boolean = () => true): Lease | null {
    return this.#lease(returned, isWanted);
  }

  /** Whether `nextReturned` would find one. */
  hasReturned(): boolean {
    return this.#has(returned);
  }

  /** The targets of which `nextReturned` could give a key. */
  returnedTargets(): readonly Target[] {
    return this.#open()
      .filter((tried) => this.#pool.hasLease(tried.target, this.#choose(returned, tried)))
      .map(({ target }) => target);
  }

  /** A key that rests: suspected, but better than a refusal. */
  lastResort(): Lease | null {
    return this.#lease(resting);
  }

  /** Whether there is anything left to try at once. */
  hasMore(): boolean {
    return this.#has(untried) || this.#has(resting);
  }

  verdictOf(failure: Failure): Verdict {
    return verdictOf(failure, this.#options.shape);
  }

  failed(lease: LeasedKey, failure: Failure, parked: Parked | null): void {
    const tried = this.#tried.find(({ target }) => target === lease.target);
    if (tried === undefined) return;
    this.#question = null;
    const { id, project } = lease.key;
    tried.keys.add(id);
    if (parked === null) tried.notParked.add(id);
    if (LACKING.has(failure.kind)) tried.withoutModel.add(id);
    if (failure.kind === 'upstream_down') this.#metTrouble(tried, failure.timedOut);
    const isRefused = this.verdictOf(failure).request === 'next_project';
    tried.alike = isRefused ? oneMore(tried.alike, failure) : NONE_ALIKE;
    if (!isRefused) return;
    tried.refusedBy.add(project);
    tried.fruitless += 1;
  }

  /** A timeout starts no third attempt: it has cost its time already, and a paid call. */
  #metTrouble(tried: Tried, timedOut: boolean): void {
    tried.troubles += 1;
    tried.fruitless += 1;
    this.#troubles += 1;
    this.#isTooSlow = timedOut && this.#troubles > 1;
  }

  /** Two searches with one question get the same answers of `nextReturned`, `returnsAt` and `nextDueAt`. */
  get question(): unknown {
    // Nobody else asks quite the same.
    if (this.#only.only !== undefined || this.#open().some(this.#isOfItsOwn)) return this;
    this.#question ??= this.#open()
      .map(({ target, notParked }) => [target.provider, target.label, ...notParked].join(' '))
      .join('|');
    return this.#question;
  }

  readonly #isOfItsOwn = ({ target, refusedBy }: Tried): boolean =>
    refusedBy.size > 0 ||
    (this.#pool.parksFeatures(target) && this.#options.shape().feature !== null);

  /** When the first key comes back that this request could use: `now` or later, null for never. */
  returnsAt(): number | null {
    return this.#earliest((tried) =>
      this.#pool.returnsAt(tried.target, this.#choose(returned, tried)),
    );
  }

  /** When time alone next brings a key back, whatever trials are in flight; null for never. */
  nextDueAt(): number | null {
    return this.#earliest(({ target }) => this.#pool.nextDueAt(target));
  }

  /** Whether it will be known in a moment that a key may be tried. */
  isAsking(): boolean {
    return this.#open().some(({ target }) => this.#pool.isAsking(target));
  }

  /** When to ask again, whatever this request has tried; null for never. */
  retryAt(): number | null {
    return soonest(this.#tried.map(({ target }) => this.#pool.retryAt(target, this.#options)));
  }

  /** Whether every key lacks the model of every target. */
  isModelUnavailable(): boolean {
    return this.#tried.every(({ target, withoutModel }) =>
      this.#pool.isModelUnavailable(target, { ...this.#only, except: withoutModel }),
    );
  }

  #earliest(timeFor: (tried: Tried) => number | null): number | null {
    return soonest(this.#open().map(timeFor));
  }

  #open(): readonly Tried[] {
    if (this.#isTooSlow) return [];
    return this.#tried.filter(
      ({ troubles, fruitless, alike }) =>
        troubles < MAX_TROUBLES && fruitless < MAX_FRUITLESS && alike.times < MAX_ALIKE,
    );
  }

  /** Once: what it finds decides whether the key is still among the untried. */
  #leasePreferred(): Lease | null {
    const id = this.#preferred;
    const tried = this.#open().find(({ keys }) => id !== null && !keys.has(id));
    if (tried === undefined) return null;
    const only = (key: ApiKey) => key.id === id && (this.#only.only?.(key) ?? true);
    return this.#pool.lease(tried.target, { ...this.#options, only });
  }

  #choose(select: Selection, tried: Tried): LeaseOptions {
    const { refusedBy } = tried;
    const chosen = { ...this.#options, ...select(tried) };
    if (refusedBy.size === 0) return chosen;
    const { only } = this.#only;
    return {
      ...chosen,
      only: (key) => !refusedBy.has(key.project) && (only === undefined || only(key)),
    };
  }

  #lease(select: Selection, isWanted: (target: Target) => boolean = () => true): Lease | null {
    for (const tried of this.#open()) {
      if (!isWanted(tried.target)) continue;
      const lease = this.#pool.lease(tried.target, this.#choose(select, tried));
      if (lease !== null) return lease;
    }
    return null;
  }

  #has(select: Selection): boolean {
    return this.#open().some((tried) =>
      this.#pool.hasLease(tried.target, this.#choose(select, tried)),
    );
  }
}

const LACKING: ReadonlySet<FailureKind> = new Set(['model_unavailable', 'not_owned']);

const NONE_ALIKE = { what: '', times: 0 };

function oneMore(before: Tried['alike'], { kind, status }: Failure): Tried['alike'] {
  const what = `${kind} ${status}`;
  return { what, times: before.what === what ? before.times + 1 : 1 };
}

/** Which keys of a target one request may have, by what it has tried of it. */
type Selection = (tried: Tried) => LeaseOptions;

function soonest(times: readonly (number | null)[]): number | null {
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}

const untried: Selection = ({ keys }) => ({ except: keys });
const returned: Selection = ({ notParked }) => ({ except: notParked });
const resting: Selection = ({ keys }) => ({ except: keys, lastResort: true });
