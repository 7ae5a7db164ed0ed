import type { ApiKey } from '../shared/api-key.ts';
import type { Failure } from '../shared/failure.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import type { Book } from './book.ts';
import type { Candidate } from './candidate.ts';
import type { Finding, Reach } from './health.ts';
import type { Scope } from './scope.ts';
import { type Park, provedBy, verdictOf } from './verdicts.ts';

export type Outcome = { readonly kind: 'success' } | Failure;

/** What a report has parked, or found parked: until when, as milliseconds since the epoch. */
export interface Parked {
  readonly scope: Park['scope'];
  readonly until: number;
}

export interface LeaseTerms {
  readonly entry: Candidate;
  readonly reach: Reach;
  readonly shape: () => RequestShape;
  readonly book: Book;
  /** The event of that. */
  readonly grantedAt: number;
  /** The scopes that this lease is the trial of. */
  readonly tested: readonly Scope[];
}

/** The first rest of a key that looks troubled; each further one is twice as long. */
const FIRST_REST_MS = 30_000;

/** Permission to use one key for one attempt. It ends in exactly one report; a second one changes nothing. */
export class Lease {
  readonly #entry: Candidate;
  readonly #reach: Reach;
  readonly #shape: () => RequestShape;
  readonly #book: Book;
  readonly #grantedAt: number;
  /** The scopes that this lease is the trial of. */
  #tested: readonly Scope[];
  /** What the lease finds is as new as this event. */
  #knowsOf: number;
  #isProven = false;
  #hasEnded = false;

  constructor({ entry, reach, shape, book, grantedAt, tested }: LeaseTerms) {
    this.#entry = entry;
    this.#reach = reach;
    this.#shape = shape;
    this.#book = book;
    this.#grantedAt = grantedAt;
    this.#knowsOf = grantedAt;
    this.#tested = tested;
    entry.use.inFlight += 1;
  }

  get key(): ApiKey {
    return this.#entry.key;
  }

  get target(): Target {
    return this.#entry.set.target;
  }

  /** Whether the key is half-open, and this lease decides what becomes of it. */
  get isProbe(): boolean {
    return this.#tested.length > 0;
  }

