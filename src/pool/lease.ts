import type { ApiKey } from '../shared/api-key.ts';
import type { Failure } from '../shared/failure.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import type { Candidate } from './candidate-set.ts';
import type { Probe } from './half-open.ts';
import type { PoolContext, Reach, Scope } from './scope.ts';
import { type Cause, type Park, provedBy, type Verdict, verdictOf } from './verdicts.ts';

export type Outcome = { readonly kind: 'success' } | Failure;

/** What keeps a key from being leased again after a report; until when, in milliseconds since the epoch. */
export interface Parked {
  readonly scope: Park['scope'];
  readonly until: number;
}

type Cooldown = Pick<Exclude<Park, { feature: string }>, 'ms' | 'effect' | 'isHinted'>;

export interface LeaseTerms {
  readonly candidate: Candidate;
  readonly reach: Reach;
  readonly shape: () => RequestShape;
  readonly context: PoolContext;
  /** An event. */
  readonly grantedAt: number;
  readonly probe: Probe | null;
}

/** Permission for one attempt with one candidate. It ends in one report; a second one changes nothing. */
export class Lease {
  readonly key: ApiKey;
  readonly target: Target;
  readonly reach: Reach;
  /** An event. */
  readonly grantedAt: number;
  /** Whether a scope was half-open, and this attempt decides whether it opens. */
  readonly isProbe: boolean;
  readonly #candidate: Candidate;
  readonly #shape: () => RequestShape;
  readonly #context: PoolContext;
  readonly #probe: Probe | null;
  /** What this lease finds is as new as this event. */
  #knowsUntil: number;
  #isProven = false;
  #hasEnded = false;

  constructor({ candidate, reach, shape, context, grantedAt, probe }: LeaseTerms) {
    this.key = candidate.key;
    this.target = candidate.set.target;
    this.reach = reach;
    this.grantedAt = grantedAt;
    this.isProbe = probe !== null;
    this.#candidate = candidate;
    this.#shape = shape;
    this.#context = context;
    this.#probe = probe;
    this.#knowsUntil = grantedAt;
    candidate.pooled.inFlight += 1;
  }

  /**
   * Must be called at the first chunk: the key works for this target, however the attempt ends.
   *
   * @returns false where that was known already
   */
  prove(): boolean {
    if (this.#isProven || this.#hasEnded) return false;
    this.#isProven = true;
    const { isUntroubled, scopes, ejection, set } = this.#candidate;
    if (!isUntroubled) {
      this.#probe?.open(this.reach, scopes.key);
      ejection.answered(this, this.#context);
    }
    const now = this.#context.now();
    this.#knowsUntil = this.#context.nextEvent(now);
    set.successes.add(ejection, this.#knowsUntil, Math.max(0, now - this.grantedAt));
    return true;
  }

  /** @returns null where the report has parked nothing that keeps the key from being leased again */
  report(outcome: Outcome): Parked | null {
    if (this.#hasEnded) return null;
    const isSuccess = outcome.kind === 'success';
    if (isSuccess) this.prove();
    this.#hasEnded = true;
    this.#candidate.pooled.inFlight -= 1;
    if (isSuccess) this.#candidate.ejection.succeeded(this);
    const parked = isSuccess ? null : this.#fail(outcome);
    this.#probe?.giveBack();
    return parked;
  }

  #fail(failure: Failure): Parked | null {
    const verdict = verdictOf(failure, this.#shape);
    this.#takeProof(failure, verdict);
    const park = verdict.park(failure, this.#context.now());
    if (park === null) return null;
    if (park.scope === 'project_model_feature') return this.#parkFeature(park);
    const scope = this.#candidate.scopes[park.scope];
    this.#park(scope, park, failure.kind);
    const { health } = scope;
    return health.state === 'parked' ? { scope: park.scope, until: health.until } : null;
  }

  /** What a failure says in favour of the key, or against it in comparison with its siblings. */
  #takeProof(failure: Failure, verdict: Verdict): void {
    const { scopes, ejection } = this.#candidate;
    const proves = provedBy(failure, verdict);
    if (proves === 'everything') this.#probe?.open(this.reach, scopes.key);
    if (proves === 'key') this.#probe?.openOnly(scopes.key);
    if (failure.kind === 'upstream_down') this.#ejectIfOutlier(failure);
    else if (proves !== 'nothing') ejection.interrupted();
  }

  #ejectIfOutlier({ kind, timedOut, status }: Extract<Failure, { kind: 'upstream_down' }>): void {
    const { set, ejection } = this.#candidate;
    // A silence is the model's own as long as siblings take at least half as long to answer.
    const wasSilent = timedOut && status === undefined;
    // Events are numbered by the time.
    const ageMs = Math.max(0, this.#context.now() - this.grantedAt);
    const withinMs = wasSilent ? ageMs / 2 : Number.POSITIVE_INFINITY;
    const ms = ejection.failed(this, set.successes, withinMs, this.#context);
    if (ms === null) return;
    this.#park(ejection.scope, { ms, effect: 'cooling_down', isHinted: false }, kind);
  }

  #parkFeature({ scope, feature, ms }: Extract<Park, { feature: string }>): Parked | null {
    const { key, set, scopes } = this.#candidate;
    // A release opens the project: a lease from before it parks nothing.
    if (this.#knowsUntil < scopes.project.sharedHealth.openedAt) return null;
    const until = this.#context.now() + Math.min(ms, this.#context.cooldownMs);
    return { scope, until: set.features.park(key.project, feature, until) };
  }

  #park(scope: Scope, { ms, effect, isHinted }: Cooldown, cause: Cause): void {
    const now = this.#context.now();
    const until = now + Math.min(ms, this.#context.cooldownMs);
    const before = scope.health;
    const { reach } = this;
    scope.park(until, { cause, effect, reach, isHinted, since: now, foundAt: this.#knowsUntil });
    if (scope.health !== before) this.#context.found(scope);
  }
}
