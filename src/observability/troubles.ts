import type { EndedTrace, TraceSink } from '../failover/trace.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { DAY_MS } from '../shared/clock.ts';
import type { FailureKind } from '../shared/failure.ts';
import type { Target } from '../shared/target.ts';
import { isSameModel } from './request-log.ts';

/** The recent failures and refusals. Situations are made of them and of the state of the keys. */
export interface Troubles extends TraceSink {
  /** Our own limit for one address has refused a request. */
  turnedAway(refused: RefusedCaller, now: number): void;
  /** @param limit the client's own, such as `requests_per_day`, or `share` */
  overBudget(client: string, limit: string, now: number): void;
  of(provider: ProviderName): ProviderTroubles;
  limiter(now: number): LimiterTroubles;
  /** Those that were refused within the last quarter of an hour. */
  clients(now: number): readonly ClientTroubles[];
  readonly bugs: RecentCount;
  /** Models that answered within a day although others were asked for. */
  otherModels(now: number): readonly OtherModel[];
}

/** A caller that was refused: shows whether many callers have one address. */
export interface RefusedCaller {
  readonly address: string;
  /** The first entry of `X-Forwarded-For`; null without one. */
  readonly forwardedFor: string | null;
}

export interface ProviderTroubles {
  /** Refused because no key could be used. */
  readonly outOfKeys: RecentCount;
  /** Refused or broken off because calls failed. */
  readonly failed: RecentCount;
  /** The last requests that failed at the provider, oldest first. */
  readonly failures: readonly FailedRequest[];
  /** Requests that were answered since the last failure. */
  readonly answeredSince: number;
  /** Requests that were answered since the last of `outOfKeys` and `failed`. */
  readonly answeredSinceRefusal: number;
}

export interface FailedRequest {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: FailureKind;
  readonly isTimeout: boolean;
  readonly message: string;
  /** The HTTP status of the provider's answer; null without one. */
  readonly status: number | null;
  /** Requests that were answered between the failure before and this one. */
  readonly answeredBefore: number;
  /** How many of `failed` were before this one. */
  readonly failedBefore: number;
}

export interface LimiterTroubles {
  readonly refused: RecentCount;
  /** How many addresses were refused within the last quarter of an hour. */
  readonly addresses: number;
  /** Whether many callers seem to have one address, as behind a proxy that `TRUST_PROXY` does not count. */
  readonly mayBeProxy: boolean;
}

export interface ClientTroubles {
  readonly client: string;
  readonly limit: string;
  readonly refused: RecentCount;
}

export interface OtherModel {
  readonly service: ProviderName;
  readonly model: string;
  readonly answers: string;
  /** When it was last seen. Milliseconds since the epoch. */
  readonly at: number;
}

export const RECENT_MS = 900_000;
const MAX_FAILURES = 20;
const MAX_ADDRESSES = 200;
const MAX_FORWARDED = 3;
const MAX_CLIENTS = 50;
/** For one target: a gateway could answer with any number of names. */
const MAX_NAMES = 10;
const MAX_NAME = 100;

/** @param answersOf how many requests were answered by a provider so far */
export function createTroubles(answersOf: (provider: ProviderName) => number): Troubles {
  const providers = new Map<ProviderName, MutableTroubles>();
  const refused = new RecentCount();
  const bugs = new RecentCount();
  const callers = new Map<string, RefusedAddress>();
  const clients = new Map<string, ClientTroubles>();
  const answering = new Map<Target, Map<string, Answering>>();
  const of = (provider: ProviderName) => {
    const known = providers.get(provider);
    if (known !== undefined) return known;
    const troubles = new MutableTroubles(() => answersOf(provider));
    providers.set(provider, troubles);
    return troubles;
  };
  return {
    of,
    bugs,
    requestHadTrouble(request) {
      if (request.end.kind === 'internal_error') bugs.add(request.startedAt + request.ms);
      else of(request.targets[0].provider).add(request);
    },
    otherModelAnswers(target, responseModel) {
      const names = answering.get(target) ?? new Map<string, Answering>();
      if (names.size === 0) answering.set(target, names);
      const known = names.get(responseModel);
      if (known !== undefined) known.isNew = true;
      else if (names.size < MAX_NAMES) {
        const isOther = !isSameModel(target.label, responseModel);
        names.set(responseModel, { isOther, isNew: true, at: 0 });
      }
    },
    otherModels: (now) => [...answering].flatMap(([target, names]) => others(target, names, now)),
    turnedAway(caller, now) {
      refused.add(now);
      const known = callers.get(caller.address);
      if (known !== undefined) known.add(caller, now);
      else if (callers.size < MAX_ADDRESSES)
        callers.set(caller.address, new RefusedAddress(caller, now));
    },
    limiter(now) {
      for (const [address, { at }] of callers) if (at <= now - RECENT_MS) callers.delete(address);
      return { refused, addresses: callers.size, mayBeProxy: mayBeProxy(callers) };
    },
    overBudget(client, limit, now) {
      const name = `${client} ${limit}`;
      const known = clients.get(name) ?? { client, limit, refused: new RecentCount() };
      if (clients.has(name) || clients.size < MAX_CLIENTS) clients.set(name, known);
      known.refused.add(now);
    },
    clients(now) {
      for (const [name, one] of clients) {
        if (one.refused.lastAt <= now - RECENT_MS) clients.delete(name);
      }
      return [...clients.values()];
    },
  };
}

const SLOTS = 60;

