import type { ApiKey } from '../shared/api-key.ts';
import type { QuotaLimits } from '../shared/failure.ts';
import { PLAIN, type RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import { Ejection, RecentSuccesses, Slowness } from './ejection.ts';
import type { Capacity } from './fair-share.ts';
import { ParkedFeatures } from './features.ts';
import { isProbed, mustAskFor, probedElsewhereUntil } from './half-open.ts';
import { type Fit, Quota } from './pacing.ts';
import { type Accepts, type DueNode, DueQueue, Ring, type RingNode } from './rotation.ts';
import { nameOf, Scope, type ScopeDependent, type Subject } from './scope.ts';

/** Which keys one request may use. */
export interface Choice {
  /** Ids of keys that must not be chosen. */
  readonly except?: ReadonlySet<string>;
  /** Whether the request can use a key at all. Default: any. */
  readonly only?: ((key: ApiKey) => boolean) | undefined;
  /** Called only where it matters: after a refusal, or while a refusal of features or sizes is known. Default: plain. */
  readonly shape?: () => RequestShape;
  /** Whether plain requests wait for a key, so that a special one must not probe. Default: false. */
  readonly plainProbesFirst?: boolean;
}

export interface CandidateScopes {
  readonly key: Scope;
  readonly project: Scope;
  /** Null where no account is named. */
  readonly billing: Scope | null;
  readonly project_model: Scope;
  readonly key_model: Scope;
  /** Parked by the operator. */
  readonly operator: Scope;
}

/** One key with its candidates for all targets. */
export interface PooledKey {
  readonly key: ApiKey;
  readonly candidates: Candidate[];
  /** Leases that have not ended yet. */
  inFlight: number;
}

/** One key as a candidate for one target. Its scopes decide whether it may be leased. */
export class Candidate implements RingNode<Candidate>, DueNode<Candidate>, ScopeDependent {
  readonly key: ApiKey;
  readonly pooled: PooledKey;
  readonly set: CandidateSet;
  readonly scopes: CandidateScopes;
  readonly allScopes: readonly Scope[];
  readonly ejection = new Ejection();
  readonly slowness = new Slowness();
  /** Shared by the keys of its project. */
  readonly quota: Quota;
  /** A special request has probed it in vain: until then, in milliseconds since the epoch, the next probe is a plain one's. */
  keptForPlainUntil = 0;
  /** Whether all scopes are ready, so that a lease need not look at each. */
  isUntroubled = true;
  /** Leases of it may still end; it is never chosen again. */
  isRemoved = false;
  ring: Ring<Candidate> | null = null;
  next: Candidate = this;
  previous: Candidate = this;
  queue: DueQueue<Candidate> | null = null;
  queueIndex = 0;
  dueAt = 0;

  constructor(pooled: PooledKey, set: CandidateSet, scopes: CandidateScopes, quota: Quota) {
    this.key = pooled.key;
    this.pooled = pooled;
    this.set = set;
    this.scopes = scopes;
    this.quota = quota;
    const { billing, ...others } = scopes;
    this.allScopes = [...Object.values(others), ...(billing === null ? [] : [billing])];
    for (const scope of [...this.allScopes, this.ejection.scope]) scope.dependents.push(this);
  }

  scopeChanged(now: number): void {
    this.set.place(this, now);
  }

  /** Takes it out of its set and its scopes. */
  remove(): void {
    this.isRemoved = true;
    this.set.remove(this);
    for (const scope of this.allScopes) scope.dependents.splice(scope.dependents.indexOf(this), 1);
  }
}

/**
 * The candidates for one target. Each is in the ring, and in the queue, where its health puts it. Time alone
 * takes no candidate out of the rotation, so what is in it may be leased without a look at its scopes.
 */
export class CandidateSet {
  readonly target: Target;
  readonly candidates: Candidate[] = [];
  readonly features = new ParkedFeatures();
  readonly tokens = new TokenEstimates();
  readonly successes = new RecentSuccesses<Candidate>();
  /** Whose quota the target uses, as a refusal has named it; null while that is unknown. */
  quotaModel: string | null = null;
  /** How many requests for probes the other instances have not answered yet. */
  pendingRequests = 0;
  /** Whether requests of different shapes may get different keys. */
  isSelective = false;
  /** Until when a candidate is kept for plain requests: milliseconds since the epoch. */
  keepsForPlainUntil = 0;
  /** Until when a limit on input tokens is known. */
  limitsTokensUntil = 0;
  readonly #random: (() => number) | null;
  readonly #rotation = new Ring<Candidate>();
  readonly #slow = new Ring<Candidate>();
  readonly #paced = new Ring<Candidate>();
  readonly #ejected = new Ring<Candidate>();
  readonly #awaitingOutcome = new Ring<Candidate>();
  readonly #awaitingPermit = new Ring<Candidate>();
  readonly #coolingDown = new DueQueue<Candidate>();
  readonly #needingAction = new DueQueue<Candidate>();
  readonly #endOfEjection = new DueQueue<Candidate>();
  readonly #endOfSlowness = new DueQueue<Candidate>();
  readonly #endOfWindow = new DueQueue<Candidate>();
  readonly #endOfProbeElsewhere = new DueQueue<Candidate>();
  readonly #queues = [
    this.#coolingDown,
    this.#needingAction,
    this.#endOfEjection,
    this.#endOfSlowness,
    this.#endOfWindow,
    this.#endOfProbeElsewhere,
  ] as const;
  /** The earliest of all queues, so that a lease compares one time; `Infinity` for never. */
  #nextDueAt = Number.POSITIVE_INFINITY;

  /** @param random from 0 to 1: the place of a candidate in its ring; null for the end */
  constructor(target: Target, random: (() => number) | null) {
    this.target = target;
    this.#random = random;
  }

  add(candidate: Candidate): void {
    this.candidates.push(candidate);
    this.#rotation.append(candidate);
    this.quotaChanged(candidate.quota);
  }

  remove(candidate: Candidate): void {
    candidate.ring?.remove(candidate);
    candidate.queue?.remove(candidate);
    this.candidates.splice(this.candidates.indexOf(candidate), 1);
  }

  /** Must follow each change of the limits that are known. */
  quotaChanged({ limits }: Quota): void {
    this.limitsTokensUntil = Math.max(this.limitsTokensUntil, limits.get('tpm')?.knownUntil ?? 0);
    this.isSelective ||= this.limitsTokensUntil > 0;
  }

  /** Begins the rotation at a random candidate, so that several instances do not go through the keys in step. */
  shuffleStart(): void {
    const turns = Math.floor((this.#random?.() ?? 0) * this.candidates.length);
    for (const candidate of this.candidates.slice(0, turns)) this.#rotation.moveToEnd(candidate);
  }

  /**
   * The candidate whose turn it is: a slow one if there is no other. A caller that leases it must move it to the end
   * of its ring.
   */
  next(now: number, accepts: Accepts<Candidate>): Candidate | null {
    if (now >= this.#nextDueAt) this.#update(now);
    return this.#rotation.first(accepts) ?? this.#slow.first(accepts);
  }

  /**
   * The candidate from which an answer comes soonest: neither half-open nor slow, and one that has just answered, if
   * there is one.
   */
  nextFast(now: number, accepts: Accepts<Candidate>): Candidate | null {
    if (now >= this.#nextDueAt) this.#update(now);
    const isFast = (one: Candidate) =>
      one.isUntroubled && !one.slowness.isSuspected && (accepts === null || accepts(one));
    const known = this.successes.latest.find(
      (one) => one !== null && one.ring === this.#rotation && isFast(one),
    );
    return known ?? this.#rotation.first(isFast) ?? this.#paced.first(isFast);
  }

  /** The last resort: an ejected candidate, or one whose quota is used up as far as is known. */
  nextLastResort(now: number, accepts: Accepts<Candidate>): Candidate | null {
    if (now >= this.#nextDueAt) this.#update(now);
    const last = this.#ejected.first(accepts) ?? this.#paced.first(accepts);
    // What is in the rotation is left over only where the request does not fit into a minute's tokens.
    if (last !== null || !this.isSelective) return last;
    return this.#rotation.first(accepts) ?? this.#slow.first(accepts);
  }

  /** The half-open candidate for which the other instances must be asked next. */
  nextToAskFor(now: number, accepts: Accepts<Candidate>): Candidate | null {
    if (now >= this.#nextDueAt) this.#update(now);
    return this.#awaitingPermit.first(accepts);
  }

  /**
   * The keys that a request may use; null for all of them.
   *
   * @param fits see `Fit`
   */
  accepting(choice: Choice, now: number, fits: Fit = 'now'): Accepts<Candidate> {
    const { except, only } = choice;
    const suits = this.#suiting(choice, now, fits);
    const hasExceptions = except !== undefined && except.size > 0;
    if (!hasExceptions && only === undefined) return suits;
    return (candidate) =>
      !(hasExceptions && except.has(candidate.key.id)) &&
      (only === undefined || only(candidate.key)) &&
      (suits === null || suits(candidate));
  }

  /** Which keys take a request of this shape. */
  #suiting(choice: Choice, now: number, fits: Fit): Accepts<Candidate> {
    const { shape = PLAIN, plainProbesFirst = false } = choice;
    if (!this.isSelective && !plainProbesFirst) return null;
    this.#forgetEnded(now);
    const tokens = this.limitsTokensUntil > now ? this.tokens.refined(shape().tokens) : 0;
    // To read the features may take long.
    const parksFeatures = !this.features.isEmpty(now) || this.keepsForPlainUntil > now;
    const features = parksFeatures || plainProbesFirst ? shape().features : [];
    return (candidate) => {
      if (!candidate.quota.fits(tokens, now, fits)) return false;
      if (features.length === 0) return true;
      const isKept = plainProbesFirst || (fits !== 'ever' && candidate.keptForPlainUntil > now);
      if (isKept && !candidate.isUntroubled) return false;
      return this.features.parkedUntil(candidate.key.project, features, now) === 0;
    };
  }

  #forgetEnded(now: number): void {
    this.isSelective =
      this.limitsTokensUntil > now || !this.features.isEmpty(now) || this.keepsForPlainUntil > now;
  }

  /**
   * When the first candidate may be leased again, in milliseconds since the epoch: `now` when one may already
   * or when the outcome of a probe is awaited; null for never. Ejected candidates do not count:
   * they can be leased as the last resort.
   */
  returnsAt(now: number, choice: Choice): number | null {
    if (this.#isBack(now, choice)) return now;
    const accepts = this.accepting(choice, now, 'ever');
    return earliest([
      this.#coolingDown.dueAt(accepts),
      this.#needingAction.dueAt(accepts),
      this.#hasRoomAt(now, choice, accepts),
    ]);
  }

  /** The same, but a candidate that needs action counts only where there is no other. */
  retryAt(now: number, choice: Choice): number | null {
    if (this.#isBack(now, choice)) return now;
    const accepts = this.accepting(choice, now, 'ever');
    const hasRoomAt = this.#hasRoomAt(now, choice, accepts);
    const returnsAt = earliest([this.#coolingDown.dueAt(accepts), hasRoomAt]);
    return returnsAt ?? this.#needingAction.dueAt(accepts);
  }

  /** When a window begins in which there is room again, or a half-open key is not kept for plain requests any more. */
  #hasRoomAt(now: number, { shape = PLAIN }: Choice, accepts: Accepts<Candidate>): number | null {
    const endOfWindow = this.#endOfWindow.dueAt(accepts);
    if (!this.isSelective) return endOfWindow;
    const waiting = this.#rotation.first(accepts) ?? this.#slow.first(accepts);
    if (waiting === null) return endOfWindow;
    const fitsAt = waiting.quota.fitsAt(this.tokens.refined(shape().tokens), now) ?? 0;
    const isKept = !waiting.isUntroubled && this.keepsForPlainUntil > now;
    const freeAt = isKept && shape().features.length > 0 ? waiting.keptForPlainUntil : 0;
    return earliest([endOfWindow, Math.max(fitsAt, freeAt, now)]);
  }

  /** When time alone next changes anything here, in milliseconds since the epoch; null for never. */
  nextDueAt(now: number): number | null {
    if (now >= this.#nextDueAt) this.#update(now);
    return this.#nextDueAt === Number.POSITIVE_INFINITY ? null : this.#nextDueAt;
  }

  /**
   * What all projects together can answer in the present windows: the limits of those with a key that is usable within the
   * minute, and what the others have used. Zeros without such a key. Null: no limit is known.
   */
  capacity(now: number): Capacity | null {
    const quotas = new Set(this.candidates.map(({ quota }) => quota));
    const usable = this.#usableQuotas(now);
    const sum = { requests: 0, tokens: 0, dayRequests: 0 };
    for (const quota of usable.size === 0 ? [] : quotas) {
      const isUsable = usable.has(quota);
      if (isUsable && !quota.isKnown) return null;
      const { requests, tokens, dayRequests } = isUsable ? quota.most(now) : quota.used(now);
      sum.requests += requests;
      sum.tokens += tokens;
      sum.dayRequests += dayRequests;
    }
    const known = (all: number) => (Number.isFinite(all) ? all : null);
    return {
      requests: known(sum.requests),
      tokens: known(sum.tokens),
      dayRequests: known(sum.dayRequests),
    };
  }

  #usableQuotas(now: number): ReadonlySet<Quota> {
    const usable = new Set<Quota>();
    for (const { quota, allScopes } of this.candidates) {
      const endsAt = quota.minuteEndsAt(now);
      if (allScopes.every((scope) => scope.parkedUntil(now) < endsAt)) usable.add(quota);
    }
    return usable;
  }

  /** Puts a candidate where its scopes say that it belongs now. */
  place(candidate: Candidate, now: number): void {
    if (candidate.isRemoved) return;
    const { allScopes, ejection } = candidate;
    let until = 0;
    let isHeld = false;
    for (const scope of allScopes) {
      until = Math.max(until, scope.parkedUntil(now));
      isHeld ||= scope.needsAction;
    }
    if (until > 0) {
      this.#put(candidate, null, isHeld ? this.#needingAction : this.#coolingDown, until);
    } else if (allScopes.some((scope) => isProbed(scope, now))) {
      this.#await(candidate, now);
    } else if (allScopes.some((scope) => mustAskFor(scope, now))) {
      this.#put(candidate, this.#awaitingPermit);
    } else {
      this.#offer(candidate, now);
    }
    candidate.isUntroubled = allScopes.every(isReady) && isReady(ejection.scope);
  }

  /** A probe of this instance announces its end; one elsewhere may end unnoticed. */
  #await(candidate: Candidate, now: number): void {
    const until = probedElsewhereUntil(candidate.allScopes, now);
    if (until > 0) this.#put(candidate, this.#awaitingOutcome, this.#endOfProbeElsewhere, until);
    else this.#put(candidate, this.#awaitingOutcome);
  }

  #offer(candidate: Candidate, now: number): void {
    const { scope } = candidate.ejection;
    const until = scope.parkedUntil(now);
    if (until > 0) this.#put(candidate, this.#ejected, this.#endOfEjection, until);
    else if (isProbed(scope, now)) this.#put(candidate, this.#ejected);
    else this.#rotate(candidate, now);
  }

  #rotate(candidate: Candidate, now: number): void {
    const fullUntil = candidate.quota.fullUntil(now);
    const slowUntil = candidate.slowness.until;
    if (fullUntil > now) {
      const ring = candidate.quota.isTested ? this.#awaitingOutcome : this.#paced;
      this.#put(candidate, ring, this.#endOfWindow, fullUntil);
    } else if (slowUntil > now) this.#put(candidate, this.#slow, this.#endOfSlowness, slowUntil);
    else this.#put(candidate, this.#rotation);
  }

  #put(
    candidate: Candidate,
    ring: Ring<Candidate> | null,
    queue: DueQueue<Candidate> | null = null,
    dueAt = 0,
  ): void {
    if (candidate.ring !== ring) {
      candidate.ring?.remove(candidate);
      ring?.insert(candidate, this.#anyCandidate());
    }
    if (candidate.queue !== queue) candidate.queue?.remove(candidate);
    queue?.set(candidate, dueAt);
    this.#nextDueAt = Math.min(
      this.#coolingDown.firstDueAt,
      this.#needingAction.firstDueAt,
      this.#endOfEjection.firstDueAt,
      this.#endOfSlowness.firstDueAt,
      this.#endOfWindow.firstDueAt,
      this.#endOfProbeElsewhere.firstDueAt,
    );
  }

  #anyCandidate(): Candidate | null {
    if (this.#random === null) return null;
    return this.candidates[Math.floor(this.#random() * this.candidates.length)] ?? null;
  }

  #isBack(now: number, choice: Choice): boolean {
    const accepts = this.accepting(choice, now);
    return (
      this.next(now, accepts) !== null ||
      this.#awaitingOutcome.first(this.accepting(choice, now, 'ever')) !== null ||
      this.#awaitingPermit.first(accepts) !== null
    );
  }

  /** Places every candidate that is due. */
  #update(now: number): void {
    for (const queue of this.#queues) {
      for (;;) {
        const candidate = queue.first;
        if (candidate === undefined || candidate.dueAt > now) break;
        this.place(candidate, now);
      }
    }
  }
}

const isReady = ({ health }: Scope) => health.state === 'ready';

/** What the estimated tokens of requests for one target really were. */
class TokenEstimates {
  /** Real tokens for each estimated one. */
  #ratio = 1;

  refined(estimated: number): number {
    return Math.ceil(estimated * this.#ratio);
  }

  learn(estimated: number, actual: number): void {
    if (estimated < LEAST_TO_LEARN || actual <= 0) return;
    const ratio = Math.min(Math.max(actual / estimated, 1 / MAX_RATIO), MAX_RATIO);
    this.#ratio += (ratio - this.#ratio) * LEARNING_RATE;
  }
}

/** A shorter request says more about the form of requests than about its text. */
const LEAST_TO_LEARN = 50;
const MAX_RATIO = 4;
const LEARNING_RATE = 0.2;

/** Null where there is none. */
export function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}

export type CandidateSets = ReadonlyMap<Target, CandidateSet>;
export type PooledKeys = ReadonlyMap<string, PooledKey>;

export interface RosterOptions {
  readonly keys: readonly ApiKey[];
  readonly targets: readonly Target[];
  /** From 0 to 1: the place of a candidate in its ring; null for the end. */
  readonly random: (() => number) | null;
  /** Whether other instances must permit each probe. */
  readonly needsPermits: boolean;
  /** Of each target, the limits that the settings state. */
  readonly limitsOf: (target: Target) => QuotaLimits;
  /** How long a minute of a quota lasts, in milliseconds. */
  readonly minuteMs: number;
}

/** One candidate set for each target, over the keys of its provider, and each key by its id. */
export interface Roster {
  readonly sets: CandidateSets;
  readonly keys: PooledKeys;
  /** Keys that were removed or replaced while they had leases. Those without any more go with the next one. */
  readonly leaving: ReadonlySet<PooledKey>;
  /** Grows with each change of the keys. */
  readonly version: number;
  /** Adds a key, or replaces the one with the same id. If the text is the same, its findings stay. */
  put(key: ApiKey, now: number): void;
  /** @returns null when there is no such key */
  remove(id: string): ApiKey | null;
}

/**
 * The sets share the scopes of keys and projects; the scopes of a target belong to one set. The findings about a project
 * are forgotten with its last key.
 */
export function createRoster(options: RosterOptions): Roster {
  const { targets, random, needsPermits, limitsOf, minuteMs } = options;
  const scopes = createScopes(needsPermits);
  const keys = new Map<string, PooledKey>();
  const leaving = new Set<PooledKey>();
  const sets = new Map(targets.map((target) => [target, new CandidateSet(target, random)]));
  const quotas = new Map<Scope, Quota>();
  let version = 0;

  function quotaOf(scope: Scope, target: Target): Quota {
    const quota = quotas.get(scope) ?? new Quota(scope, limitsOf(target), minuteMs);
    quotas.set(scope, quota);
    return quota;
  }

  function add(key: ApiKey): PooledKey {
    const pooled: PooledKey = { key, candidates: [], inFlight: 0 };
    for (const [target, set] of sets) {
      if (target.provider !== key.provider) continue;
      const its = scopesOf(key, target, scopes.get);
      const candidate = new Candidate(pooled, set, its, quotaOf(its.project_model, target));
      pooled.candidates.push(candidate);
      set.add(candidate);
    }
    keys.set(key.id, pooled);
    return pooled;
  }

  function removeAll(pooled: PooledKey): void {
    leave(leaving, pooled);
    for (const candidate of pooled.candidates) {
      candidate.remove();
      const unused = candidate.allScopes.filter((scope) => scopes.forgetUnused(scope));
      for (const scope of unused) quotas.delete(scope);
      if (unused.includes(candidate.scopes.project_model)) {
        candidate.set.features.release(pooled.key.project);
      }
    }
  }

  for (const key of options.keys) add(key);
  for (const set of sets.values()) set.shuffleStart();
  return {
    sets,
    keys,
    leaving,
    get version() {
      return version;
    },
    put(key, now) {
      version += 1;
      const before = keys.get(key.id);
      const isSame = before?.key.secret.reveal() === key.secret.reveal();
      // The scopes of a key are forgotten with their last candidate.
      if (before !== undefined && !isSame) removeAll(before);
      const { candidates } = add(key);
      if (before !== undefined && isSame) removeAll(before);
      for (const candidate of candidates) candidate.set.place(candidate, now);
    },
    remove(id) {
      const pooled = keys.get(id);
      if (pooled === undefined) return null;
      version += 1;
      keys.delete(id);
      removeAll(pooled);
      return pooled.key;
    },
  };
}

/** Keeps a removed key as long as it has leases. */
function leave(leaving: Set<PooledKey>, removed: PooledKey): void {
  for (const one of leaving) if (one.inFlight === 0) leaving.delete(one);
  if (removed.inFlight > 0) leaving.add(removed);
}

const scopesOf = (
  { id, project, provider, billing }: ApiKey,
  { label: target }: Target,
  scopeOf: (subject: Subject) => Scope,
): CandidateScopes => ({
  key: scopeOf({ kind: 'key', provider, of: id, target: null }),
  project: scopeOf({ kind: 'project', provider, of: project, target: null }),
  billing:
    billing === undefined
      ? null
      : scopeOf({ kind: 'billing', provider, of: billing, target: null }),
  project_model: scopeOf({ kind: 'project_model', provider, of: project, target }),
  key_model: scopeOf({ kind: 'key_model', provider, of: id, target }),
  operator: scopeOf({ kind: 'operator', provider, of: id, target: null }),
});

/** Creates each scope once; all candidates that it concerns share it. */
function createScopes(needsPermits: boolean) {
  const scopes = new Map<string, Scope>();
  return {
    get(subject: Subject): Scope {
      const name = nameOf(subject);
      const scope = scopes.get(name) ?? new Scope(subject, needsPermits);
      scopes.set(name, scope);
      return scope;
    },
    /** @returns whether no candidate depends on the scope any more */
    forgetUnused({ subject, dependents }: Scope): boolean {
      if (dependents.length > 0) return false;
      if (subject !== null) scopes.delete(nameOf(subject));
      return true;
    },
  };
}
