import { randomUUID } from 'node:crypto';
import type { Secret } from '../../shared/secret.ts';
import type { ClaimAnswer, Exchange, ExchangeListener, Named, Report } from '../exchange.ts';
import type { RedisClient } from './redis-client.ts';
import { isOfTheLink } from './redis-fault.ts';
import { createRedisLink, type RedisLink, type RedisLinkOptions } from './redis-link.ts';

export interface RedisExchangeOptions
  extends Pick<RedisLinkOptions, 'url' | 'clock' | 'random' | 'log'> {
  /** Before every name there, so that several deployments can share one Redis. */
  readonly prefix: string;
}

export interface RedisExchange {
  readonly exchange: Exchange;
  readonly link: RedisLink;
}

/** So many records are read in one go. */
const BATCH = 1000;

/** Knowledge that is shared through a Redis or a Valkey. */
export function createRedisExchange({ prefix, ...options }: RedisExchangeOptions): RedisExchange {
  const me = randomUUID();
  const names = namesWith(prefix, databaseIn(options.url));
  let listener: ExchangeListener | null = null;
  const link = createRedisLink({
    ...options,
    channel: names.channel,
    markKey: names.mark,
    onMessage: (message) => hear(message, me, listener),
    onArrived: () => listener?.arrived(),
    onFailed: () => listener?.failed(),
  });
  const tellOne = (client: RedisClient, { name, record, frees, outlivesMs }: Report) =>
    client.tellRecord(
      ...[names.record(name), names.claim(name), names.index],
      ...[me, name, record, frees ? '1' : '0', String(outlivesMs), names.channel],
    );
  const exchange: Exchange = {
    isUp: () => link.isUp(),
    clockAhead: () => link.clockAhead(),
    listen(newListener) {
      listener = newListener;
      if (link.isUp()) newListener.arrived();
      else if (link.state !== 'connecting') newListener.failed();
    },
    async tell(reports) {
      const answers = await link.run((client) =>
        Promise.all(reports.map((report) => tellOne(client, report))),
      );
      return answers.map(String);
    },
    async claim(scopes, holdMs) {
      const keys = scopes.flatMap(({ name }) => [names.record(name), names.claim(name)]);
      const records = scopes.map(({ record }) => record);
      const answer = await link.run((client) =>
        client.claimTrial(String(keys.length), ...keys, me, String(holdMs), ...records),
      );
      return readClaim(answer, scopes);
    },
    async *all() {
      const known = await link.run((client) => readIndex(client, names.index));
      for (let from = 0; from < known.length; from += BATCH) {
        const some = known.slice(from, from + BATCH);
        const records = await link.run((client) => client.mget(some.map(names.record)));
        yield named(some, records);
      }
    },
  };
  return { exchange, link };
}

/** What is told reaches every database, so it names its own. */
const databaseIn = (url: Secret) => new URL(url.reveal()).pathname.slice(1) || '0';

const namesWith = (prefix: string, database: string) => ({
  record: (name: string) => `${prefix}scope:${name}`,
  claim: (name: string) => `${prefix}trial:${name}`,
  index: `${prefix}scopes`,
  mark: `${prefix}mark`,
  channel: `${prefix}news:${database}`,
});

/** Whatever else has come to stand there is put away. */
async function readIndex(client: RedisClient, index: string): Promise<readonly string[]> {
  try {
    return await client.zrange(index, '0', '-1');
  } catch (error) {
    if (isOfTheLink(error)) throw error;
    await client.del(index);
    return [];
  }
}

function named(names: readonly string[], records: readonly unknown[]): readonly Named[] {
  return names.flatMap((name, index) => {
    const record = records[index];
    return typeof record === 'string' && record !== '' ? [{ name, record }] : [];
  });
}

/** `teller`, whether a trial is over, the scope's name and its record, a line each. */
function hear(message: string, me: string, listener: ExchangeListener | null): void {
  const [teller, isTrialOver, name, record] = message.split('\n');
  if (teller === me || name === undefined || record === undefined) return;
  listener?.heard({ name, record, isTrialOver: isTrialOver === '1' });
}

function readClaim(answer: unknown, scopes: readonly Named[]): ClaimAnswer {
  const [isGranted, retryMs, ...records] = Array.isArray(answer) ? answer : [];
  if (isGranted === 1) return { isGranted: true };
  const all = named(
    scopes.map(({ name }) => name),
    records,
  );
  return { isGranted: false, retryMs: typeof retryMs === 'number' ? retryMs : 0, records: all };
}
