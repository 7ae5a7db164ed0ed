import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { MINUTE_MS } from '../shared/clock.ts';
import type { QuotaLimits } from '../shared/failure.ts';
import { PLAIN, type RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import {
  type Candidate,
  type CandidateSets,
  type Choice,
  createRoster,
  earliest,
  type Roster,
} from './candidate-set.ts';
import type { Capacity } from './fair-share.ts';
import { askForProbe, Probe } from './half-open.ts';
import { createInspection, type Inspection, stateOf } from './inspection.ts';
import { Lease } from './lease.ts';
import { createOperator, type Operator } from './operator.ts';
import {
  createSharedQuotas,
  createSharedScopes,
  type Peers,
  type SharedQuotas,
  type SharedScopes,
} from './peers.ts';
import { createPoolContext, type PoolContext, type Reach, type Scope } from './scope.ts';

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
  /** The limits of each target that the settings state. Default: none. */
  readonly limitsOf?: (target: Target) => QuotaLimits;
  /** How long a minute of a quota lasts. Default: 60,000 milliseconds. */
  readonly minuteMs?: number;
}

export interface LeaseOptions extends Choice {
  /** Default: `whole`. */
  readonly reach?: Reach | undefined;
  /**
   * `fast`: an answer is wanted soon. `last_resort`: among the ejected candidates, then among those whose quota seems
   * to be used up. Default: in turn.
   */
  readonly among?: 'turn' | 'fast' | 'last_resort';
  /** Whether even the last resort must have enough tokens left in its minute. Default: false. */
  readonly mustFit?: boolean;
}

/**
 * The keys of every provider and their health. It is pure and synchronous: it has no timer, does no I/O, compares
 * times only when it is called, and never looks at a key's text.
 */
export class KeyPool {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly sharedScopes: SharedScopes;
  readonly sharedQuotas: SharedQuotas;
  readonly #peers: Peers | null;
  readonly #roster: Roster;
  readonly #sets: CandidateSets;
  readonly #context: PoolContext;

