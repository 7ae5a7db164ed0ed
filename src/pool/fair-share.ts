import { nextPacificMidnight } from '../shared/pacific-midnight.ts';
import type { Target } from '../shared/target.ts';
import type { QuotaUse } from './pacing.ts';

/** What a target can answer in its present windows, from their beginning to their end. Null: it is not known. */
export interface Capacity {
  readonly requests: number | null;
  readonly tokens: number | null;
  readonly dayRequests: number | null;
}

/** A client, or all callers without a token: the parties that share a target. */
export interface Sharer {
  readonly name: string;
  /** Its part of a scarce target is its weight among those of the others. */
  readonly weight: number;
}

/** What was used of a budget or of a share. */
export interface ClientUse extends QuotaUse {
  readonly dayTokens: number;
  /** Refused requests included. */
  readonly asked: number;
}

export interface FairShareOptions {
  readonly capacityOf: (target: Target) => Capacity | null;
  /** How long a minute of a quota lasts, in milliseconds. */
  readonly minuteMs: number;
  /** Called for each change that other instances must know: none while no quota of the target is known. Null without Redis. */
  readonly changed: ((claim: Claim) => void) | null;
}

/**
 * Divides each target among the clients that ask for it. A client is active for a minute after a request. While the
 * target's quota is known, each active client is guaranteed its part by weight. It may also take what the others do not
 * want of their guarantees. A client that is alone is never refused.
 */
export class FairShare {
  readonly #options: FairShareOptions;
  readonly #targets = new Map<Target, TargetShares>();

  constructor(options: FairShareOptions) {
    this.#options = options;
  }

  /**
   * Counts a request, unless it is beyond the client's share.
   *
   * @returns until when the client has to wait, in milliseconds since the epoch; 0 where the request is admitted
   */
  admit(client: Sharer, target: Target, now: number): number {
    return this.#sharesOf(target).admit(client, now);
  }

  /** A request that was admitted at this time has used nothing. */
  giveBack(client: Sharer, target: Target, admittedAt: number, now: number): void {
    this.#sharesOf(target).giveBack(client, admittedAt, now);
  }

  /** Counts the tokens of a request that has ended. */
  spend(client: Sharer, target: Target, tokens: number, now: number): void {
    this.#sharesOf(target).spend(client, tokens, now);
  }

  claimOf(client: Sharer, target: Target): Claim {
    return this.#sharesOf(target).claimOf(client);
  }

  /** What this instance has counted. */
  use(claim: Claim, now: number): ClientUse {
    return this.#sharesOf(claim.target).use(claim, now);
  }

  /** Other instances have used so much. */
  merge(claim: Claim, others: ClientUse, now: number): void {
    this.#sharesOf(claim.target).merge(claim, others, now);
  }

  /** The client no longer exists. */
  forget(name: string): void {
    for (const shares of this.#targets.values()) shares.forget(name);
  }

  #sharesOf(target: Target): TargetShares {
    const known = this.#targets.get(target);
    if (known !== undefined) return known;
    const shares = new TargetShares(target, this.#options);
    this.#targets.set(target, shares);
    return shares;
  }
}

/** What one client has asked and used of one target in the present windows. */
export class Claim {
  readonly target: Target;
  client: Sharer;
  /** Refused requests included. */
  asked = 0;
  requests = 0;
  tokens = 0;
  dayRequests = 0;
  /** In other instances. */
  others: Pick<ClientUse, 'asked' | 'requests' | 'tokens'> = NOTHING;
  othersOfDay = 0;
  askedBefore = 0;
  /** How many requests other instances got for each one here, in the minute before. */
  othersForEach = 0;
  /** How many of `requests` were published, and how many before the latest counts of the others. */
  published = 0;
  confirmed = 0;
  tokensPerRequest = 0;
  /** Milliseconds since the epoch. */
  lastAskedAt = Number.NEGATIVE_INFINITY;
  /** When it first asked in this minute. Milliseconds since the epoch; infinity where it has not. */
  firstAskedAt = Number.POSITIVE_INFINITY;
  /** What it is expected to ask by the end of the minute, and the tokens of that. */
  wanted = 0;
  tokensWanted = 0;

  constructor(client: Sharer, target: Target) {
    this.client = client;
    this.target = target;
  }

  get usedRequests(): number {
    return this.requests + this.others.requests;
  }

  get usedTokens(): number {
    return this.tokens + this.others.tokens;
  }

  get usedOfDay(): number {
    return this.dayRequests + this.othersOfDay;
  }

  /** With an estimate of what other instances have admitted since their last counts: a burst reaches all of them at once. */
  get likelyRequests(): number {
    return this.usedRequests + Math.max(0, this.requests - this.confirmed) * this.othersForEach;
  }

