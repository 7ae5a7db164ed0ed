import type { RequestHandler } from 'express';
import {
  type IncrementResponse,
  MemoryStore,
  type Options,
  rateLimit,
  type Store,
} from 'express-rate-limit';
import type { Counter, SharedStore } from '../shared/shared-store.ts';
import { HttpError } from './errors.ts';

const WINDOW_SECONDS = 60;

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
  turnedAway: () => void = () => {},
): RequestHandler[] {
  if (perMinute === 0) return [];
  const limiter = rateLimit({
    windowMs: WINDOW_SECONDS * 1000,
    limit: perMinute,
    identifier: name,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    ...(sharedStore === null ? {} : { store: new SharedHits(sharedStore.counter(name)) }),
    // Its warnings about proxy headers would go to the console, with what a client sent.
    validate: false,
    handler(_request, response, next) {
      turnedAway();
      const seconds = Number(response.getHeader('retry-after') ?? WINDOW_SECONDS);
      const message = `Too many requests from this address. Try again in ${seconds} seconds.`;
      next(new HttpError('rate_limited', message, { retryAfterSeconds: seconds }));
    },
  });
  return [limiter];
}

interface Hits {
  totalHits: number;
  readonly resetTime: Date;
}

/**
 * Counts the requests of an address here and in the shared store. No request waits for the store: its
 * count arrives a moment later and holds for the next request. Without it our own count holds.
 */
export class SharedHits implements Store {
  readonly #here = new MemoryStore();
  readonly #counter: Counter;
  /** The counts of all instances, as of the store's last answers. */
  readonly #everywhere = new Map<string, Hits>();
  #windowMs = 60_000;
  #sweptAt = 0;

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  init(options: Options): void {
    this.#windowMs = options.windowMs;
    this.#here.init(options);
  }

  async increment(key: string): Promise<IncrementResponse> {
    const here = await this.#here.increment(key);
    this.#counter.hit(key, this.#windowMs).then(
      ({ total, leftMs }) => this.#merge(key, total, leftMs),
      () => {},
    );
    const everywhere = this.known(key);
    if (everywhere === null) return here;
    everywhere.totalHits += 1;
    return { ...everywhere, totalHits: Math.max(here.totalHits, everywhere.totalHits) };
  }

  /** The count of all instances, without counting a request; null when it is unknown. */
  known(key: string): Hits | null {
    const everywhere = this.#everywhere.get(key);
    return everywhere === undefined || isOver(everywhere) ? null : everywhere;
  }

  /** Our own count only. */
  async decrement(key: string): Promise<void> {
    await this.#here.decrement(key);
  }

  async resetKey(key: string): Promise<void> {
    this.#everywhere.delete(key);
    await this.#here.resetKey(key);
  }

  #merge(key: string, total: number, leftMs: number): void {
    const now = Date.now();
    const sinceThen = this.known(key)?.totalHits ?? 0;
    const resetTime = new Date(now + Math.min(leftMs, this.#windowMs));
    this.#everywhere.set(key, { totalHits: Math.max(total, sinceThen), resetTime });
    if (this.#sweptAt + this.#windowMs < now) this.#sweep(now);
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [key, hits] of this.#everywhere) if (isOver(hits)) this.#everywhere.delete(key);
  }
}

const isOver = ({ resetTime }: Hits) => resetTime.getTime() <= Date.now();
