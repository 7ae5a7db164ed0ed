import { expect, it, vi } from 'vitest';
import { overview, requestReport } from '../../src/observability/reports.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { ifInstalled } from '../support/installed.ts';
import { type Instance, keySettings, startInstance, startProviders } from '../support/instances.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';

const KEYS = Array.from({ length: 4 }, (_, index) => ({
  key: `the-key-with-number-${index + 1}`,
  service: 'google' as const,
}));
const SOON = { timeout: 6000, interval: 50 };

async function startAll(count: number) {
  const redis = await startRedis();
  const standin = await startProviders(KEYS);
  const environment = {
    ...keySettings(KEYS),
    ...{ REDIS_URL: redis.url, GOOGLE_BASE_URL: standin.url, ADMIN_TOKEN },
  };
  const instances = await Promise.all(
    Array.from({ length: count }, () => startInstance({ environment })),
  );
  const [one, other] = instances;
  if (one === undefined || other === undefined) throw new Error('no instances');
  return { redis, standin, instances, one, other, environment };
}

const overviewOf = async (instance: Instance) =>
  overview.parse(await instance.get('/api/overview', AS_ADMIN));

type Overview = Awaited<ReturnType<typeof overviewOf>>;

/** An overview is at most a second old, so it may take a moment until it shows what has happened. */
const shows = (instance: Instance, check: (found: Overview) => void) =>
  vi.waitFor(async () => {
    const found = await overviewOf(instance);
    check(found);
    return found;
  }, SOON);

const hasInstances = (instance: Instance, count: number) =>
  shows(instance, ({ instances, silentInstances }) => {
    expect(instances).toHaveLength(count);
    expect(silentInstances).toBe(0);
  });

const hasRequests = (instance: Instance, requests: number) =>
  shows(instance, ({ totals }) => expect(totals).toMatchObject({ requests }));

