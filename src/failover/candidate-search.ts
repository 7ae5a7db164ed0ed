import { earliest } from '../pool/candidate-set.ts';
import type { KeyPool, LeaseOptions } from '../pool/key-pool.ts';
import type { Lease, Parked } from '../pool/lease.ts';
import type { Reach } from '../pool/scope.ts';
import { type Verdict, verdictOf } from '../pool/verdicts.ts';
import type { ApiKey } from '../shared/api-key.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import { PLAIN, type RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';

/** So many upstream failures of one request end the search of a target: the model counts as overloaded. */
const MAX_UPSTREAM_FAILURES = 3;
/** So many projects in a row that refuse a special request alike end it: the others would refuse it too. */
const MAX_ALIKE = 3;
/** So many refusals of a special request and upstream failures together end the search of a target. */
const MAX_FRUITLESS = 4;

/** What one request has tried of one target. */
interface Tried {
  readonly target: Target;
  /** Each key is tried once. */
  readonly keys: Set<string>;
  /** Keys that failed without being parked: the pool would offer them again at once. */
  readonly notParked: Set<string>;
  readonly withoutModel: Set<string>;
  /** Projects that refused what is special about the request. */
  readonly refusedBy: Set<string>;
  upstreamFailures: number;
  fruitless: number;
  /** The last refusals in a row of what is special about the request. */
  alike: { readonly what: string; readonly times: number };
}

/** A lease that failed. */
interface FailedLease {
  readonly target: Target;
  readonly key: Pick<ApiKey, 'id' | 'project'>;
}

export interface SearchOptions {
  /** In the order of preference: the next one is used when those before have no key left. */
  readonly targets: readonly [Target, ...Target[]];
  /** Whether a key can serve the request at all. Asked anew for each attempt. Default: any. */
  readonly only?: ((key: ApiKey) => boolean) | undefined;
  /** The id of the key to try first, if it may be leased. */
  readonly preferred?: string;
  /** Default: `whole`. */
  readonly reach?: Reach;
  /** What a provider may refuse about the request. Called once at most. Default: plain. */
  readonly shape?: () => RequestShape;
}

/** Finds the keys for one request: each eligible one once for a target, then those of the next target. */
export class CandidateSearch {
  readonly #pool: KeyPool;
  readonly #options: SearchOptions;
  readonly #choice: LeaseOptions & { readonly shape: () => RequestShape };
  /** Null until something was tried. */
  #tried: readonly Tried[] | null = null;
  #shape: RequestShape | null = null;
  #cacheKey: string | null = null;
  /** Of all targets together. */
  #upstreamFailures = 0;
  #hasTimedOutTwice = false;
  /** A key without enough tokens left was asked: the others would refuse too. */
  #fitsNowhere = false;

