import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Secret } from '../../shared/secret.ts';
import type { RedisState } from '../../shared/shared-store.ts';

export interface RedisStandingOptions {
  readonly url: Secret;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
}

/** How it stands with Redis; each change is said in the log, and said once. */
export class RedisStanding {
  readonly #options: RedisStandingOptions;
  /** Without user and password. */
  readonly #address: string;
  #state: RedisState = 'connecting';
  /** Milliseconds since the epoch; null while it was never gone. */
  #goneAt: number | null = null;

  constructor(options: RedisStandingOptions) {
    this.#options = options;
    const { protocol, host } = new URL(options.url.reveal());
    this.#address = `${protocol}//${host}`;
  }

  get state(): RedisState {
    return this.#state;
  }

  isThere(): void {
    if (this.#state === 'connected') return;
    this.#state = 'connected';
    const { clock, log } = this.#options;
    const goneMs = this.#goneAt === null ? undefined : clock.now() - this.#goneAt;
    log.info({ goneMs }, 'Redis is there: what instances know of keys is shared');
  }

  cannotBeUsed(state: 'refusing' | 'unreachable', reason: string): void {
    const { clock, log } = this.#options;
    const wasWell = this.#state === 'connected' || this.#state === 'connecting';
    if (wasWell) this.#goneAt = clock.now();
    if (this.#state === state) return;
    this.#state = state;
    log.warn(
      { state, address: this.#address, reason },
      'Redis cannot be used: each instance goes on with what it knows',
    );
  }
}