  /**
   * @param isNext whether the minute that has ended was the one before
   * @param endedAt its end
   */
  openMinute(isNext: boolean, endedAt: number, minuteMs: number): void {
    this.othersForEach = isNext && this.asked > 0 ? this.others.asked / this.asked : 0;
    this.published = this.confirmed = 0;
    // A client that began in the middle of the minute will go on at the same rate.
    const isNew = this.askedBefore === 0;
    const askedMs = isNew ? Math.max(endedAt - this.firstAskedAt, minuteMs / MAX_GROWTH) : minuteMs;
    const asked = this.asked + this.others.asked;
    this.askedBefore = isNext ? Math.ceil((asked * minuteMs) / askedMs) : 0;
    this.firstAskedAt = Number.POSITIVE_INFINITY;
    if (this.usedRequests > 0) this.tokensPerRequest = this.usedTokens / this.usedRequests;
    this.asked = this.requests = this.tokens = 0;
    this.others = NOTHING;
  }
}

/** A new client is expected to ask at most so many times as much in its next minute. */
const MAX_GROWTH = 10;

const NOTHING = { asked: 0, requests: 0, tokens: 0, dayRequests: 0 };

/** How long a target's capacity is cached: computing it walks over the keys. */
const CAPACITY_MS = 500;

/** The clients of one target. */
class TargetShares {
  readonly #target: Target;
  readonly #options: FairShareOptions;
  readonly #claims = new Map<string, Claim>();
  /** When the present windows end, in milliseconds since the epoch. */
  #minuteEndsAt = 0;
  #dayEndsAt = 0;
  /** Sums over all claims. */
  #wanted = 0;
  #tokensWanted = 0;
  #capacity: Capacity | null = null;
  #capacityUntil = 0;

  constructor(target: Target, options: FairShareOptions) {
    this.#target = target;
    this.#options = options;
  }

  admit(client: Sharer, now: number): number {
    this.#open(now);
    const claim = this.claimOf(client);
    claim.asked += 1;
    claim.lastAskedAt = now;
    claim.firstAskedAt = Math.min(claim.firstAskedAt, now);
    this.#estimate(claim);
    const capacity = this.#capacityAt(now);
    const isBeyond =
      capacity !== null && this.#claims.size > 1 && this.#exceeds(claim, capacity, now);
    if (!isBeyond) {
      claim.requests += 1;
      claim.dayRequests += 1;
    }
    if (capacity !== null) this.#options.changed?.(claim);
    return isBeyond ? this.#minuteEndsAt : 0;
  }