  /**
   * The first chunk has come: the key works for this model, whatever becomes of the rest.
   *
   * @returns whether this was news
   */
  prove(): boolean {
    if (this.#isProven || this.#hasEnded) return false;
    this.#isProven = true;
    this.#openTested();
    if (this.#grantedAt >= this.#entry.restedAt) this.#endRest();
    this.#knowsOf = this.#book.nextEvent();
    const entry = this.#entry;
    entry.set.proofs.add({ entry, event: this.#knowsOf, tookMs: this.#ageMs() });
    return true;
  }

  /** @returns what keeps the key from being leased again by what was reported; null when it must be avoided otherwise */
  report(outcome: Outcome): Parked | null {
    if (this.#hasEnded) return null;
    if (outcome.kind === 'success') this.prove();
    this.#hasEnded = true;
    this.#entry.use.inFlight -= 1;
    if (outcome.kind === 'success') this.#succeed();
    const parked = outcome.kind === 'success' ? null : this.#fail(outcome);
    this.#giveBackTrials();
    return parked;
  }

  #succeed(): void {
    const entry = this.#entry;
    if (!this.#isUsedAsFullyAs(entry.failedReach)) return;
    entry.failedAt = 0;
    if (this.#grantedAt >= entry.restedAt) entry.rests = 0;
  }

  #endRest(): void {
    const { rest } = this.#entry;
    if (rest.health.state === 'ready' || !this.#canDisprove(rest)) return;
    rest.open(this.#book.nextEvent(), this.#book.now());
    this.#book.changed(rest);
  }

  #fail(failure: Failure): Parked | null {
    const verdict = verdictOf(failure, this.#shape);
    const proves = provedBy(failure, verdict);
    if (proves === 'everything') this.#openTested();
    if (proves === 'key') this.#open(this.#entry.scopes.key);
    if (failure.kind === 'upstream_down') this.#suspect(failure);
    else if (proves !== 'nothing') this.#entry.failedAt = 0;
    const parks = verdict.park(failure, this.#book.now());
    if (parks === null) return null;
    if (parks.scope === 'project_model_feature') return this.#parkFeature(parks);
    const scope = this.#entry.scopes[parks.scope];
    const { effect, isHinted } = parks;
    this.#park(scope, parks.ms, { cause: failure.kind, effect, isHinted });
    const { health } = scope;
    return health.state === 'parked' ? { scope: parks.scope, until: health.until } : null;
  }

  /** A release opens the project, so that a lease from before it parks nothing. */
  #parkFeature({ scope, feature, ms }: Extract<Park, { feature: string }>): Parked | null {
    const { key, set: lane, scopes } = this.#entry;
    if (this.#knowsOf < scopes.project.known.openedAt) return null;
    const until = this.#book.now() + Math.min(ms, this.#book.cooldownMs);
    return { scope, until: lane.features.park(key.project, feature, until) };
  }

  /**
   * Two failures in a row with a sibling's success between them: it is this key, and it rests. When
   * all fail alike nobody succeeds between, and none rests. Leases from before the last rest are the
   * same trouble once more, and do not lengthen it. A silence is no trouble of this key as long as its
   * siblings take at least half as long to answer: the model thinks.
   */
  #suspect({ timedOut, status }: Extract<Failure, { kind: 'upstream_down' }>): void {
    const entry = this.#entry;
    const { set: lane, rest } = entry;
    if (this.#grantedAt < entry.restedAt) return;
    const wasSilent = timedOut && status === undefined;
    const withinMs = wasSilent ? this.#ageMs() / 2 : Number.POSITIVE_INFINITY;
    const isThisKey = entry.failedAt > 0 && lane.proofs.hasSibling(entry, entry.failedAt, withinMs);
    entry.failedAt = this.#book.nextEvent();
    entry.failedReach = this.#reach;
    if (!isThisKey) return;
    const restMs = FIRST_REST_MS * 2 ** entry.rests;
    entry.rests += 1;
    entry.restedAt = this.#book.nextEvent();
    this.#park(rest, restMs, { cause: 'upstream_down', effect: 'cooling_down', isHinted: false });
  }

  /** Events are numbered by the time. */
  #ageMs(): number {
    return Math.max(0, this.#book.now() - this.#grantedAt);
  }

  #park(scope: Scope, ms: number, finding: Pick<Finding, 'cause' | 'effect' | 'isHinted'>): void {
    const now = this.#book.now();
    const until = now + Math.min(ms, this.#book.cooldownMs);
    const before = scope.health;
    scope.park(this.#knowsOf, until, { ...finding, reach: this.#reach, since: now });
    if (scope.health !== before) this.#book.found(scope);
  }

  /** What a fuller use of the key has found stays half-open: only such a use can disprove it. */
  #openTested(): void {
    const disproved = this.#tested.filter((scope) => this.#canDisprove(scope));
    this.#tested = this.#tested.filter((scope) => !disproved.includes(scope));
    for (const scope of disproved) this.#open(scope);
  }

  #canDisprove(scope: Scope): boolean {
    const { health } = scope;
    if (scope === this.#entry.scopes.key) return true;
    return health.state !== 'ready' && this.#isUsedAsFullyAs(health.finding.reach);
  }

  #isUsedAsFullyAs(reach: Reach): boolean {
    return this.#reach === 'whole' || reach === 'part';
  }

  #open(scope: Scope): void {
    const { nextEvent, now } = this.#book;
    if (!scope.openByProbe(this.#grantedAt, nextEvent(), now())) return;
    this.#book.found(scope);
  }

  #giveBackTrials(): void {
    for (const scope of this.#tested) {
      if (scope.giveBackProbe(this.#grantedAt)) this.#book.found(scope);
    }
    this.#tested = [];
  }
}
