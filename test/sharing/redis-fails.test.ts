import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { Secret } from '../../src/shared/secret.ts';
import { createRedisClient } from '../../src/sharing/redis-connection.ts';
import { type CuttableLine, startCuttableLine } from '../support/cuttable-line.ts';
import { ifInstalled } from '../support/installed.ts';
import { type Instance, keySettings, startInstance, startProviders } from '../support/instances.ts';
import { startLoads } from '../support/load.ts';
import { freePort, REDIS_SERVER, type RedisServer, startRedis } from '../support/redis.ts';

const KEYS = Array.from({ length: 12 }, (_, index) => ({
  key: `the-key-with-number-${index + 1}`,
  service: 'google' as const,
}));
const DAY_SPENT = { kind: 'day_spent' } as const;
const SOON = { timeout: 10_000, interval: 20 };

async function startTwo(
  urlOf: (redis: RedisServer) => string | Promise<string> = ({ url }) => url,
) {
  const redis = await startRedis();
  const standin = await startProviders(KEYS);
  const url = await urlOf(redis);
  const start = (redisUrl = url) =>
    startInstance({
      environment: { ...keySettings(KEYS), REDIS_URL: redisUrl, GOOGLE_BASE_URL: standin.url },
      timersFaster: 5,
    });
  const [one, other] = [await start(), await start()];
  /** One instance finds the key spent: so many calls use each key once. */
  const spendOn = async (instance: Instance, number: number) => {
    standin.setFault(`the-key-with-number-${number}`, DAY_SPENT);
    await Promise.all(KEYS.map(() => instance.chat('hello')));
  };
  return { redis, standin, one, other, start, spendOn };
}

const coolingOf = async (instance: Instance) =>
  (await instance.get('/api/keys/status')).api_keys.google.cooling_down;

const eachKnowsOf = (count: number, instances: readonly Instance[]) =>
  vi.waitFor(async () => {
    for (const instance of instances) expect(await coolingOf(instance)).toBe(count);
  }, SOON);

const redisOf = (instance: Instance) => instance.get('/health').then(({ redis }) => redis);

const eachSays = (state: string, instances: readonly Instance[]) =>
  vi.waitFor(async () => {
    for (const instance of instances) expect(await redisOf(instance)).toBe(state);
  }, SOON);

const saidOf = (instance: Instance, words: string) =>
  instance.logs.filter(({ msg }) => msg.startsWith(words)).length;

const LONG = { timeout: 30_000 };

