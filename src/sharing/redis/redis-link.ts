import { randomUUID } from 'node:crypto';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Secret } from '../../shared/secret.ts';
import type { RedisState } from '../../shared/shared-store.ts';
import { readPulse } from './read-pulse.ts';
import { createRedisClient, type RedisClient } from './redis-client.ts';
import { isOfReplica, isOfTheLink, isRefusal, wordsOf } from './redis-fault.ts';
import { RedisStanding } from './redis-standing.ts';
import { createTimeDifference } from './time-difference.ts';

/** Two connections to one Redis, one of them for what it passes on; watched, and made anew when they break. */
export interface RedisLink {
  readonly state: RedisState;
  /** Whether the last command was answered, so that the next one will be. */
  isUp(): boolean;
  /** In whole milliseconds. */
  clockAhead(): number;
  /** Runs commands; fails at once while it is not up, and is not up when they have failed. */
  run<T>(commands: (client: RedisClient) => Promise<T>): Promise<T>;
  /** Closes both connections for good. */
  close(): void;
}

export interface RedisLinkOptions {
  readonly url: Secret;
  /** What is told to all who listen there. */
  readonly channel: string;
  /** Which Redis it is: another one, or one that has lost everything, has another mark. */
  readonly markKey: string;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
  onMessage(message: string): void;
  /** It is there, or there anew, perhaps with nothing or something else in it. */
  onArrived(): void;
  onFailed(): void;
}

const PULSE_MS = 1000;

export function createRedisLink(options: RedisLinkOptions): RedisLink {
  return new Link(options);
}

class Link implements RedisLink {
  readonly #options: RedisLinkOptions;
  readonly #client: RedisClient;
  readonly #subscriber: RedisClient;
  readonly #difference = createTimeDifference();
  readonly #standing: RedisStanding;
  #isUp = false;
  #isSubscribed = false;
  #isBeating = false;
  #isClosed = false;
  #mark: string | null = null;
  #next: Timer | null = null;
  /** What the connection itself has said of why it cannot be had. */
  #fault: Error | null = null;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.#standing = new RedisStanding(options);
    this.#client = createRedisClient(options.url, options.random);
    this.#subscriber = createRedisClient(options.url, options.random);
    this.#subscriber.on('message', (_channel, message: string) => options.onMessage(message));
    this.#subscriber.on('close', () => {
      this.#isSubscribed = false;
    });
    for (const connection of [this.#client, this.#subscriber]) this.#watch(connection);
  }

  get state(): RedisState {
    return this.#standing.state;
  }

  isUp(): boolean {
    return this.#isUp;
  }

  clockAhead(): number {
    return this.#difference.ms;
  }

  async run<T>(commands: (client: RedisClient) => Promise<T>): Promise<T> {
    if (!this.#isUp) throw new Error('Redis cannot be used now');
    try {
      return await commands(this.#client);
    } catch (error) {
      if (isOfTheLink(error)) this.#failed(error);
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#isUp = false;
    this.#next?.cancel();
    this.#client.disconnect();
    this.#subscriber.disconnect();
  }

  #watch(connection: RedisClient): void {
    connection.on('error', (error: Error) => {
      this.#fault = error;
      this.#beat();
    });
    connection.on('ready', () => this.#beat());
    connection.on('close', () => {
      this.#isUp = false;
      if (!this.#isClosed) this.#beat();
    });
    // Where it fails, the event of the error has said so.
    connection.connect().catch(() => {});
  }

  /** Once a second, and whenever a connection comes or goes. */
  async #beat(): Promise<void> {
    if (this.#isBeating || this.#isClosed) return;
    this.#isBeating = true;
    this.#next?.cancel();
    if (this.#isConnected()) await this.#pulse().catch((error) => this.#failed(error));
    else if (this.#fault !== null) this.#cannotBeUsed(this.#fault);
    this.#isBeating = false;
    if (this.#isClosed) return;
    this.#next = this.#options.clock.after(PULSE_MS, () => this.#beat());
  }

  #isConnected(): boolean {
    return this.#client.status === 'ready' && this.#subscriber.status === 'ready';
  }

  async #pulse(): Promise<void> {
    const { clock, markKey, channel } = this.#options;
    if (!this.#isSubscribed) {
      await this.#subscriber.subscribe(channel);
      this.#isSubscribed = true;
      this.#isUp = false;
    }
    const sentAt = clock.now();
    const answer = this.#client.pulse(markKey, randomUUID());
    const [pulse] = await Promise.all([answer, this.#subscriber.ping()]);
    const [mark, time] = readPulse(pulse);
    this.#difference.measured({ sentAt, answeredAt: clock.now(), time });
    this.#arrived(mark);
  }

  #arrived(mark: string): void {
    const isNew = !this.#isUp || mark !== this.#mark;
    this.#standing.isThere();
    this.#mark = mark;
    this.#fault = null;
    this.#isUp = true;
    if (isNew) this.#options.onArrived();
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return;
    const fault = error instanceof Error ? error : new Error('unknown');
    this.#cannotBeUsed(fault);
    // A silent connection, or one to a server that is no master any more, is made anew.
    if (!isRefusal(fault) || isOfReplica(fault)) this.#renew();
  }

  #cannotBeUsed(fault: Error): void {
    this.#isUp = false;
    // Of a connection that has gone, its own fault says more than that of a command on it.
    const reason = isRefusal(fault) ? fault : (this.#fault ?? fault);
    const state = isRefusal(reason) ? 'refusing' : 'unreachable';
    this.#standing.cannotBeUsed(state, wordsOf(reason));
    this.#options.onFailed();
  }

  #renew(): void {
    for (const connection of [this.#client, this.#subscriber]) {
      if (connection.status === 'ready') connection.disconnect(true);
    }
  }
}