  constructor(pool: KeyPool, options: SearchOptions) {
    const { only, reach, shape = PLAIN } = options;
    this.#pool = pool;
    this.#options = options;
    this.#choice = {
      only,
      reach,
      shape: () => {
        this.#shape ??= shape();
        return this.#shape;
      },
    };
  }

  /** Leases the next key that was not tried yet. */
  next(): Lease | null {
    const { targets, preferred } = this.#options;
    if (this.#tried !== null || preferred !== undefined) {
      return this.#leasePreferred() ?? this.#leaseSurest() ?? this.#lease(untried);
    }
    for (const target of targets) {
      const lease = this.#pool.lease(target, this.#choice);
      if (lease !== null) return lease;
    }
    return null;
  }

  /**
   * For a request that has waited: leases also a key that was tried before and has returned since.
   *
   * @param isWanted whether a key for this target is wanted. Default: for any
   */
  nextReturned(
    isWanted: (target: Target) => boolean = () => true,
    plainProbesFirst = false,
  ): Lease | null {
    return this.#lease(returned, isWanted, plainProbesFirst);
  }

  /** Leases a second key for the target of an attempt that is slow. */
  hedge({ target, key }: FailedLease): Lease | null {
    const tried = this.#open().find((one) => one.target === target);
    if (tried === undefined) return null;
    const except = new Set([...tried.keys, key.id]);
    return this.#pool.lease(target, { ...this.#choose(untried, tried), except, among: 'fast' });
  }

  /** Whether `nextReturned` would lease one. */
  hasReturned(): boolean {
    return this.#has(returned);
  }

  /** The targets for which `nextReturned` could lease a key. */
  returnedTargets(): readonly Target[] {
    return this.#open()
      .filter((tried) => this.#pool.hasLease(tried.target, this.#choose(returned, tried)))
      .map(({ target }) => target);
  }

  /** Leases an ejected key, or one that seems to have no quota left. */
  lastResort(): Lease | null {
    return this.#lease(ejected);
  }

  /** Whether there is anything left to try at once. */
  hasMore(): boolean {
    return this.#has(untried) || this.#has(ejected);
  }

  verdictOf(failure: Failure): Verdict {
    return verdictOf(failure, this.#choice.shape);
  }

  failed({ target, key }: FailedLease, failure: Failure, parked: Parked | null): void {
    const tried = this.#all().find((one) => one.target === target);
    if (tried === undefined) return;
    this.#cacheKey = null;
    tried.keys.add(key.id);
    if (parked === null) tried.notParked.add(key.id);
    if (LACKING.has(failure.kind)) tried.withoutModel.add(key.id);
    if (failure.kind === 'upstream_down') this.#countUpstreamFailure(tried, failure.timedOut);
    if (failure.kind === 'rate_limited' && parked === null) this.#fitsNowhere = true;
    const isRefused = this.verdictOf(failure).request === 'next_project';
    // What another key has answered is refused for the sake of this one.
    const isOfRequest = isRefused && !this.#pool.isAnswered(target, this.#choice.shape());
    tried.alike = isOfRequest ? oneMore(tried.alike, failure) : NONE_ALIKE;
    if (!isRefused) return;
    tried.refusedBy.add(key.project);
    tried.fruitless += 1;
  }

  /** A timeout starts no third attempt: it has used up its time already, and a paid call. */
  #countUpstreamFailure(tried: Tried, timedOut: boolean): void {
    tried.upstreamFailures += 1;
    tried.fruitless += 1;
    this.#upstreamFailures += 1;
    this.#hasTimedOutTwice = timedOut && this.#upstreamFailures > 1;
  }

  /** Equal for searches with the same answers of `nextReturned`, `returnsAt` and `nextDueAt`. */
  get cacheKey(): unknown {
    const open = this.#open();
    if (this.#choice.only !== undefined || open.some(({ refusedBy }) => refusedBy.size > 0)) {
      return this;
    }
    this.#cacheKey ??= open
      .map(({ target, notParked }) => [target.provider, target.label, ...notParked].join(' '))
      .join('|');
    const shapes = open.map(({ target }) => this.#pool.shapeKey(target, this.#choice.shape));
    return shapes.every((shape) => shape === '') ? this.#cacheKey : this.#cacheKey + shapes;
  }

  /** When the first key returns that this request could use: `now` or later, null for never. */
  returnsAt(): number | null {
    return earliest(
      this.#open().map((tried) =>
        this.#pool.returnsAt(tried.target, this.#choose(returned, tried)),
      ),
    );
  }

  /** When time alone next changes anything, whatever probes are under way; null for never. */
  nextDueAt(): number | null {
    return earliest(this.#open().map(({ target }) => this.#pool.nextDueAt(target)));
  }

  /** Whether other instances are being asked for a probe. */
  isAsking(): boolean {
    return this.#open().some(({ target }) => this.#pool.isAsking(target));
  }

  /** When to ask again, whatever this request has tried; null for never. */
  retryAt(): number | null {
    return earliest(
      this.#options.targets.map((target) => this.#pool.retryAt(target, this.#choice)),
    );
  }

  /** The largest limit on input tokens, if the request is larger than that of every key for every target. */
  exceededTokenLimit(): number | null {
    const limits = this.#all().map(({ target }) =>
      this.#pool.exceededTokenLimit(target, this.#choice),
    );
    const known = limits.filter((limit) => limit !== null);
    return known.length > 0 && known.length === limits.length ? Math.max(...known) : null;
  }

  /** Whether anything in the request may be the reason for a refusal. */
  get isSpecial(): boolean {
    return this.#choice.shape().features.length > 0;
  }

  /** Whether every key lacks the model of every target. */
  isModelUnavailable(): boolean {
    return this.#all().every(({ target, withoutModel }) => {
      const { only } = this.#choice;
      return this.#pool.isModelUnavailable(target, { except: withoutModel, only });
    });
  }

  #open(): readonly Tried[] {
    if (this.#hasTimedOutTwice) return [];
    return this.#all().filter(
      ({ upstreamFailures, fruitless, alike }) =>
        upstreamFailures < MAX_UPSTREAM_FAILURES &&
        fruitless < MAX_FRUITLESS &&
        alike.times < MAX_ALIKE,
    );
  }

  #all(): readonly Tried[] {
    this.#tried ??= this.#options.targets.map(toUntried);
    return this.#tried;
  }

  #leasePreferred(): Lease | null {
    const { preferred: id } = this.#options;
    const tried = this.#open().find(({ keys }) => id !== undefined && !keys.has(id));
    if (tried === undefined) return null;
    const only = (key: ApiKey) => key.id === id && (this.#choice.only?.(key) ?? true);
    return this.#pool.lease(tried.target, { ...this.#choice, only });
  }

  /** After an upstream failure a key that has just answered is the surest. */
  #leaseSurest(): Lease | null {
    return this.#upstreamFailures > 0 ? this.#lease(fast) : null;
  }

  #choose(select: Selection, tried: Tried): LeaseOptions {
    const { refusedBy } = tried;
    const chosen = { ...this.#choice, ...select(tried), mustFit: this.#fitsNowhere };
    if (refusedBy.size === 0) return chosen;
    const { only } = this.#choice;
    return {
      ...chosen,
      only: (key) => !refusedBy.has(key.project) && (only === undefined || only(key)),
    };
  }

  #lease(
    select: Selection,
    isWanted: (target: Target) => boolean = () => true,
    plainProbesFirst = false,
  ): Lease | null {
    for (const tried of this.#open()) {
      if (!isWanted(tried.target)) continue;
      const lease = this.#pool.lease(tried.target, {
        ...this.#choose(select, tried),
        plainProbesFirst,
      });
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

const toUntried = (target: Target): Tried => ({
  target,
  keys: new Set(),
  notParked: new Set(),
  withoutModel: new Set(),
  refusedBy: new Set(),
  upstreamFailures: 0,
  fruitless: 0,
  alike: NONE_ALIKE,
});

const LACKING: ReadonlySet<FailureKind> = new Set(['model_unavailable', 'not_owned']);

const NONE_ALIKE = { what: '', times: 0 };

function oneMore(before: Tried['alike'], { kind, status }: Failure): Tried['alike'] {
  const what = `${kind} ${status}`;
  return { what, times: before.what === what ? before.times + 1 : 1 };
}

/** Which keys of a target one request may lease, by what it has tried. */
type Selection = (tried: Tried) => LeaseOptions;

const untried: Selection = ({ keys }) => ({ except: keys });
const fast: Selection = ({ keys }) => ({ except: keys, among: 'fast' });
const returned: Selection = ({ notParked }) => ({ except: notParked });
const ejected: Selection = ({ keys }) => ({ except: keys, among: 'last_resort' });
