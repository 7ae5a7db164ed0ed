import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Clock, Timer } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Secret } from '../shared/secret.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { SCRIPTS } from './redis-scripts.ts';

export interface RedisConnectionOptions {
  readonly url: Secret;
  /** The channel of record changes. */
  readonly channel: string;
  /** Holds the mark of this Redis: another one, or one that has lost everything, has another mark. */
  readonly markKey: string;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
  onMessage(message: string): void;
  /** Redis is connected, perhaps empty or another one. */
  onConnected(): void;
  onFailed(): void;
}

const HEARTBEAT_MS = 1000;

/** Two connections to one Redis, one of them subscribed; a heartbeat checks both, and what breaks is opened anew. */
export class RedisConnection {
  readonly #options: RedisConnectionOptions;
  readonly #client: RedisClient;
  readonly #subscriber: RedisClient;
  readonly #clockOffset = new ClockOffset();
  #state: RedisState = 'connecting';
  /** Milliseconds since the epoch; null before the first failure. */
  #failedAt: number | null = null;
  /** What a connection itself has reported. */
  #fault: Error | null = null;
  #mark: string | null = null;
  /** The listener of each channel. */
  readonly #channels = new Map<string, (message: string) => void>();
  #isBeating = false;
  #isClosed = false;
  #next: Timer | null = null;