ifInstalled(REDIS_SERVER, 'while Redis cannot be used', () => {
  const troubles = {
    'it is killed and comes back empty': {
      break: (redis: RedisServer) => redis.signal('SIGKILL'),
      mend: (redis: RedisServer) => redis.startAgain(),
    },
    'it hangs': {
      break: (redis: RedisServer) => redis.signal('SIGSTOP'),
      mend: (redis: RedisServer) => redis.signal('SIGCONT'),
    },
  };

  for (const [title, trouble] of Object.entries(troubles)) {
    it(
      `${title}: every request is answered, and what each instance found meanwhile is merged`,
      LONG,
      async () => {
        const { redis, one, other, spendOn } = await startTwo();
        const both = [one, other];
        const load = startLoads(both);
        await load.goOn(20);
        await trouble.break(redis);
        await load.goOn(50);
        await eachSays('unreachable', both);
        await load.goOn(20);
        expect(await load.stop()).toEqual([]);
        await spendOn(one, 1);
        await spendOn(other, 2);
        expect(await coolingOf(one)).toBe(1);
        await trouble.mend(redis);
        await eachKnowsOf(2, both);
        await eachSays('connected', both);
        for (const instance of both) {
          expect(saidOf(instance, 'Redis cannot be used')).toBe(1);
          expect(saidOf(instance, 'Redis is connected')).toBe(2);
        }
      },
    );
  }

  it(
    'its network is cut both ways: every request is answered, and the findings are merged afterwards',
    LONG,
    async () => {
      const lines: CuttableLine[] = [];
      const { one, other, spendOn } = await startTwo(async ({ port }) => {
        const line = await startCuttableLine(port);
        lines.push(line);
        return `redis://127.0.0.1:${line.port}`;
      });
      const both = [one, other];
      const [{ cut, mend } = expect.fail('no line')] = lines;
      const load = startLoads(both);
      await load.goOn(20);
      cut();
      await load.goOn(50);
      await eachSays('unreachable', both);
      expect(await load.stop()).toEqual([]);
      await spendOn(one, 1);
      await spendOn(other, 2);
      mend();
      await eachKnowsOf(2, both);
    },
  );

  it('it is down at the start: the instance serves at once, and shares later', LONG, async () => {
    const { redis, one, other, start, spendOn } = await startTwo();
    await redis.signal('SIGKILL');
    const late = await start();
    expect(await redisOf(late)).toBe('unreachable');
    await spendOn(late, 3);
    expect(await coolingOf(late)).toBe(1);
    await redis.startAgain();
    await eachKnowsOf(1, [one, other, late]);
  });

  it('it is flushed: the instances publish again what they know', LONG, async () => {
    const { redis, one, other, start, spendOn } = await startTwo();
    await spendOn(one, 1);
    await eachKnowsOf(1, [one, other]);
    await redis.client.flushall();
    await vi.waitFor(async () => expect(await redis.client.keys('*scope:*')).toHaveLength(1), SOON);
    expect(await coolingOf(await start())).toBe(1);
  });

  it(
    'it is full: logged once, each instance works alone, and publishes when there is room',
    LONG,
    async () => {
      const { redis, one, other, spendOn } = await startTwo();
      const both = [one, other];
      await redis.client.config('SET', 'maxmemory', '1');
      await eachSays('refusing', both);
      await spendOn(one, 1);
      expect(await coolingOf(one)).toBe(1);
      expect(await coolingOf(other)).toBe(0);
      await redis.client.config('SET', 'maxmemory', '0');
      await eachKnowsOf(1, both);
      expect(saidOf(one, 'Redis cannot be used')).toBe(1);
    },
  );

  it(
    'another master takes its place without the last records: the instances publish them again',
    LONG,
    async () => {
      const { redis, one, other, start, spendOn } = await startTwo();
      const master = await startRedis();
      await spendOn(one, 1);
      await redis.client.replicaof('127.0.0.1', master.port);
      await eachSays('refusing', [one, other]);
      await spendOn(other, 2);
      await redis.client.replicaof('NO', 'ONE');
      await eachKnowsOf(2, [one, other]);
      await eachSays('connected', [one, other]);
      expect(await coolingOf(await start())).toBe(2);
    },
  );

  it('it wants a password: logged without the one that was tried', LONG, async () => {
    const { redis, start } = await startTwo();
    await redis.client.config('SET', 'requirepass', 'the-right-password');
    const url = redis.url.replace('//', '//:a-wrong-password-for-it@');
    const locked = await start(url);
    await eachSays('refusing', [locked]);
    expect((await locked.chat('hello')).status).toBe(200);
    const line = locked.logs.find(({ msg }) => msg.startsWith('Redis cannot be used'));
    expect(line).toMatchObject({ address: `redis://127.0.0.1:${redis.port}` });
    expect(locked.logText()).not.toMatch(/wrong-pass|d3JvbmctcG|77726f6e67/);
  });

  it('it knows no passwords and echoes the one it got: the log does not', LONG, async () => {
    const { standin } = await startTwo();
    const odd = await startRedis('--rename-command', 'AUTH', '');
    const lost = await startInstance({
      environment: {
        ...keySettings(KEYS),
        REDIS_URL: odd.url.replace('//', '//:a-password-that-is-echoed@'),
        GOOGLE_BASE_URL: standin.url,
      },
    });
    await vi.waitFor(() => expect(saidOf(lost, 'Redis cannot be used')).toBe(1), SOON);
    expect(lost.logText()).not.toContain('a-password');
  });

  it('something else answers on its port: every request is answered', LONG, async () => {
    const { start } = await startTwo();
    const babble = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    const port = await freePort();
    babble.listen(port, '127.0.0.1');
    await once(babble, 'listening');
    const lost = await start(`redis://127.0.0.1:${port}`);
    const load = startLoads([lost]);
    await load.goOn(50);
    expect(await load.stop()).toEqual([]);
    expect(await redisOf(lost)).toBe('unreachable');
    expect(lost.logs).toContainEqual(
      expect.objectContaining({ state: 'unreachable', address: `redis://127.0.0.1:${port}` }),
    );
    await lost.stop();
    babble.close();
  });

  describe('and holds invalid data', () => {
    it(
      'what is valid is merged, what is not is ignored, and no key is parked for longer than a cooldown',
      LONG,
      async () => {
        const { redis, one, other, start, spendOn } = await startTwo();
        await spendOn(one, 1);
        await eachKnowsOf(1, [one, other]);
        const [record = ''] = await redis.client.keys('*scope:*');
        const text = (await redis.client.get(record)) ?? '';
        const name = record.split('scope:')[1] ?? '';
        const far = text.replace(/\|\d+\|\{/, '|9999999999999|{');
        const change = (what: string) => redis.client.publish('understudy:changes:0', what);
        for (const rubbish of [
          '',
          'x',
          '\n\n\n',
          `me\n0\n${name}\nrubbish`,
          `me\n0\nunknown\n${far}`,
        ]) {
          await change(rubbish);
        }
        await change(`me\n0\n${name}\n${far}`);
        await redis.client.lpush('understudy:probe:x', 'a list');
        await redis.client.del('understudy:scopes');
        await redis.client.set('understudy:scopes', 'no set');
        await spendOn(other, 2);
        await eachKnowsOf(2, [one, other]);
        const third = await start();
        await eachSays('connected', [one, other, third]);
        const refused = await one.chat('hello');
        expect(refused.status).toBe(200);
      },
    );
  });
});

it('a connection is tried again after two seconds at most, however long Redis stays away', () => {
  const { options } = createRedisClient(new Secret('redis', 'redis://localhost'), () => 1);
  expect([1, 2, 10, 100_000].map((times) => options.retryStrategy?.(times))).toEqual([
    100, 200, 2000, 2000,
  ]);
});

ifInstalled(REDIS_SERVER, 'the data in Redis', () => {
  it('contains no text of a key, expires, and has the prefix of the deployment', LONG, async () => {
    const redis = await startRedis();
    const standin = await startProviders(KEYS);
    const environment = {
      ...keySettings(KEYS),
      GOOGLE_API_KEY_1_PROJECT: 'the-shop',
      REDIS_URL: redis.url,
      GOOGLE_BASE_URL: standin.url,
      RATE_LIMIT_CHAT: '1000',
    };
    const ours = await startInstance({ environment });
    const theirs = await startInstance({
      environment: { ...environment, REDIS_PREFIX: 'other:' },
    });
    standin.setFault('the-key-with-number-1', DAY_SPENT);
    standin.setFault('the-key-with-number-2', { kind: 'bad_key' });
    await Promise.all(KEYS.map(() => ours.chat('hello')));
    await vi.waitFor(async () => expect(await redis.client.keys('*scope:*')).toHaveLength(2), SOON);
    const names = await redis.client.keys('*');
    expect(new Set(names.map((name) => name.split(':')[0]))).toEqual(
      new Set(['understudy', 'other']),
    );
    expect(await coolingOf(theirs)).toBe(0);
    for (const name of names) expect([name, await redis.client.pttl(name)]).not.toEqual([name, -1]);
    const dump = await Promise.all(names.map((name) => redis.client.dump(name)));
    const everything = [...names, ...dump].join('\n');
    expect(everything).not.toMatch(/the-key-with|the-shop/);
  });
});
