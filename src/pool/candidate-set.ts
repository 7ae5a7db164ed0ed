import type { ApiKey } from '../shared/api-key.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import { Ejection, RecentSuccesses } from './ejection.ts';
import { isProbed, mustAskFor, probedElsewhereUntil } from './half-open.ts';
import { type Accepts, type DueNode, DueQueue, Ring, type RingNode } from './rotation.ts';
import { nameOf, Scope, type ScopeDependent, type Subject } from './scope.ts';

/** Which keys one request may use. */
export interface Choice {
  /** Ids of keys that must not be chosen. */
  readonly except?: ReadonlySet<string>;
  /** Whether the request can use a key at all. Default: any. */
  readonly only?: ((key: ApiKey) => boolean) | undefined;
  /** Called only where it matters: after a refusal, or while a feature is parked. Default: plain. */
  readonly shape?: () => RequestShape;
}

export interface CandidateScopes {
  readonly key: Scope;
  readonly project: Scope;
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
  /** Whether all scopes are ready, so that a lease need not look at each. */
  isUntroubled = true;
  ring: Ring<Candidate> | null = null;
  next: Candidate = this;
  previous: Candidate = this;
  queue: DueQueue<Candidate> | null = null;
  queueIndex = 0;
  dueAt = 0;

  constructor(pooled: PooledKey, set: CandidateSet, scopes: CandidateScopes) {
    this.key = pooled.key;
    this.pooled = pooled;
    this.set = set;
    this.scopes = scopes;
    const { key: own, project, project_model, key_model, operator } = scopes;
    this.allScopes = [own, project, project_model, key_model, operator];
    for (const scope of [...this.allScopes, this.ejection.scope]) scope.dependents.push(this);
  }

  scopeChanged(now: number): void {
    this.set.place(this, now);
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
  readonly successes = new RecentSuccesses();
  /** How many requests for probes the other instances have not answered yet. */
  pendingRequests = 0;
  readonly #random: (() => number) | null;
  readonly #rotation = new Ring<Candidate>();
  readonly #ejected = new Ring<Candidate>();
  readonly #awaitingOutcome = new Ring<Candidate>();
  readonly #awaitingPermit = new Ring<Candidate>();
  readonly #coolingDown = new DueQueue<Candidate>();
  readonly #needingAction = new DueQueue<Candidate>();
  readonly #endOfEjection = new DueQueue<Candidate>();
  readonly #endOfProbeElsewhere = new DueQueue<Candidate>();
  readonly #queues = [
    this.#coolingDown,
    this.#needingAction,
    this.#endOfEjection,
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
  }

