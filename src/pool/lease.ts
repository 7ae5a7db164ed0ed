import type { ApiKey } from '../shared/api-key.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import type { Candidate } from './candidate-set.ts';
import type { Probe } from './half-open.ts';
import type { Reservation } from './pacing.ts';
import type { PoolContext, Reach, Scope } from './scope.ts';
import { type Cause, judgeSize, type Park, provedBy, type Verdict, verdictOf } from './verdicts.ts';

export type Outcome = { readonly kind: 'success' } | Failure;

/** What keeps a key from being leased again after a report; until when, in milliseconds since the epoch. */
export interface Parked {
  readonly scope: Park['scope'];
  readonly until: number;
  /** What is special about the requests that are refused; absent where all are. */
  readonly features?: readonly string[];
}

type FeaturePark = Extract<Park, { scope: 'project_model_feature' }>;
type Cooldown = Omit<Exclude<Park, FeaturePark>, 'scope'>;

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
  /** Null where no limit is known. */
  readonly #reservation: Reservation | null;
  /** Whether it was asked although not enough of the minute's tokens seemed to be left: smaller requests may fit. */
  #exceedsWindow = false;
  /** Whether it was asked although the quota seemed to be used up: one such attempt at a time. */
  #tests = false;
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
    this.#reservation = candidate.quota.isKnown ? this.#reserve() : null;
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
    const { isUntroubled, scopes, ejection, slowness, set } = this.#candidate;
    if (!isUntroubled) {
      this.#probe?.open(this.reach, scopes.key);
      ejection.answered(this, this.#context);
    }
    const now = this.#context.now();
    const tookMs = Math.max(0, now - this.grantedAt);
    if (this.#tests) this.#endTest(true);
    this.#knowsUntil = this.#context.nextEvent(now);
    set.successes.add(this.#candidate, this.#knowsUntil, tookMs);
    if (slowness.isSuspected) {
      slowness.answered(tookMs);
      this.#context.changed(scopes.key_model);
    }
    return true;
  }

  /** Whether its key has lost hedges, so that it is asked after its siblings. */
  get isOfSlowKey(): boolean {
    return this.#candidate.slowness.until > this.#context.now();
  }

  /** Its attempt takes longer than usual. */
  markSlow(): void {
    this.#candidate.slowness.isSuspected = true;
  }

  /** The failure as it is for this request: it may be larger than the limit that was reached. */
  judge(failure: Failure): Failure {
    return judgeSize(failure, () => {
      const { tokens, mostTokens } = this.#shape();
      const { set, quota } = this.#candidate;
      const refined = set.tokens.refined(tokens);
      const isUsed = this.#reservation !== null && quota.isMostlyUsed(this.#reservation);
      return isUsed && refined <= quota.tokenLimit ? null : { tokens: refined, mostTokens };
    });
  }

  /**
   * @param inputTokens of an answer, as the provider has counted them
   * @returns null where the report has parked nothing that keeps the key from being leased again
   */
  report(outcome: Outcome, inputTokens = 0): Parked | null {
    if (this.#hasEnded) return null;
    const isSuccess = outcome.kind === 'success';
    if (isSuccess) this.prove();
    this.#hasEnded = true;
    this.#candidate.pooled.inFlight -= 1;
    if (isSuccess) this.#candidate.ejection.succeeded(this);
    const parked = isSuccess ? null : this.#fail(outcome);
    if (this.#reservation !== null) this.#settle(this.#reservation, outcome, inputTokens);
    if (this.#tests) this.#endTest(false);
    if (this.#candidate.set.isSelective && isSuccess) this.#learn(inputTokens);
    this.#probe?.giveBack();
    return parked;
  }

  #reserve(): Reservation {
    const { quota, set } = this.#candidate;
    const now = this.#context.now();
    const tokens = quota.limits.has('tpm') ? set.tokens.refined(this.#shape().tokens) : 0;
    this.#exceedsWindow = (quota.fitsAt(tokens, now) ?? now) > now;
    this.#tests = quota.fullUntil(now) > now;
    quota.isTested ||= this.#tests;
    // A request that seems not to fit reserves no tokens: others may still fit.
    // Each text of a batch counts. The shape of a chat is not computed for this.
    const requests = this.target.use === 'embeddings' ? (this.#shape().requests ?? 1) : 1;
    const reservation = quota.reserve(this.#exceedsWindow ? 0 : tokens, now, requests);
    if (quota.fullUntil(now) > now) this.#quotaChanged();
    this.#context.used?.(quota.scope);
    return reservation;
  }

  #endTest(isAnswered: boolean): void {
    const { quota } = this.#candidate;
    this.#tests = false;
    quota.isTested = false;
    if (isAnswered) quota.disproveFull(this.#context.now());
    this.#quotaChanged();
  }

  /** A refused request gives its reservation back. */
  #settle(reservation: Reservation, outcome: Outcome, inputTokens: number): void {
    const { quota } = this.#candidate;
    const now = this.#context.now();
    const wasFull = quota.fullUntil(now) > now;
    if (outcome.kind === 'success') {
      quota.settle(reservation, inputTokens > 0 ? inputTokens : reservation.tokens);
    } else if (!COUNTED.has(outcome.kind)) quota.settle(reservation, null);
    if (wasFull !== quota.fullUntil(now) > now) this.#quotaChanged();
    this.#context.used?.(quota.scope);
  }

  #quotaChanged(): void {
    this.#context.changed(this.#candidate.scopes.project_model);
  }

  #learn(inputTokens: number): void {
    const { set, key } = this.#candidate;
    const shape = this.#shape();
    set.tokens.learn(shape.tokens, inputTokens);
    if (set.features.isEmpty(this.#context.now()) || shape.features.length === 0) return;
    set.features.answered(key.project, shape.features);
  }

  #fail(failure: Failure): Parked | null {
    const verdict = verdictOf(failure, this.#shape);
    this.#takeProof(failure, verdict);
    this.#learnLimits(failure);
    const park = verdict.park(failure, this.#context.now());
    if (isOfTokens(failure) && this.#refuseSize(failure)) return null;
    if (park === null) return null;
    if (park.scope === 'project_model_feature') return this.#parkFeatures(park, failure.kind);
    const { scopes } = this.#candidate;
    const name = park.scope === 'billing' && scopes.billing === null ? 'project' : park.scope;
    const scope = scopes[name] ?? scopes.project;
    this.#park(scope, park, failure.kind);
    if (name === 'project_model') this.#parkSharers(failure, park);
    const { health } = scope;
    return health.state === 'parked' ? { scope: name, until: health.until } : null;
  }

  /**
   * Stops requests of this size until the minute ends, if smaller ones may fit.
   *
   * @returns whether they may
   */
  #refuseSize(failure: Failure): boolean {
    const { quota, set } = this.#candidate;
    const tokens = set.tokens.refined(this.#shape().tokens);
    // A request that may be larger than the limit itself says nothing of others: its size is misjudged.
    const isLarge = !('mayBeTooLarge' in failure) && tokens > quota.tokenLimit * SHARE_OF_LARGE;
    const mayFit = this.#exceedsWindow || isLarge;
    if (mayFit) quota.refuse(tokens, this.grantedAt, this.#context.now());
    return mayFit;
  }

  /** Two names of a model may share one quota. */
  #parkSharers(failure: Failure, park: Cooldown): void {
    const quotaModel = 'quotaModel' in failure ? failure.quotaModel : undefined;
    if (quotaModel === undefined) return;
    const { set, pooled } = this.#candidate;
    set.quotaModel = quotaModel;
    for (const other of pooled.candidates) {
      const { quotaModel: its, target } = other.set;
      const isSharer = other !== this.#candidate && (its ?? target.model) === quotaModel;
      if (isSharer) this.#park(other.scopes.project_model, park, failure.kind);
    }
  }

  #learnLimits(failure: Failure): void {
    const { quota, set } = this.#candidate;
    const limits = 'limits' in failure ? failure.limits : undefined;
    if (failure.kind === 'request_too_large') {
      const now = this.#context.now();
      quota.learn([{ of: 'tpm', value: failure.inputTokenLimit }], now);
      const tokens = set.tokens.refined(this.#shape().tokens);
      quota.refuseAsTooLarge(tokens, now + this.#context.cooldownMs);
    } else if (limits !== undefined) quota.learn(limits, this.#context.now());
    set.quotaChanged(quota);
    if (quota.isKnown) this.#context.used?.(quota.scope);
  }

  /** What a failure says in favour of the key, or against it in comparison with its siblings. */
  #takeProof(failure: Failure, verdict: Verdict): void {
    const { scopes, ejection } = this.#candidate;
    const proves = provedBy(failure, verdict);
    if (proves === 'everything') this.#probe?.open(this.reach, scopes.key);
    if (proves === 'key') this.#probe?.openOnly(scopes.key);
    if (failure.kind === 'superseded') this.#lose(failure);
    else if (failure.kind === 'upstream_down') this.#ejectIfOutlier(failure);
    else if (proves !== 'nothing') ejection.interrupted();
  }

  /** Only the first attempt of a request is compared: a hedge began later. */
  #lose({ wasSlower }: Extract<Failure, { kind: 'superseded' }>): void {
    if (wasSlower === 'no') return;
    const { slowness, scopes } = this.#candidate;
    const now = this.#context.now();
    const ageMs = Math.max(0, now - this.grantedAt);
    slowness.lost(ageMs, wasSlower === 'clearly', now, this.#context.cooldownMs);
    this.#context.changed(scopes.key_model);
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

  /** A special request must not keep plain ones from their probe. */
  #parkFeatures({ scope, features, ms }: FeaturePark, cause: FailureKind): Parked | null {
    const candidate = this.#candidate;
    const { key, set, scopes } = candidate;
    const now = this.#context.now();
    set.isSelective = true;
    if (this.isProbe) {
      candidate.keptForPlainUntil = set.keepsForPlainUntil = now + KEPT_FOR_PLAIN_MS;
    }
    // A release opens the project: a lease from before it parks nothing.
    if (this.#knowsUntil < scopes.project.sharedHealth.openedAt) return null;
    // Without its last key it is forgotten; another key may have its name.
    if (scopes.project.dependents.length === 0) return null;
    const until = now + Math.min(ms, this.#context.cooldownMs);
    const found = { features, cause, since: now, until };
    return { scope, features, until: set.features.park(key.project, found) };
  }

  #park(scope: Scope, { ms, effect, isHinted, rejection }: Cooldown, cause: Cause): void {
    const now = this.#context.now();
    const until = now + Math.min(ms, this.#context.cooldownMs);
    const before = scope.health;
    const why = { cause, rejection, effect, reach: this.reach, isHinted };
    scope.park(until, { ...why, since: now, foundAt: this.#knowsUntil });
    if (scope.health !== before) this.#context.found(scope);
  }
}

/** Of a minute's tokens. When a larger request is refused, smaller ones may fit; a smaller one shows that nothing fits. */
const SHARE_OF_LARGE = 0.003;

const isOfTokens = (failure: Failure) =>
  failure.kind === 'rate_limited' && failure.isOfTokens === true;

/** How long a key is kept for the probe of a plain request after a special one has probed it in vain. */
const KEPT_FOR_PLAIN_MS = 10_000;

/** Failures of requests that the provider may have answered, or has: they use its quota. */
const COUNTED: ReadonlySet<Failure['kind']> = new Set([
  'unusable_answer',
  'content_blocked',
  'client_gone',
  'superseded',
  'deadline_exceeded',
  'internal_error',
]);
