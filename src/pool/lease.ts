import type { ApiKey } from '../shared/api-key.ts';
import type { Failure } from '../shared/failure.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import type { Candidate } from './candidate-set.ts';
import type { Probe } from './half-open.ts';
import type { PoolContext } from './pool-context.ts';
import type { Finding, Reach, Scope } from './scope.ts';
import { type Park, provedBy, type Verdict, verdictOf } from './verdicts.ts';

export type Outcome = { readonly kind: 'success' } | Failure;

/** What keeps a key from being leased again after a report; until when, in milliseconds since the epoch. */
export interface Parked {
  readonly scope: Park['scope'];
  readonly until: number;
}

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

  get key(): ApiKey {
    return this.#candidate.key;
  }

  get target(): Target {
    return this.#candidate.set.target;
  }

  /**
   * Must be called at the first chunk: the key works for this target, however the attempt ends.
   *
   * @returns false where that was known already
   */
  prove(): boolean {
    if (this.#isProven || this.#hasEnded) return false;
    this.#isProven = true;
    const candidate = this.#candidate;
    this.#probe?.open(this.reach, candidate.scopes.key);
    candidate.ejection.answered(this, this.#context);
    this.#knowsUntil = this.#context.nextEvent();
    const { set } = candidate;
    set.successes.add({ candidate, event: this.#knowsUntil, tookMs: this.#ageMs() });
    return true;
  }

  /** @returns null where the report has parked nothing that keeps the key from being leased again */
  report(outcome: Outcome): Parked | null {
    if (this.#hasEnded) return null;
    if (outcome.kind === 'success') this.prove();
    this.#hasEnded = true;
    this.#candidate.pooled.inFlight -= 1;
    if (outcome.kind === 'success') this.#candidate.ejection.succeeded(this);
    const parked = outcome.kind === 'success' ? null : this.#fail(outcome);
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
    const { effect, isHinted } = park;
    this.#park(scope, park.ms, { cause: failure.kind, effect, isHinted });
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

  #ejectIfOutlier({ timedOut, status }: Extract<Failure, { kind: 'upstream_down' }>): void {
    const { set, ejection } = this.#candidate;
    // A silence is the model's own as long as siblings take at least half as long to answer.
    const wasSilent = timedOut && status === undefined;
    const withinMs = wasSilent ? this.#ageMs() / 2 : Number.POSITIVE_INFINITY;
    const hasSibling = (since: number) =>
      set.successes.hasSibling(this.#candidate, since, withinMs);
    const ms = ejection.failed(this, hasSibling, this.#context);
    if (ms === null) return;
    const finding = { cause: 'upstream_down', effect: 'cooling_down', isHinted: false } as const;
    this.#park(ejection.scope, ms, finding);
  }

  #parkFeature({ scope, feature, ms }: Extract<Park, { feature: string }>): Parked | null {
    const { key, set, scopes } = this.#candidate;
    // A release opens the project: a lease from before it parks nothing.
    if (this.#knowsUntil < scopes.project.sharedHealth.openedAt) return null;
    const until = this.#context.now() + Math.min(ms, this.#context.cooldownMs);
    return { scope, until: set.features.park(key.project, feature, until) };
  }

  #park(scope: Scope, ms: number, finding: Pick<Finding, 'cause' | 'effect' | 'isHinted'>): void {
    const now = this.#context.now();
    const until = now + Math.min(ms, this.#context.cooldownMs);
    const before = scope.health;
    scope.park(this.#knowsUntil, until, { ...finding, reach: this.reach, since: now });
    if (scope.health !== before) this.#context.found(scope);
  }

  /** Events are numbered by the time. */
  #ageMs(): number {
    return Math.max(0, this.#context.now() - this.grantedAt);
  }
}
