import { Redis } from 'ioredis';
import type { Secret } from '../../shared/secret.ts';
import { SCRIPTS } from './scripts.ts';

/** One connection, with the commands that are ours. */
export type RedisClient = Redis & OwnCommands;

interface OwnCommands {
  tellRecord(...keysAndArguments: readonly string[]): Promise<unknown>;
  claimTrial(numberOfKeys: string, ...keysAndArguments: readonly string[]): Promise<unknown>;
  pulse(markKey: string, mark: string): Promise<unknown>;
}

/** Longer than this nobody waits for any answer. */
const COMMAND_LIMIT_MS = 1000;
const CONNECT_LIMIT_MS = 2000;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2000;

/**
 * A connection that is made anew for as long as it is not closed. While there is none its commands fail
 * at once, and none is sent twice.
 *
 * @param random from 0 to 1: many instances shall not come back together
 */
export function createRedisClient(url: Secret, random: () => number): RedisClient {
  return new Redis(url.reveal(), {
    connectionName: 'understudy',
    // Pushes of the newer protocol are of no use here, and not every proxy knows it.
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