ifInstalled(REDIS_SERVER, 'four instances in one page', () => {
  it('each shows the sums of all, and the requests of all', async () => {
    const { instances, one } = await startAll(4);
    await Promise.all(instances.map((instance) => hasInstances(instance, 4)));
    for (const [index, instance] of instances.entries()) {
      for (let i = 0; i <= index; i += 1) {
        expect((await instance.chat(`chat ${i}`)).status).toBe(200);
      }
    }
    const all = await Promise.all(instances.map((instance) => hasRequests(instance, 10)));
    for (const { totals, instances: listed, minutes, latest } of all) {
      expect(totals).toMatchObject({ answered: 10, successPercent: 100 });
      expect(totals.p95FirstMs).not.toBeNull();
      expect(minutes.reduce((sum, { requests }) => sum + requests, 0)).toBe(10);
      expect(listed.map(({ requests }) => requests).toSorted()).toEqual([1, 2, 3, 4]);
      expect(listed.filter(({ isThis }) => isThis)).toEqual([listed[0]]);
      expect(listed.every(({ redis }) => redis === 'connected')).toBe(true);
      expect(latest).toHaveLength(10);
      expect(new Set(latest.map(({ instance }) => instance)).size).toBe(4);
      expect(latest.map(({ at }) => at)).toEqual(
        latest
          .map(({ at }) => at)
          .toSorted()
          .reverse(),
      );
    }
    const { points } = await one.get('/api/history', AS_ADMIN);
    const requests = points.map((point: { requests: number }) => point.requests);
    expect(requests.reduce((sum: number, number: number) => sum + number, 0)).toBe(10);
  });

  it('a group of failures of several instances leads to the requests of each', async () => {
    const { standin, one, other } = await startAll(2);
    await hasInstances(one, 2);
    for (const { key } of KEYS) standin.setFault(key, { kind: 'leaked' });
    const refused = async (instance: Instance) => (await instance.chat('my own words')).status;
    expect([await refused(one), await refused(other)]).toEqual([503, 503]);
    const { failures, instances } = await hasRequests(one, 2);
    expect(failures).toMatchObject([{ code: 'all_keys_exhausted', count: 2, clients: ['web'] }]);
    const traces = await Promise.all(
      (failures[0]?.requestIds ?? []).map(async (id) =>
        requestReport.parse((await one.get(`/api/requests/${id}`, AS_ADMIN)).request),
      ),
    );
    expect(traces.map(({ instance }) => instance).toSorted()).toEqual(
      instances.map(({ id }) => id).toSorted(),
    );
    expect(await one.get('/api/requests/unknown', AS_ADMIN)).toHaveProperty('error');
  });

  it('one that ends is gone from the page, and its numbers with it', async () => {
    const { one, other } = await startAll(3);
    await other.chat('Hi');
    expect((await hasRequests(one, 1)).instances).toHaveLength(3);
    await other.stop();
    expect((await hasInstances(one, 2)).totals.requests).toBe(0);
  });

  it('without Redis an instance shows itself, and says what is missing', async () => {
    const { redis, one, other } = await startAll(2);
    await one.chat('Hi');
    await hasInstances(one, 2);
    await redis.signal('SIGKILL');
    const alone = await vi.waitFor(async () => {
      const found = await overviewOf(one);
      expect(found.redis).toBe('unreachable');
      expect(found.instances).toHaveLength(1);
      return found;
    }, SOON);
    expect(alone.instances).toMatchObject([{ isThis: true, redis: 'unreachable' }]);
    expect(alone.totals.requests).toBe(1);
    await redis.startAgain();
    await Promise.all([hasInstances(one, 2), hasInstances(other, 2)]);
  });

  it('neither the words of callers nor keys go through Redis, and nothing stays there', async () => {
    const { redis, standin, one, other } = await startAll(2);
    await hasInstances(one, 2);
    const heard: string[] = [];
    const subscriber = redis.client.duplicate();
    await subscriber.psubscribe('*');
    subscriber.on('pmessage', (_pattern, channel: string, message: string) => {
      heard.push(`${channel} ${message}`);
    });
    const before = (await redis.client.keys('*')).toSorted();
    for (const { key } of KEYS) {
      standin.setFault(key, {
        ...{ kind: 'raw', status: 400, headers: {} },
        body: '{"error":{"code":400,"message":"Bad value: my own words","status":"INVALID_ARGUMENT"}}',
      });
    }
    expect((await other.chat('my own words')).status).toBe(400);
    const { latest, failures } = await hasRequests(one, 1);
    await one.get('/api/history', AS_ADMIN);
    const id = latest[0]?.requestId ?? '';
    const { request } = await one.get(`/api/requests/${id}`, AS_ADMIN);
    const own = await other.get(`/api/requests/${id}`, AS_ADMIN);
    subscriber.disconnect();
    expect(failures).toMatchObject([{ kind: 'request_fault' }]);
    expect(request.attempts[0].message).toBe('only the instance itself shows what was said');
    expect(own.request.attempts[0].message).toContain('my own words');
    expect(heard.length).toBeGreaterThan(5);
    expect(heard.join('\n')).not.toMatch(/my own words|the-key-with-number|127\.0\.0\.1/);
    expect((await redis.client.keys('*')).toSorted()).toEqual(before);
  });

  it('one that does not answer, or not sensibly, is counted and delays the page by less than a second', async () => {
    const { redis, one } = await startAll(2);
    await hasInstances(one, 2);
    const stranger = redis.client.duplicate();
    let answer: string | null = null;
    stranger.on('message', (_channel, question: string) => {
      const [asker, number] = question.split('\n');
      const channel = `understudy:answers:0:${asker}`;
      if (answer !== null) redis.client.publish(channel, `${number}\nstranger\n${answer}`);
    });
    await stranger.subscribe('understudy:questions:0');
    const startedAt = performance.now();
    await shows(one, ({ instances, silentInstances }) => {
      expect([instances.length, silentInstances]).toEqual([2, 1]);
    });
    expect((await one.get('/api/history', AS_ADMIN)).silentInstances).toBe(1);
    expect(performance.now() - startedAt).toBeLessThan(4000);
    for (answer of ['', 'no JSON', '{"report":{"id":1}}', '[]']) {
      expect((await one.get('/api/history', AS_ADMIN)).silentInstances).toBe(0);
      await hasInstances(one, 2);
    }
    stranger.disconnect();
  });
});
