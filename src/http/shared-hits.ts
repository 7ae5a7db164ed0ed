import { type IncrementResponse, MemoryStore, type Options, type Store } from 'express-rate-limit';
import type { Counter } from '../shared/shared-store.ts';

interface Hits {
  total: number;
  readonly resetTime: Date;
}

/**
 * Hits of one address, counted here and by all processes together. Nobody waits for the others: their
 * count comes a moment later and holds for the next hit. While it cannot be had, ours is good enough.
 */
export class SharedHits implements Store {
  readonly #here = new MemoryStore();
  readonly #counter: Counter;
  /** What all have counted together, as far as we have heard. */
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
      ({ total, leftMs }) => this.#heard(key, total, leftMs),
      () => {},
    );
    const everywhere = this.#everywhere.get(key);
    if (everywhere === undefined || isOver(everywhere)) return here;
    everywhere.total += 1;
    return {
      totalHits: Math.max(here.totalHits, everywhere.total),
      resetTime: everywhere.resetTime,
    };
  }

  /** What all have counted together of late, without counting it; null when nothing is known. */
  known(key: string): IncrementResponse | null {
    const everywhere = this.#everywhere.get(key);
    if (everywhere === undefined || isOver(everywhere)) return null;
    return { totalHits: everywhere.total, resetTime: everywhere.resetTime };
  }

  /** Of ours alone. */
  async decrement(key: string): Promise<void> {
    await this.#here.decrement(key);
  }

  async resetKey(key: string): Promise<void> {
    this.#everywhere.delete(key);
    await this.#here.resetKey(key);
  }

  shutdown(): void {
    this.#here.shutdown();
  }

  #heard(key: string, total: number, leftMs: number): void {
    const now = Date.now();
    const known = this.#everywhere.get(key);
    const sinceThen = known === undefined || isOver(known) ? 0 : known.total;
    const resetTime = new Date(now + Math.min(leftMs, this.#windowMs));
    this.#everywhere.set(key, { total: Math.max(total, sinceThen), resetTime });
    if (this.#sweptAt + this.#windowMs < now) this.#sweep(now);
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [key, hits] of this.#everywhere) if (isOver(hits)) this.#everywhere.delete(key);
  }
}

const isOver = ({ resetTime }: Hits) => resetTime.getTime() <= Date.now();
