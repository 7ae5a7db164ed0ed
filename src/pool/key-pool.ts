import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { PLAIN } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import {
  type Candidate,
  type CandidateSets,
  type Choice,
  createCandidateSets,
  earliest,
} from './candidate-set.ts';
import { askForProbe, Probe } from './half-open.ts';
import { createInspection, type Inspection, stateOf } from './inspection.ts';
import { Lease } from './lease.ts';
import { createOperator, type Operator } from './operator.ts';
import { createSharedScopes, type Peers, type SharedScopes } from './peers.ts';
import { createPoolContext, type PoolContext, type Reach } from './scope.ts';

export interface KeyPoolOptions {
  readonly keys: readonly ApiKey[];
  /** Each provider's first one is its default. */
  readonly targets: readonly Target[];
  /** The longest that anything is parked, in milliseconds. */
  readonly cooldownMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /**
   * From 0 to 1: where the rotation begins, and the place of a key that returns, so that several instances
   * do not go through the keys in step. Default: in order.
   */
  readonly random?: (() => number) | null;
  /** Default: no other instance uses the keys. */
  readonly peers?: Peers;
}

export interface LeaseOptions extends Choice {
  /** Default: `whole`. */
  readonly reach?: Reach | undefined;
  /** Chooses among the ejected candidates. */
  readonly lastResort?: boolean;
}

/**
 * The keys of every provider and their health. It is pure and synchronous: it has no timer, does no I/O, compares
 * times only when it is called, and never looks at a key's text.
 */
export class KeyPool {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly sharedScopes: SharedScopes;
  readonly #peers: Peers | null;
  readonly #sets: CandidateSets;
  readonly #providers: ReadonlySet<ProviderName>;
  readonly #context: PoolContext;

  constructor({ keys, targets, cooldownMs, now, random = null, peers }: KeyPoolOptions) {
    const needsPermits = peers !== undefined;
    this.#peers = peers ?? null;
    const pooled = createCandidateSets({ keys, targets, random, needsPermits });
    this.#sets = pooled.sets;
    this.#providers = new Set(keys.map(({ provider }) => provider));
    this.#context = createPoolContext(cooldownMs, now, (scope) => peers?.found(scope));
    this.inspection = createInspection(pooled.sets, pooled.keys, now);
    this.operator = createOperator(pooled.keys, this.#context);
    this.sharedScopes = createSharedScopes(pooled.sets, pooled.keys, this.#context);
  }

  /**
   * Chooses round-robin among the candidates of a target that are in the rotation.
   *
   * @returns null when there is none now, or when the pool does not know the target
   */
  lease(target: Target, options: LeaseOptions = {}): Lease | null {
    const context = this.#context;
    const now = context.now();
    const candidate = this.#choose(target, options, now);
    if (candidate === null) return null;
    const { reach = 'whole', shape = PLAIN } = options;
    const { ring, allScopes, ejection, isUntroubled } = candidate;
    const grantedAt = context.nextEvent(now);
    ring?.moveToEnd(candidate);
    const probe = isUntroubled
      ? null
      : Probe.begin([...allScopes, ejection.scope], grantedAt, context);
    return new Lease({ candidate, reach, shape, context, grantedAt, probe });
  }

  /** Whether `lease` would grant one now. */
  hasLease(target: Target, options: LeaseOptions = {}): boolean {
    return this.#choose(target, options, this.#context.now()) !== null;
  }

  /**
   * When a key may be leased again, in milliseconds since the epoch: `now` when one may already or when the
   * outcome of a probe is awaited; null for never.
   */
  returnsAt(target: Target, choice: Choice = {}): number | null {
    const set = this.#sets.get(target);
    const now = this.#context.now();
    return set?.returnsAt(now, set.accepting(choice, now)) ?? null;
  }

  /**
   * When to ask again after a refusal: as `returnsAt`, but a key that needs action counts only where there is
   * no other.
   */
  retryAt(target: Target, choice: Choice = {}): number | null {
    const set = this.#sets.get(target);
    if (set === undefined) return null;
    const now = this.#context.now();
    const retryAt = set.retryAt(now, set.accepting(choice, now));
    const feature = set.parkedFeature(choice, now);
    return feature === null ? retryAt : earliest([retryAt, set.features.endsAt(feature, now)]);
  }

  /** When time alone next changes anything for the target, later than now; null for never. */
  nextDueAt(target: Target): number | null {
    return this.#sets.get(target)?.nextDueAt(this.#context.now()) ?? null;
  }

  /**
   * Whether every key lacks the target's model, so that waiting is useless.
   *
   * @param choice without the keys that lack it although nothing is parked
   */
  isModelUnavailable(target: Target, choice: Choice = {}): boolean {
    const now = this.#context.now();
    const set = this.#sets.get(target);
    if (set === undefined) return true;
    const accepts = set.accepting(choice, now);
    return set.candidates.every(
      (candidate) =>
        (accepts !== null && !accepts(candidate)) ||
        stateOf(candidate, now).cause === 'model_unavailable',
    );
  }

  /** Whether other instances are being asked for a probe; they answer within milliseconds. */
  isAsking(target: Target): boolean {
    return (this.#sets.get(target)?.pendingRequests ?? 0) > 0;
  }

  /** Whether special requests may get other keys than plain ones. */
  parksFeatures(target: Target): boolean {
    return this.#sets.get(target)?.features.isEmpty(this.#context.now()) === false;
  }

  hasKeys(provider: ProviderName): boolean {
    return this.#providers.has(provider);
  }

  #choose(target: Target, options: LeaseOptions, now: number): Candidate | null {
    const set = this.#sets.get(target);
    if (set === undefined) return null;
    const { except, only } = options;
    const takesAny = except === undefined && only === undefined && set.features.lastEnd === 0;
    const accepts = takesAny ? null : set.accepting(options, now);
    const peers = this.#peers;
    if (peers !== null) {
      askForProbe(set, accepts, this.#context, (request) => peers.ask(request));
    }
    return options.lastResort ? set.nextEjected(now, accepts) : set.next(now, accepts);
  }
}
