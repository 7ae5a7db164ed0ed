import type { Accepts, RingNode } from './rotation.ts';
import {
  coversReach,
  type Health,
  type PoolContext,
  READY,
  type Reach,
  type Scope,
} from './scope.ts';

/** Whether a probe is under way, here or elsewhere: other requests wait for its outcome. */
export function isProbed({ health }: Scope, now: number): boolean {
  if (health.state === 'probing_elsewhere') return health.expiresAt > now;
  return health.state === 'probing';
}

/** Until when probes of these scopes by other instances are waited for; 0 where there is none. */
export function probedElsewhereUntil(scopes: readonly Scope[], now: number): number {
  let until = 0;
  for (const { health } of scopes) {
    const isElsewhere = health.state === 'probing_elsewhere' && health.expiresAt > now;
    if (isElsewhere) until = Math.max(until, health.expiresAt);
  }
  return until;
}

/** A lease that probes: its outcome opens its scopes, parks them again, or leaves them half-open. */
export class Probe {
  readonly #lease: number;
  readonly #context: PoolContext;
  #scopes: readonly Scope[];

  /**
   * Makes a lease the probe of the parked ones among its scopes. Only an ejected candidate is leased before
   * its time, as the last resort.
   *
   * @param lease the event at which the lease is granted
   * @returns null where there is nothing to probe
   */
  static begin(scopes: readonly Scope[], lease: number, context: PoolContext): Probe | null {
    const parked = scopes.filter(({ health }) => health.state === 'parked');
    const probed = parked.filter((scope) => beginProbe(scope, lease));
    for (const scope of parked) context.changed(scope);
    return probed.length === 0 ? null : new Probe(probed, lease, context);
  }

  private constructor(scopes: readonly Scope[], lease: number, context: PoolContext) {
    this.#scopes = scopes;
    this.#lease = lease;
    this.#context = context;
  }

  /**
   * Opens every scope that the lease has proven.
   *
   * @param reach of the lease: what a fuller use of the key has found stays half-open
   * @param key the key's own scope, which any use proves
   */
  open(reach: Reach, key: Scope): void {
    const proven = this.#scopes.filter((scope) => scope === key || disproves(reach, scope));
    this.#scopes = this.#scopes.filter((scope) => !proven.includes(scope));
    for (const scope of proven) this.openOnly(scope);
  }