  /** Begins the rotation at a random candidate, so that several instances do not go through the keys in step. */
  shuffleStart(): void {
    const turns = Math.floor((this.#random?.() ?? 0) * this.candidates.length);
    for (const candidate of this.candidates.slice(0, turns)) this.#rotation.moveToEnd(candidate);
  }

  /** The candidate whose turn it is. A caller that leases it must move it to the end of its ring. */
  next(now: number, accepts: Accepts<Candidate>): Candidate | null {
    if (now >= this.#nextDueAt) this.#update(now);
    return this.#rotation.first(accepts);
  }

  /** The last resort: the ejected candidate whose turn it is. */
  nextEjected(now: number, accepts: Accepts<Candidate>): Candidate | null {
    if (now >= this.#nextDueAt) this.#update(now);
    return this.#ejected.first(accepts);
  }

  /** The half-open candidate for which the other instances must be asked next. */
  nextToAskFor(now: number, accepts: Accepts<Candidate>): Candidate | null {
    if (now >= this.#nextDueAt) this.#update(now);
    return this.#awaitingPermit.first(accepts);
  }

  /** The keys that a request may use; null for all of them. */
  accepting(choice: Choice, now: number): Accepts<Candidate> {
    const { except, only } = choice;
    const hasExceptions = except !== undefined && except.size > 0;
    const feature = this.parkedFeature(choice, now);
    if (!hasExceptions && only === undefined && feature === null) return null;
    return ({ key }) =>
      !(hasExceptions && except.has(key.id)) &&
      (only === undefined || only(key)) &&
      (feature === null || !this.features.isParked(key.project, feature, now));
  }

  /** The feature of a request; null where it has none, or none is parked. */
  parkedFeature({ shape }: Choice, now: number): string | null {
    return shape === undefined || this.features.isEmpty(now) ? null : shape().feature;
  }

  /**
   * When the first candidate may be leased again, in milliseconds since the epoch: `now` when one may already
   * or when the outcome of a probe is awaited; null for never. Ejected candidates do not count: they can be
   * leased as the last resort.
   */
  returnsAt(now: number, accepts: Accepts<Candidate>): number | null {
    if (this.#isBack(now, accepts)) return now;
    return earliest([this.#coolingDown.dueAt(accepts), this.#needingAction.dueAt(accepts)]);
  }

  /** The same, but a candidate that needs action counts only where there is no other. */
  retryAt(now: number, accepts: Accepts<Candidate>): number | null {
    if (this.#isBack(now, accepts)) return now;
    return this.#coolingDown.dueAt(accepts) ?? this.#needingAction.dueAt(accepts);
  }

  /** When time alone next changes anything here, in milliseconds since the epoch; null for never. */
  nextDueAt(now: number): number | null {
    if (now >= this.#nextDueAt) this.#update(now);
    return this.#nextDueAt === Number.POSITIVE_INFINITY ? null : this.#nextDueAt;
  }

  /** Puts a candidate where its scopes say that it belongs now. */
  place(candidate: Candidate, now: number): void {
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
    else this.#put(candidate, isProbed(scope, now) ? this.#ejected : this.#rotation);
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
      this.#endOfProbeElsewhere.firstDueAt,
    );
  }

  #anyCandidate(): Candidate | null {
    if (this.#random === null) return null;
    return this.candidates[Math.floor(this.#random() * this.candidates.length)] ?? null;
  }

  #isBack(now: number, accepts: Accepts<Candidate>): boolean {
    return (
      this.next(now, accepts) !== null ||
      this.#awaitingOutcome.first(accepts) !== null ||
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

/**
 * Features of special requests, such as `search`, that projects have refused for one target. A project's
 * plain requests go on. Times are milliseconds since the epoch.
 */
class ParkedFeatures {
  /** By feature, then by project. */
  readonly #until = new Map<string, Map<string, number>>();
  /** When the last park is over; 0 where nothing is parked. */
  lastEnd = 0;

  /** Forgets all parks once the last one is over. */
  isEmpty(now: number): boolean {
    if (this.lastEnd === 0) return true;
    if (this.lastEnd > now) return false;
    this.#until.clear();
    this.lastEnd = 0;
    return true;
  }

  /**
   * A later, shorter park never shortens a longer one.
   *
   * @returns until when the feature is parked
   */
  park(project: string, feature: string, until: number): number {
    const projects = this.#until.get(feature) ?? new Map<string, number>();
    this.#until.set(feature, projects);
    const longest = Math.max(until, projects.get(project) ?? 0);
    projects.set(project, longest);
    this.lastEnd = Math.max(this.lastEnd, longest);
    return longest;
  }

  isParked(project: string, feature: string, now: number): boolean {
    return (this.#until.get(feature)?.get(project) ?? 0) > now;
  }

  /** When the first project may be asked for this feature again; null when none is parked. */
  endsAt(feature: string, now: number): number | null {
    const ends = [...(this.#until.get(feature)?.values() ?? [])].filter((until) => until > now);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  /** Opens every feature of the project. */
  release(project: string): void {
    for (const projects of this.#until.values()) projects.delete(project);
  }
}

/** Null where there is none. */
export function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}

export type CandidateSets = ReadonlyMap<Target, CandidateSet>;
export type PooledKeys = ReadonlyMap<string, PooledKey>;

export interface CandidateSetsOptions {
  readonly keys: readonly ApiKey[];
  readonly targets: readonly Target[];
  /** From 0 to 1: the place of a candidate in its ring; null for the end. */
  readonly random: (() => number) | null;
  /** Whether other instances must permit each probe. */
  readonly needsPermits: boolean;
}

/**
 * One candidate set for each target, over the keys of its provider, and each key by its id. The sets share
 * the scopes of keys and projects; the scopes of a target belong to one set.
 */
export function createCandidateSets(options: CandidateSetsOptions): {
  readonly sets: CandidateSets;
  readonly keys: PooledKeys;
} {
  const { targets, random, needsPermits } = options;
  const scopeOf = createScopes(needsPermits);
  const keys = new Map<string, PooledKey>(
    options.keys.map((key) => [key.id, { key, candidates: [], inFlight: 0 }]),
  );
  const createSet = (target: Target): CandidateSet => {
    const set = new CandidateSet(target, random);
    for (const pooled of keys.values()) {
      if (pooled.key.provider !== target.provider) continue;
      const candidate = new Candidate(pooled, set, scopesOf(pooled.key, target, scopeOf));
      pooled.candidates.push(candidate);
      set.add(candidate);
    }
    set.shuffleStart();
    return set;
  };
  return { sets: new Map(targets.map((target) => [target, createSet(target)])), keys };
}

const scopesOf = (
  { id, project, provider }: ApiKey,
  { label: target }: Target,
  scopeOf: (subject: Subject) => Scope,
): CandidateScopes => ({
  key: scopeOf({ kind: 'key', provider, of: id, target: null }),
  project: scopeOf({ kind: 'project', provider, of: project, target: null }),
  project_model: scopeOf({ kind: 'project_model', provider, of: project, target }),
  key_model: scopeOf({ kind: 'key_model', provider, of: id, target }),
  operator: scopeOf({ kind: 'operator', provider, of: id, target: null }),
});

/** Creates each scope once; all candidates that it concerns share it. */
function createScopes(needsPermits: boolean): (subject: Subject) => Scope {
  const scopes = new Map<string, Scope>();
  return (subject) => {
    const name = nameOf(subject);
    const scope = scopes.get(name) ?? new Scope(subject, needsPermits);
    scopes.set(name, scope);
    return scope;
  };
}