  constructor({ keys, targets, cooldownMs, now, random = null, peers, ...quotas }: KeyPoolOptions) {
    const { limitsOf = () => NO_LIMITS, minuteMs = MINUTE_MS } = quotas;
    const needsPermits = peers !== undefined;
    this.#peers = peers ?? null;
    const roster = createRoster({ keys, targets, random, needsPermits, limitsOf, minuteMs });
    this.#roster = roster;
    this.#sets = roster.sets;
    const publish = (scope: Scope) => peers?.found(scope);
    const used = (scope: Scope) => {
      const quota = this.sharedQuotas.find(scope);
      if (quota !== null) peers?.used(quota);
    };
    this.#context = createPoolContext(cooldownMs, now, publish, needsPermits ? used : null);
    this.sharedQuotas = createSharedQuotas(roster, this.#context);
    this.inspection = createInspection(roster, now);
    this.operator = createOperator(roster.keys, this.#context);
    this.sharedScopes = createSharedScopes(roster, this.#context);
  }

  /** Adds a key, or replaces the one with the same id. If the text is the same, its findings stay. */
  put(key: ApiKey): void {
    this.#roster.put(key, this.#context.now());
  }

  /**
   * Attempts in flight continue.
   *
   * @returns null when there is no such key
   */
  remove(id: string): ApiKey | null {
    return this.#roster.remove(id);
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

  /**
   * A lease of exactly this key, whatever its state, for a call that uses no quota. Its success opens the key's own
   * scope alone.
   *
   * @returns null when the pool has no such key
   */
  leaseForCheck({ id, secret }: ApiKey): Lease | null {
    const { key, candidates = [] } = this.#roster.keys.get(id) ?? {};
    const candidate = candidates.find(({ set }) => set.target.use === 'free') ?? candidates[0];
    if (candidate === undefined || key?.secret !== secret) return null;
    const context = this.#context;
    const grantedAt = context.nextEvent(context.now());
    const probe = Probe.begin([candidate.scopes.key], grantedAt, context);
    return new Lease({ candidate, reach: 'part', shape: PLAIN, context, grantedAt, probe });
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
    return this.#sets.get(target)?.returnsAt(this.#context.now(), choice) ?? null;
  }

  /**
   * When to ask again after a refusal: as `returnsAt`, but a key that needs action counts only where there is
   * no other.
   */
  retryAt(target: Target, choice: Choice = {}): number | null {
    const set = this.#sets.get(target);
    if (set === undefined) return null;
    const now = this.#context.now();
    const retryAt = set.retryAt(now, choice);
    if (set.features.isEmpty(now) || choice.shape === undefined) return retryAt;
    return earliest([retryAt, set.features.endsAt(choice.shape().features, now)]);
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
  isModelUnavailable(
    target: Target,
    { except, only }: Pick<Choice, 'except' | 'only'> = {},
  ): boolean {
    const now = this.#context.now();
    const set = this.#sets.get(target);
    if (set === undefined) return true;
    return set.candidates.every(
      (candidate) =>
        except?.has(candidate.key.id) ||
        only?.(candidate.key) === false ||
        stateOf(candidate, now).cause === 'model_unavailable',
    );
  }

  /** Whether other instances are being asked for a probe; they answer within milliseconds. */
  isAsking(target: Target): boolean {
    return (this.#sets.get(target)?.pendingRequests ?? 0) > 0;
  }

  /** Equal for requests that may get the same keys of the target, as far as their shapes decide. */
  shapeKey(target: Target, shape: () => RequestShape): string {
    const set = this.#sets.get(target);
    if (set?.isSelective !== true) return '';
    const { features, tokens } = shape();
    return set.limitsTokensUntil > 0 ? `${features} ${sizeClassOf(tokens)}` : String(features);
  }

  /** Whether some key has answered such a request while others refused it. */
  isAnswered(target: Target, { features }: RequestShape): boolean {
    return this.#sets.get(target)?.features.isAnswered(features) === true;
  }

  /**
   * The largest limit on the input tokens of one request, if every key that the request may use has a smaller one
   * than the request is long; else null.
   */
  exceededTokenLimit(target: Target, { only, shape = PLAIN }: Choice): number | null {
    const set = this.#sets.get(target);
    if (set?.isSelective !== true) return null;
    const now = this.#context.now();
    const tokens = set.tokens.refined(shape().tokens);
    const quotas = set.candidates
      .filter(({ key }) => only === undefined || only(key))
      .map(({ quota }) => quota);
    const isExceeded = quotas.length > 0 && quotas.every((one) => one.fitsAt(tokens, now) === null);
    return isExceeded ? quotas.reduce((most, one) => Math.max(most, one.tokenLimit), 0) : null;
  }

  /** Those of a provider after those of the one before it; keys that were added later come last. */
  get keys(): readonly ApiKey[] {
    return [...this.#roster.keys.values()].map(({ key }) => key);
  }

  /** What the target can answer in the present windows. Null: no limit is known. */
  capacity(target: Target): Capacity | null {
    return this.#sets.get(target)?.capacity(this.#context.now()) ?? null;
  }

  hasKeys(provider: ProviderName): boolean {
    for (const { target, candidates } of this.#sets.values()) {
      if (target.provider === provider) return candidates.length > 0;
    }
    return false;
  }

  #choose(target: Target, options: LeaseOptions, now: number): Candidate | null {
    const set = this.#sets.get(target);
    if (set === undefined) return null;
    const { except, only, plainProbesFirst, among = 'turn', mustFit = false } = options;
    const takesAny =
      except === undefined && only === undefined && !set.isSelective && !plainProbesFirst;
    const accepts = takesAny
      ? null
      : set.accepting(options, now, among !== 'last_resort' || mustFit ? 'now' : 'perhaps');
    if (among === 'fast') return set.nextFast(now, accepts);
    const peers = this.#peers;
    if (peers !== null) {
      askForProbe(set, accepts, this.#context, (request) => peers.ask(request));
    }
    return among === 'turn' ? set.next(now, accepts) : set.nextLastResort(now, accepts);
  }
}

/** Sizes of one class differ by less than an eighth. */
const sizeClassOf = (tokens: number) => Math.ceil(Math.log2(tokens + 1) * 6);

const NO_LIMITS: QuotaLimits = {};