  giveBack(client: Sharer, admittedAt: number, now: number): void {
    this.#open(now);
    const claim = this.claimOf(client);
    if (admittedAt >= this.#minuteEndsAt - this.#options.minuteMs && claim.requests > 0) {
      claim.requests -= 1;
    }
    if (claim.dayRequests > 0) claim.dayRequests -= 1;
    if (this.#capacity !== null) this.#options.changed?.(claim);
  }

  spend(client: Sharer, tokens: number, now: number): void {
    this.#open(now);
    const claim = this.claimOf(client);
    claim.tokens += tokens;
    this.#estimate(claim);
    if (this.#capacity !== null) this.#options.changed?.(claim);
  }

  claimOf(client: Sharer): Claim {
    let claim = this.#claims.get(client.name);
    if (claim === undefined) {
      claim = new Claim(client, this.#target);
      this.#claims.set(client.name, claim);
    }
    // Its weight may have changed.
    claim.client = client;
    return claim;
  }

  use(claim: Claim, now: number): ClientUse {
    this.#open(now);
    const { requests, tokens, dayRequests, asked } = claim;
    claim.published = requests;
    const minute = this.#minuteEndsAt / this.#options.minuteMs;
    return {
      minute,
      requests,
      tokens,
      dayEndsAt: this.#dayEndsAt,
      dayRequests,
      dayTokens: 0,
      asked,
    };
  }

  merge(claim: Claim, others: ClientUse, now: number): void {
    this.#open(now);
    if (others.dayEndsAt === this.#dayEndsAt) claim.othersOfDay = others.dayRequests;
    if (others.minute !== this.#minuteEndsAt / this.#options.minuteMs) return;
    if (others.asked > claim.others.asked) {
      claim.lastAskedAt = now;
      claim.firstAskedAt = Math.min(claim.firstAskedAt, now);
    }
    claim.others = others;
    claim.confirmed = claim.published;
    this.#estimate(claim);
  }

  forget(name: string): void {
    const claim = this.#claims.get(name);
    if (claim === undefined) return;
    this.#claims.delete(name);
    this.#wanted -= claim.wanted;
    this.#tokensWanted -= claim.tokensWanted;
  }

  /** Starts the next windows where the present ones have ended. The clock may be set back. */
  #open(now: number): void {
    const { minuteMs } = this.#options;
    if (now < this.#minuteEndsAt && now >= this.#minuteEndsAt - minuteMs) return;
    const endsAt = (Math.floor(now / minuteMs) + 1) * minuteMs;
    const dayEndsAt = nextPacificMidnight(now);
    const endedAt = this.#minuteEndsAt;
    const isNext = endsAt - endedAt === minuteMs;
    const isSameDay = dayEndsAt === this.#dayEndsAt;
    this.#minuteEndsAt = endsAt;
    this.#dayEndsAt = dayEndsAt;
    this.#capacityUntil = this.#wanted = this.#tokensWanted = 0;
    for (const claim of this.#claims.values()) {
      claim.openMinute(isNext, endedAt, minuteMs);
      if (!isSameDay) claim.dayRequests = claim.othersOfDay = 0;
      claim.wanted = claim.tokensWanted = 0;
      this.#estimate(claim);
    }
  }

  /** What the client will have asked by the end of the minute: at least as much as in the minute before, or at its rate then. */
  #estimate(claim: Claim): void {
    const wanted = Math.max(claim.askedBefore, claim.asked + claim.others.asked);
    const tokensWanted = Math.max(claim.usedTokens, wanted * claim.tokensPerRequest);
    this.#wanted += wanted - claim.wanted;
    this.#tokensWanted += tokensWanted - claim.tokensWanted;
    claim.wanted = wanted;
    claim.tokensWanted = tokensWanted;
  }

  #capacityAt(now: number): Capacity | null {
    if (now < this.#capacityUntil) return this.#capacity;
    this.#capacityUntil = now + CAPACITY_MS;
    this.#capacity = this.#options.capacityOf(this.#target);
    return this.#capacity;
  }

  /** Whether the request would take what the others are guaranteed. */
  #exceeds(claim: Claim, capacity: Capacity, now: number): boolean {
    const { requests, tokens, dayRequests } = capacity;
    const activeSince = now - this.#options.minuteMs;
    const lacks = (of: Measure, all: number) => !mayTake(claim, this.#claims, all, of, activeSince);
    return (
      (isLimit(requests) && this.#wanted > requests && lacks(OF_MINUTE, requests)) ||
      (isLimit(tokens) && this.#tokensWanted > tokens && lacks(OF_TOKENS, tokens)) ||
      (isLimit(dayRequests) && lacks(this.#ofDay(now), dayRequests))
    );
  }

  /** Expects the requests of this minute in each minute that is left of the day. */
  #ofDay(now: number): Measure {
    const minutes = Math.max(0, (this.#dayEndsAt - now) / this.#options.minuteMs);
    return {
      need: 1,
      used: (claim) => claim.usedOfDay,
      wanted: (claim) => claim.usedOfDay + claim.wanted * minutes,
    };
  }
}

/** Without a usable key there is nothing to share: the pool says when the first one returns. */
const isLimit = (all: number | null): all is number => all !== null && all > 0;

/** One thing that is shared. */
interface Measure {
  /** Of one request; 0 where it is known only at its end. */
  readonly need: number;
  readonly used: (claim: Claim) => number;
  /** By the end of the window. */
  readonly wanted: (claim: Claim) => number;
}

const OF_MINUTE: Measure = {
  need: 1,
  used: (claim) => claim.likelyRequests,
  wanted: (claim) => claim.wanted,
};

/** The tokens of a request are known only at its end. */
const OF_TOKENS: Measure = {
  need: 0,
  used: (claim) => claim.usedTokens,
  wanted: (claim) => claim.tokensWanted,
};

/**
 * Whether a request stays within its client's guarantee, or within what the others' guarantees leave.
 *
 * @param activeSince who has not asked since then is guaranteed nothing
 */
function mayTake(
  claim: Claim,
  claims: ReadonlyMap<string, Claim>,
  capacity: number,
  { need, used, wanted }: Measure,
  activeSince: number,
): boolean {
  let weights = 0;
  let active = 0;
  for (const { lastAskedAt, client } of claims.values()) {
    if (lastAskedAt < activeSince) continue;
    weights += client.weight;
    active += 1;
  }
  const guaranteed = ({ client }: Claim) => Math.floor((capacity * client.weight) / weights);
  const after = used(claim) + need;
  const fits = (most: number) => (need === 0 ? after < most : after <= most);
  if (active < 2 || fits(guaranteed(claim))) return true;
  let left = capacity;
  for (const one of claims.values()) {
    if (one === claim) continue;
    const isActive = one.lastAskedAt >= activeSince;
    left -= Math.max(used(one), isActive ? Math.min(wanted(one), guaranteed(one)) : 0);
  }
  return fits(left);
}