  constructor(options: RedisConnectionOptions) {
    this.#options = options;
    this.#channels.set(options.channel, options.onMessage);
    this.#client = this.#open();
    this.#subscriber = this.#open();
    this.#subscriber.on('message', (channel: string, message: string) =>
      this.#channels.get(channel)?.(message),
    );
  }

  get state(): RedisState {
    return this.#state;
  }

  /** In whole milliseconds. */
  get clockOffset(): number {
    return this.#clockOffset.ms;
  }

  /** Runs commands; fails at once unless Redis is connected. */
  async run<T>(commands: (client: RedisClient) => Promise<T>): Promise<T> {
    if (this.#state !== 'connected') throw new Error('Redis is not connected');
    try {
      return await commands(this.#client);
    } catch (error) {
      if (concernsAllCommands(error)) this.#commandFailed(error);
      throw error;
    }
  }

  /** Subscribes to one more channel, now and after each reconnect. */
  listenTo(channel: string, onMessage: (message: string) => void): void {
    this.#channels.set(channel, onMessage);
    this.#beat();
  }

  close(): void {
    this.#isClosed = true;
    this.#state = 'unreachable';
    this.#next?.cancel();
    for (const connection of [this.#client, this.#subscriber]) connection.disconnect();
  }

  #open(): RedisClient {
    const connection = createRedisClient(this.#options.url, this.#options.random);
    connection.on('error', (error: Error) => {
      this.#fault = error;
      this.#beat();
    });
    connection.on('ready', () => this.#beat());
    connection.on('close', () => {
      if (this.#state === 'connected') this.#failed(new Error('the connection was closed'));
      this.#beat();
    });
    // A failure arrives as an error event.
    connection.connect().catch(() => {});
    return connection;
  }

  /** Once a second, and at each event of a connection. */
  async #beat(): Promise<void> {
    if (this.#isBeating || this.#isClosed) return;
    this.#isBeating = true;
    this.#next?.cancel();
    const isReady = this.#client.status === 'ready' && this.#subscriber.status === 'ready';
    if (isReady) await this.#heartbeat().catch((error) => this.#commandFailed(error));
    else if (this.#fault !== null) this.#failed(this.#fault);
    this.#isBeating = false;
    if (!this.#isClosed) this.#next = this.#options.clock.after(HEARTBEAT_MS, () => this.#beat());
  }

  async #heartbeat(): Promise<void> {
    const { clock, markKey } = this.#options;
    // A second subscription changes nothing, and shows that this connection is alive too.
    const subscribed = this.#subscriber.subscribe(...this.#channels.keys());
    const sentAt = clock.now();
    const [answer] = await Promise.all([this.#client.heartbeat(markKey, randomUUID()), subscribed]);
    const [mark, time] = Array.isArray(answer) ? answer : [];
    if (typeof mark !== 'string' || typeof time !== 'number')
      throw new Error('an unreadable answer');
    this.#clockOffset.add({ sentAt, answeredAt: clock.now(), time });
    this.#connected(mark);
  }

  #connected(mark: string): void {
    const wasConnected = this.#state === 'connected';
    const isOther = mark !== this.#mark;
    this.#state = 'connected';
    this.#mark = mark;
    this.#fault = null;
    if (!wasConnected) {
      const { clock, log } = this.#options;
      const downMs = this.#failedAt === null ? undefined : clock.now() - this.#failedAt;
      const address = addressIn(this.#options.url);
      log.info({ address, downMs }, 'Redis is connected: instances share what they know of keys');
    }
    if (!wasConnected || isOther) this.#options.onConnected();
  }

  #commandFailed(error: unknown): void {
    if (this.#isClosed) return;
    const fault = error instanceof Error ? error : new Error('unknown');
    this.#failed(fault);
    // A silent connection, or one to a former master, is opened anew.
    if (isReply(fault) && !isOfReplica(fault)) return;
    for (const connection of [this.#client, this.#subscriber]) {
      if (connection.status === 'ready') connection.disconnect(true);
    }
  }

  #failed(fault: Error): void {
    const { clock, log, url, onFailed } = this.#options;
    const before = this.#state;
    // A lost connection's own fault says more than the failure of a command on it.
    const reason = isReply(fault) ? fault : (this.#fault ?? fault);
    this.#state = isReply(reason) ? 'refusing' : 'unreachable';
    if (before === 'connected' || before === 'connecting') this.#failedAt = clock.now();
    if (before !== this.#state) {
      log.warn(
        { state: this.#state, address: addressIn(url), reason: wordsOf(reason) },
        'Redis cannot be used: each instance works with what it knows',
      );
    }
    onFailed();
  }
}

/** One connection, with our scripts as commands. */
export type RedisClient = Redis & {
  publishRecord(...keysAndArguments: readonly string[]): Promise<unknown>;
  claimProbe(numberOfKeys: string, ...keysAndArguments: readonly string[]): Promise<unknown>;
  shareUse(key: string, ...values: readonly string[]): Promise<unknown>;
  countHit(key: string, windowMs: string): Promise<unknown>;
  heartbeat(markKey: string, mark: string): Promise<unknown>;
  writeAnswer(...keysAndArguments: readonly string[]): Promise<unknown>;
  readAnswer(...keysAndArguments: readonly string[]): Promise<unknown>;
  endAnswer(...keysAndArguments: readonly string[]): Promise<unknown>;
  writeDocuments(keysAndArguments: readonly string[]): Promise<unknown>;
  forgetDocuments(keysAndArguments: readonly string[]): Promise<unknown>;
  addNumbers(keysAndArguments: readonly string[]): Promise<unknown>;
};

const COMMAND_LIMIT_MS = 1000;
const CONNECT_LIMIT_MS = 2000;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2000;

/**
 * A connection that reconnects until it is closed. While it is down its commands fail at once, and none is
 * sent twice.
 *
 * @param random from 0 to 1: spreads the reconnects of many instances
 */
export function createRedisClient(url: Secret, random: () => number): RedisClient {
  return new Redis(url.reveal(), {
    connectionName: 'understudy',
    // RESP3 brings nothing here, and not every proxy knows it.
    protocol: 2,
    disableClientInfo: true,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_LIMIT_MS,
    connectTimeout: CONNECT_LIMIT_MS,
    retryStrategy: (times) =>
      Math.min(FIRST_RETRY_MS * 2 ** times, MAX_RETRY_MS) * (0.5 + random() / 2),
    scripts: SCRIPTS,
  }) as RedisClient;
}

/** Without the user and the password. */
function addressIn(url: Secret): string {
  const { protocol, hostname, port } = new URL(url.reveal());
  return `${protocol}//${hostname}:${port || DEFAULT_PORT}`;
}

const DEFAULT_PORT = 6379;

/** Whether the server itself has answered with the error. */
const isReply = ({ name }: Error): boolean => name === 'ReplyError';

const isOfReplica = ({ message }: Error): boolean => message.startsWith('READONLY');

/** How the error of a server begins that accepts no command at present. */
const ACCEPTS_NOTHING =
  /^(?:OOM|READONLY|MASTERDOWN|LOADING|MISCONF|NOAUTH|NOPERM|WRONGPASS|CLUSTERDOWN|NOREPLICAS) /;

/** Whether the next command would fail too, whichever it is. */
export const concernsAllCommands = (error: unknown): boolean =>
  !(error instanceof Error) || !isReply(error) || ACCEPTS_NOTHING.test(error.message);

/** A server that does not know a command echoes its arguments, and one of them may be the password. */
const wordsOf = ({ message }: Error): string => message.replace(/,? with args .*$/s, '');

/** All in milliseconds since the epoch: the first two by our clock, `time` by the other. */
interface ClockSample {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly time: number;
}

interface Measured {
  readonly roundTripMs: number;
  readonly ms: number;
}

/** Clocks drift and are set: older samples are forgotten. */
const KEPT = 8;

/** The offset of another clock from ours, estimated from its answers: the fastest of the last samples counts. */
export class ClockOffset {
  #samples: readonly Measured[] = [];
  #ms = 0;

  /** In whole milliseconds, positive when the other clock is ahead; 0 before the first sample. */
  get ms(): number {
    return this.#ms;
  }

  add({ sentAt, answeredAt, time }: ClockSample): void {
    const newest = {
      roundTripMs: answeredAt - sentAt,
      ms: Math.round(time - (sentAt + answeredAt) / 2),
    };
    // A clock that was set makes all earlier samples wrong.
    const agreeing = this.#samples.filter((one) => doAgree(one, newest));
    this.#samples = [newest, ...agreeing].slice(0, KEPT);
    const [fastest = newest] = this.#samples.toSorted((a, b) => a.roundTripMs - b.roundTripMs);
    this.#ms = fastest.ms;
  }
}

/** The other clock was read at some moment of the round trip. */
const doAgree = (one: Measured, other: Measured) =>
  Math.abs(one.ms - other.ms) <= (one.roundTripMs + other.roundTripMs) / 2 + 2;