/** Counts events: those of the last sixty slots of time by their slot, and all of them. */
export class RecentCount {
  /** Since the start. */
  total = 0;
  /** Milliseconds since the epoch; 0 for never. */
  lastAt = 0;
  readonly #slotMs: number;
  /** When the first event of each slot was. */
  readonly #firstAt = new Float64Array(SLOTS);
  readonly #counts = new Float64Array(SLOTS);

  /** @param slotMs default: a quarter of a minute, so that it counts the last quarter of an hour */
  constructor(slotMs = RECENT_MS / SLOTS) {
    this.#slotMs = slotMs;
  }

  add(at: number): void {
    const number = this.#numberAt(at);
    const slot = number % SLOTS;
    if (this.#numberAt(this.#firstAt[slot] ?? 0) !== number) {
      this.#firstAt[slot] = at;
      this.#counts[slot] = 0;
    }
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    this.total += 1;
    this.lastAt = Math.max(this.lastAt, at);
  }

  /** How many since the beginning of the slot of this time; at most those of the last sixty slots. */
  since(from: number, now: number): number {
    const first = Math.max(this.#numberAt(from), this.#numberAt(now) - SLOTS + 1);
    return this.#counts.reduce(
      (sum, count, slot) => (this.#numberAt(this.#firstAt[slot] ?? 0) >= first ? sum + count : sum),
      0,
    );
  }

  /** When the first of the last sixty slots was; `now` without any. */
  firstAt(now: number): number {
    const first = this.#numberAt(now) - SLOTS + 1;
    return Math.min(now, ...this.#firstAt.filter((at) => this.#numberAt(at) >= first));
  }

  #numberAt(at: number): number {
    return Math.floor(at / this.#slotMs);
  }
}

/** Failures at the provider that end a request. */
const PROVIDERS_FAILURES: ReadonlySet<FailureKind> = new Set([
  'upstream_down',
  'misconfigured',
  'deadline_exceeded',
]);

class MutableTroubles implements ProviderTroubles {
  readonly outOfKeys = new RecentCount();
  readonly failed = new RecentCount();
  readonly failures: FailedRequest[] = [];
  readonly #answers: () => number;
  /** At the last failure. */
  #answersBefore = 0;
  /** At the last refusal. */
  #answersBeforeRefusal = 0;

  constructor(answers: () => number) {
    this.#answers = answers;
  }

  get answeredSince(): number {
    return this.#answers() - this.#answersBefore;
  }

  get answeredSinceRefusal(): number {
    return this.#answers() - this.#answersBeforeRefusal;
  }

  add(request: EndedTrace): void {
    const { end, attempts, startedAt, ms } = request;
    if (end.kind !== 'refused' && end.kind !== 'broken_off') return;
    const at = startedAt + ms;
    const isOutOfKeys = end.kind === 'refused' && !end.code.startsWith('upstream_');
    const failedBefore = this.failed.total;
    this.#answersBeforeRefusal = this.#answers();
    (isOutOfKeys ? this.outOfKeys : this.failed).add(at);
    const failure = attempts.at(-1)?.outcome;
    if (isOutOfKeys || failure === undefined || failure.kind === 'success') return;
    const { kind, message, status = null } = failure;
    if (!PROVIDERS_FAILURES.has(kind)) return;
    const isTimeout =
      failure.kind === 'upstream_down' ? failure.timedOut : kind === 'deadline_exceeded';
    const answeredBefore = this.answeredSince;
    this.failures.push({ at, kind, isTimeout, message, status, answeredBefore, failedBefore });
    if (this.failures.length > MAX_FAILURES) this.failures.shift();
    this.#answersBefore = this.#answers();
  }
}

interface Answering {
  /** Whether it is a different model, not a version of the one that was asked for. */
  readonly isOther: boolean;
  /** Whether it has answered since the last look. A mark is cheaper than the time. */
  isNew: boolean;
  at: number;
}

function others(
  { provider: service, label: model }: Target,
  names: ReadonlyMap<string, Answering>,
  now: number,
): readonly OtherModel[] {
  return [...names].flatMap(([answers, one]) => {
    if (one.isNew) one.at = now;
    one.isNew = false;
    return one.isOther && one.at > now - DAY_MS
      ? [{ service, model, answers: answers.slice(0, MAX_NAME), at: one.at }]
      : [];
  });
}

/** An address that was refused, and the addresses that it forwarded for. */
class RefusedAddress {
  at: number;
  count = 0;
  readonly forwardedFor = new Set<string>();

  constructor(caller: RefusedCaller, now: number) {
    this.at = now;
    this.add(caller, now);
  }

  add({ forwardedFor }: RefusedCaller, now: number): void {
    this.at = now;
    this.count += 1;
    if (forwardedFor !== null && this.forwardedFor.size < MAX_FORWARDED) {
      this.forwardedFor.add(forwardedFor.slice(0, 50));
    }
  }
}

/** An address of a private network, as a proxy in front has. */
const PRIVATE =
  /^(?:::ffff:)?(?:10\.|127\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)|^::1$|^f[cd]/i;
const NEARLY_ALL = 0.9;

/** One address forwards for several others, or nearly all requests come from a private address that forwards for another. */
function mayBeProxy(callers: ReadonlyMap<string, RefusedAddress>): boolean {
  const total = [...callers.values()].reduce((sum, { count }) => sum + count, 0);
  return [...callers].some(([address, { count, forwardedFor }]) => {
    if (forwardedFor.size > 1) return true;
    const isMost = count >= NEARLY_ALL * total;
    return isMost && PRIVATE.test(address) && forwardedFor.size === 1 && !forwardedFor.has(address);
  });
}
