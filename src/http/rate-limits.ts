import type { Request, RequestHandler } from 'express';
import {
  type ClientRateLimitInfo,
  ipKeyGenerator,
  MemoryStore,
  type Options,
  rateLimit,
  type Store,
} from 'express-rate-limit';
import type { RefusedCaller } from '../observability/troubles.ts';
import type { Logger } from '../shared/logger.ts';
import type { Counter, SharedStore } from '../shared/shared-store.ts';
import { HttpError } from './errors.ts';

const WINDOW_SECONDS = 60;
const WINDOW_MS = WINDOW_SECONDS * 1000;

/**
 * Our own limit for one client address, with the standard `RateLimit` headers.
 *
 * @param name its name in the headers
 * @param perMinute 0 is off
 * @param sharedStore counts the requests of all instances
 * @param turnedAway called for each refused request
 */
export function limitByAddress(
  name: string,
  perMinute: number,
  sharedStore: SharedStore | null = null,
  turnedAway: (caller: RefusedCaller) => void = () => {},
): RequestHandler[] {
  if (perMinute === 0) return [];
  const limiter = rateLimit({
    windowMs: WINDOW_MS,
    limit: perMinute,
    identifier: name,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    ...(sharedStore === null ? {} : { store: new SharedHits(sharedStore.counter(name)) }),
    // Its warnings about proxy headers would go to the console, with what a client sent.
    validate: false,
    handler(request, response, next) {
      turnedAway(callerOf(request));
      const seconds = Number(response.getHeader('retry-after') ?? WINDOW_SECONDS);
      const message = `Too many requests from this address. Try again in ${seconds} seconds.`;
      next(new HttpError('rate_limited', message, { retryAfterSeconds: seconds }));
    },
  });
  return [limiter];
}

/** Without `TRUST_PROXY` all callers behind a proxy have its address; only this header distinguishes them. */
function callerOf({ ip = '', headers }: Request): RefusedCaller {
  const [forwarded = ''] = String(headers['x-forwarded-for'] ?? '').split(',', 1);
  return { address: ipKeyGenerator(ip), forwardedFor: forwarded.trim() || null };
}

const MAX_WRONG = 10;
const MAX_KNOWN_ADDRESSES = 1000;

/**
 * Limits the wrong tokens that one address may try in a minute; after that even the right token is
 * refused. Right tokens are never counted, and an address that has shown one before stays admitted: guesses
 * from the same network must not lock anybody out.
 *
 * @param whose the tokens, in the log and in the shared store, where all instances count together
 * @returns a function that throws HttpError 429 after too many wrong tokens
 */
export function limitGuesses(whose: string, log: Logger, sharedStore: SharedStore | null) {
  const wrong =
    sharedStore === null
      ? new MemoryStore()
      : new SharedHits(sharedStore.counter(`${whose}-guesses`));
  wrong.init({ windowMs: WINDOW_MS } as Options);
  const known = new Set<string>();
  const remember = (address: string) => {
    known.delete(address);
    known.add(address);
    const [oldest = ''] = known;
    if (known.size > MAX_KNOWN_ADDRESSES) known.delete(oldest);
  };
  const admit = async (address: string) => {
    const before = known.has(address) ? undefined : await wrong.get(address);
    if (before !== undefined && before.totalHits >= MAX_WRONG && !isOver(before)) {
      throw tooManyGuesses(before);
    }
    remember(address);
  };
  const count = async (address: string) => {
    const hits = await wrong.increment(address);
    if (hits.totalHits === MAX_WRONG + 1) log.warn({ address }, `too many wrong ${whose} tokens`);
    if (hits.totalHits > MAX_WRONG) throw tooManyGuesses(hits);
  };
  return function judge({ ip }: Request, isRight: boolean): Promise<void> {
    const address = ipKeyGenerator(ip ?? '');
    return isRight ? admit(address) : count(address);
  };
}

function tooManyGuesses({ resetTime }: ClientRateLimitInfo): HttpError {
  const ms = (resetTime?.getTime() ?? 0) - Date.now();
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  const message = `Too many wrong tokens from this address. Try again in ${seconds} seconds.`;
  return new HttpError('rate_limited', message, { retryAfterSeconds: seconds });
}

interface Hits {
  totalHits: number;
  readonly resetTime: Date;
}

/**
 * Counts the requests of an address here and in the shared store. No request waits for the store: its
 * count arrives a moment later and holds for the next request. Without it our own count holds.
 */
class SharedHits implements Store {
  readonly #here = new MemoryStore();
  readonly #counter: Counter;
  /** The counts of all instances, as of the store's last answers. */
  readonly #everywhere = new Map<string, Hits>();
  #windowMs = WINDOW_MS;
  #sweptAt = 0;

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  init(options: Options): void {
    this.#windowMs = options.windowMs;
    this.#here.init(options);
  }

  async increment(key: string): Promise<ClientRateLimitInfo> {
    const here = await this.#here.increment(key);
    this.#counter.hit(key, this.#windowMs).then(
      ({ total, leftMs }) => this.#merge(key, total, leftMs),
      () => {},
    );
    const everywhere = this.#known(key);
    if (everywhere === null) return here;
    everywhere.totalHits += 1;
    return larger(here, everywhere);
  }

  async get(key: string): Promise<ClientRateLimitInfo | undefined> {
    const here = await this.#here.get(key);
    const everywhere = this.#known(key);
    return here === undefined || everywhere === null
      ? (everywhere ?? here)
      : larger(here, everywhere);
  }

  /** Our own count only. */
  async decrement(key: string): Promise<void> {
    await this.#here.decrement(key);
  }

  async resetKey(key: string): Promise<void> {
    this.#everywhere.delete(key);
    await this.#here.resetKey(key);
  }

  /** The count of all instances; null when it is unknown. */
  #known(key: string): Hits | null {
    const everywhere = this.#everywhere.get(key);
    return everywhere === undefined || isOver(everywhere) ? null : everywhere;
  }

  #merge(key: string, total: number, leftMs: number): void {
    const now = Date.now();
    const sinceThen = this.#known(key)?.totalHits ?? 0;
    const resetTime = new Date(now + Math.min(leftMs, this.#windowMs));
    this.#everywhere.set(key, { totalHits: Math.max(total, sinceThen), resetTime });
    if (this.#sweptAt + this.#windowMs < now) this.#sweep(now);
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [key, hits] of this.#everywhere) if (isOver(hits)) this.#everywhere.delete(key);
  }
}

const larger = (here: ClientRateLimitInfo, everywhere: Hits): ClientRateLimitInfo => ({
  ...everywhere,
  totalHits: Math.max(here.totalHits, everywhere.totalHits),
});

const isOver = ({ resetTime }: ClientRateLimitInfo) => (resetTime?.getTime() ?? 0) <= Date.now();
