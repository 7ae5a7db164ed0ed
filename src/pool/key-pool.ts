import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { PLAIN } from '../shared/request-shape.ts';
import type { Target } from '../shared/target.ts';
import { type Book, createBook } from './book.ts';
import type { Candidate } from './candidate.ts';
import { earliest } from './candidate-set.ts';
import { type CandidateSets, createCandidateSets } from './candidate-sets.ts';
import { allowedBy, type Choice, featureOf } from './choice.ts';
import type { Reach } from './health.ts';
import { createInspection, type Inspection } from './inspection.ts';
import { describeCandidate } from './key-state.ts';
import { createKnowledge, type Knowledge } from './knowledge.ts';
import { Lease } from './lease.ts';
import { createOperator, type Operator } from './operator.ts';
import { askForProbe, type Peers } from './peers.ts';
import type { Scope } from './scope.ts';

export interface KeyPoolOptions {
  readonly keys: readonly ApiKey[];
  /** Each provider's first one is its default. Nothing else ever gets a scope. */
  readonly targets: readonly Target[];
  /** The longest that anything is parked, in milliseconds. */
  readonly cooldownMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /**
   * From 0 to 1: where in the rotation it begins, and a key that has come back has its place, so that
   * several processes do not go through the keys in step. Default: in order.
   */
  readonly random?: (() => number) | null;
  /** Default: none, this process has the keys for itself. */
  readonly peers?: Peers;
}

export interface LeaseOptions extends Choice {
  /** Default: `whole`. */
  readonly reach?: Reach;
  /** Choose among the keys that rest, for when nothing else is left. */
  readonly lastResort?: boolean;
}

/**
 * Every provider's keys and what is known of their health: pure and synchronous. It keeps no timer,
 * does no I/O, compares times only when asked, and never looks at a key's text.
 */
export class KeyPool {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly knowledge: Knowledge;
  readonly #peers: Peers | null;
  readonly #lanes: CandidateSets;
  readonly #providers: ReadonlySet<ProviderName>;
  readonly #book: Book;

  constructor({ keys, targets, cooldownMs, now, random = null, peers }: KeyPoolOptions) {
    const asksFirst = peers !== undefined;
    this.#peers = peers ?? null;
    this.#lanes = createCandidateSets({ keys, targets, random, asksFirst });
    this.#providers = new Set(keys.map(({ provider }) => provider));
    this.#book = createBook({ cooldownMs, now, tell: (scope) => peers?.found(scope) });
    const entriesOf = indexById(this.#lanes);
    this.inspection = createInspection(this.#lanes, entriesOf, now);
    this.operator = createOperator(entriesOf, this.#book);
    this.knowledge = createKnowledge(this.#lanes, this.#book);
  }

  /**
   * Round-robin among the usable keys of a target.
   *
   * @returns null when no key may be used now, or when the target is none of the pool's
   */
  lease(target: Target, options: LeaseOptions = {}): Lease | null {
    const entry = this.#choose(target, options);
    return entry === null ? null : this.#grant(entry, options);
  }

  /** Whether `lease` would grant one now. */
  hasLease(target: Target, options: LeaseOptions = {}): boolean {
    return this.#choose(target, options) !== null;
  }

  /**
   * When a key of this target may be used again: milliseconds since the epoch, `now` when
   * one may already or when the outcome of a trial is awaited, null when there is no such key.
   */
  returnsAt(target: Target, choice: Choice = {}): number | null {
    const lane = this.#lanes.get(target);
    const now = this.#book.now();
    return lane?.returnsAt(now, allowedBy(choice, lane.features, now)) ?? null;
  }

  /** What to promise to whoever is refused: like `returnsAt`, but a key that needs somebody to act only for want of any other. */
  retryAt(target: Target, choice: Choice = {}): number | null {
    const lane = this.#lanes.get(target);
    if (lane === undefined) return null;
    const now = this.#book.now();
    const retryAt = lane.retryAt(now, allowedBy(choice, lane.features, now));
    const feature = featureOf(choice, lane.features, now);
    return feature === null ? retryAt : earliest(retryAt, lane.features.endsAt(feature, now));
  }

  /** When time alone next brings a key of this target back, later than now; null for never. */
  nextDueAt(target: Target): number | null {
    return this.#lanes.get(target)?.nextDueAt(this.#book.now()) ?? null;
  }

  /**
   * Whether every key lacks the target's model, so that waiting for one makes no sense.
   *
   * @param choice without the keys that lack it although nothing is parked for it
   */
  isModelUnavailable(target: Target, choice: Choice = {}): boolean {
    const now = this.#book.now();
    const lane = this.#lanes.get(target);
    if (lane === undefined) return true;
    const allows = allowedBy(choice, lane.features, now);
    return lane.candidates.every(
      (entry) =>
        (allows !== null && !allows(entry.key)) ||
        describeCandidate(entry, now).cause === 'model_unavailable',
    );
  }

  /** Whether the other processes are just being asked whether a key may be tried: they answer soon. */
  isAsking(target: Target): boolean {
    return (this.#lanes.get(target)?.asked ?? 0) > 0;
  }

  /** Whether special requests may get other answers than plain ones. */
  parksFeatures(target: Target): boolean {
    return this.#lanes.get(target)?.features.isEmpty(this.#book.now()) === false;
  }

  hasKeys(provider: ProviderName): boolean {
    return this.#providers.has(provider);
  }

  #choose(target: Target, options: LeaseOptions): Candidate | null {
    const lane = this.#lanes.get(target);
    if (lane === undefined) return null;
    const now = this.#book.now();
    const allows = allowedBy(options, lane.features, now);
    if (this.#peers !== null) askForProbe(lane, allows, this.#book, this.#peers);
    return options.lastResort ? lane.nextResting(now, allows) : lane.next(now, allows);
  }

  #grant(entry: Candidate, options: LeaseOptions): Lease {
    const { reach = 'whole', shape = PLAIN } = options;
    const number = this.#book.nextEvent();
    entry.set.rotate(entry);
    const tested = this.#beginTrials(entry, number);
    return new Lease({ entry, reach, shape, book: this.#book, grantedAt: number, tested });
  }

  #beginTrials(entry: Candidate, lease: number): readonly Scope[] {
    if (entry.isUntroubled) return NOTHING_TESTED;
    const parked = [...entry.all, entry.rest].filter(({ health }) => health.state === 'parked');
    const tested = parked.filter((scope) => scope.beginProbe(lease));
    for (const scope of parked) this.#book.changed(scope);
    return tested;
  }
}

/** Each key in all its lanes, by its id: only put together when somebody asks. */
function indexById(lanes: CandidateSets): (id: string) => readonly Candidate[] {
  let byId: Map<string, Candidate[]> | null = null;
  return (id) => {
    byId ??= groupById(lanes);
    return byId.get(id) ?? [];
  };
}

function groupById(lanes: CandidateSets): Map<string, Candidate[]> {
  const byId = new Map<string, Candidate[]>();
  for (const entry of [...lanes.values()].flatMap(({ candidates }) => candidates)) {
    const known = byId.get(entry.key.id);
    if (known === undefined) byId.set(entry.key.id, [entry]);
    else known.push(entry);
  }
  return byId;
}

const NOTHING_TESTED: readonly Scope[] = [];