  /** Opens this scope if the lease still probes it: it may have been parked again since. */
  openOnly(scope: Scope): void {
    if (!isProbedBy(this.#lease, scope.health)) return;
    const now = this.#context.now();
    scope.open(this.#context.nextEvent(now), now);
    this.#context.found(scope);
  }

  /** Ends the probe: the next lease may probe what it has neither opened nor parked. */
  giveBack(): void {
    for (const scope of this.#scopes) {
      if (!isProbedBy(this.#lease, scope.health)) continue;
      scope.replaceHealth(parkedAgain(scope.health));
      this.#context.found(scope);
    }
    this.#scopes = [];
  }
}

/** A park by the operator is over without a probe. */
function beginProbe(scope: Scope, lease: number): boolean {
  const { health } = scope;
  if (health.state !== 'parked') return false;
  const { until, finding } = health;
  const isOver = finding.cause === 'operator';
  scope.replaceHealth(isOver ? READY : { state: 'probing', until, finding, lease });
  return !isOver;
}

const isProbedBy = (lease: number, health: Health): health is NotReady =>
  health.state === 'probing' && health.lease === lease;

type NotReady = Exclude<Health, { readonly state: 'ready' }>;

const parkedAgain = ({ until, finding }: NotReady, permit: object | null = null): Health => ({
  state: 'parked',
  until,
  finding,
  permit,
});

const disproves = (reach: Reach, { health }: Scope): boolean =>
  health.state !== 'ready' && coversReach(reach, health.finding.reach);

/** Whether the scope is half-open and the other instances must permit its probe first. */
export function mustAskFor(scope: Scope, now: number): boolean {
  const { health, needsPermits } = scope;
  if (!needsPermits || health.state === 'ready' || health.state === 'probing') return false;
  if (health.until > now || isProbed(scope, now)) return false;
  const isPermitted = health.state === 'parked' && health.permit !== null;
  return !isPermitted && health.finding.cause !== 'operator';
}

/** At most this many candidates of one set are asked for at a time. */
const MAX_PENDING = 4;
/** An instance that gets no answer in this time asks again. */
const ANSWER_LIMIT_MS = 1000;

/** A candidate set, as it asks for probes. */
interface Asker<C> {
  /** How many of its requests have no answer yet. */
  pendingRequests: number;
  nextToAskFor(now: number, accepts: Accepts<C>): C | null;
  place(candidate: C, now: number): void;
}

/**
 * Asks the other instances for the probe of one candidate, if one needs it. The caller goes on with another
 * key meanwhile.
 */
export function askForProbe<C extends RingNode<C> & { readonly allScopes: readonly Scope[] }>(
  set: Asker<C>,
  accepts: Accepts<C>,
  context: PoolContext,
  ask: (request: ProbeRequest) => void,
): void {
  if (set.pendingRequests >= MAX_PENDING) return;
  const now = context.now();
  const candidate = set.nextToAskFor(now, accepts);
  if (candidate === null) return;
  const scopes = candidate.allScopes.filter((scope) => mustAskFor(scope, now));
  if (scopes.length === 0) {
    // The clock was set back since the candidate was placed.
    set.place(candidate, now);
    return;
  }
  const request = new ProbeRequest(scopes, context, (isAllowed) => {
    set.pendingRequests -= 1;
    if (isAllowed) candidate.ring?.moveToFront(candidate);
  });
  set.pendingRequests += 1;
  request.leaveToOthers(now + ANSWER_LIMIT_MS);
  ask(request);
}

/** Asks whether this instance may probe the scopes of one candidate. */
export class ProbeRequest {
  readonly scopes: readonly Scope[];
  readonly #context: PoolContext;
  readonly #onAnswer: (isAllowed: boolean) => void;
  #isAnswered = false;

  /** @param onAnswer called at the first answer, after the scopes have changed */
  constructor(
    scopes: readonly Scope[],
    context: PoolContext,
    onAnswer: (isAllowed: boolean) => void,
  ) {
    this.scopes = scopes;
    this.#context = context;
    this.#onAnswer = onAnswer;
  }

  /** The next lease of the candidate here may be the probe. */
  allow(): void {
    for (const scope of this.scopes) {
      if (scope.health.state === 'probing_elsewhere') {
        scope.replaceHealth(parkedAgain(scope.health, this));
      }
      this.#context.changed(scope);
    }
    this.#answered(true);
  }

  /**
   * Another instance probes, or there is nothing to probe.
   *
   * @param until when to ask again, in milliseconds since the epoch
   */
  deny(until: number): void {
    this.leaveToOthers(until);
    this.#answered(false);
  }

  leaveToOthers(expiresAt: number): void {
    const now = this.#context.now();
    for (const scope of this.scopes) {
      const { health } = scope;
      if (health.state !== 'ready' && health.state !== 'probing' && health.until <= now) {
        const { until, finding } = health;
        scope.replaceHealth({ state: 'probing_elsewhere', until, finding, expiresAt });
      }
      this.#context.changed(scope);
    }
  }

  /**
   * Gives up the permission, if no lease has used it.
   *
   * @returns the scopes that another instance may probe instead
   */
  withdraw(): readonly Scope[] {
    const unused = this.scopes.filter(
      ({ health }) => health.state === 'parked' && health.permit === this,
    );
    for (const scope of unused) {
      if (scope.health.state === 'parked') scope.replaceHealth({ ...scope.health, permit: null });
      this.#context.changed(scope);
    }
    return unused;
  }

  #answered(isAllowed: boolean): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#onAnswer(isAllowed);
  }
}

/** Whether this instance probes the scope, or has the permission to. */
export const holdsProbe = ({ health }: Scope): boolean =>
  health.state === 'probing' || (health.state === 'parked' && health.permit !== null);

/** Another instance has ended its probe of this scope, or given it up. */
export function endProbeElsewhere(scope: Scope, context: PoolContext): void {
  if (scope.health.state !== 'probing_elsewhere') return;
  scope.replaceHealth(parkedAgain(scope.health));
  context.changed(scope);
}
