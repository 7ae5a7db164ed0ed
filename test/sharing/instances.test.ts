import { expect, it, vi } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { ifInstalled } from '../support/installed.ts';
import {
  gapsOf,
  type Instance,
  keySettings,
  startInstance,
  startProviders,
  timesOf,
} from '../support/instances.ts';
import { startLoads } from '../support/load.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';

const THIRTY = Array.from({ length: 30 }, (_, index) => ({
  key: `the-key-with-number-${index + 1}`,
  service: 'google' as const,
}));
const DAY_SPENT = { kind: 'day_spent' } as const;
const SOON = { timeout: 1000, interval: 10 };

/** Instances with the same keys, whose clocks differ by seconds. */
async function startAll(count: number, environment: Record<string, string> = {}, keys = THIRTY) {
  const redis = await startRedis();
  const standin = await startProviders(keys);
  const settings = {
    ...keySettings(keys),
    REDIS_URL: redis.url,
    GOOGLE_BASE_URL: standin.url,
    ADMIN_TOKEN,
    ...environment,
  };
  const start = (clockAheadMs = 0) => startInstance({ environment: settings, clockAheadMs });
  const instances: Instance[] = [];
  for (let index = 0; index < count; index += 1) instances.push(await start(2000 * index));
  const [one] = instances;
  if (one === undefined) throw new Error('no instance');
  return { redis, standin, start, instances, one };
}

/** So many calls use each key once. */
async function askEachKey(instance: Instance): Promise<void> {
  const answers = await Promise.all(THIRTY.map(() => instance.chat('hello')));
  for (const { status } of answers) expect(status).toBe(200);
}

const countsOf = async (instance: Instance) =>
  (await instance.get('/api/keys/status')).api_keys.google;

const keyOf = async (instance: Instance, id: string) => {
  const { keys } = await instance.get('/api/keys?service=google&limit=100', AS_ADMIN);
  return keys.find((key: { id: string }) => key.id === id);
};

ifInstalled(REDIS_SERVER, 'four instances with thirty keys', () => {
  it('all know within a second that a key is spent, at the cost of one call', async () => {
    const { standin, instances, one } = await startAll(4);
    standin.setFault('the-key-with-number-1', DAY_SPENT);
    await askEachKey(one);
    await vi.waitFor(async () => {
      for (const instance of instances) {
        expect(await countsOf(instance)).toMatchObject({ available: 29, cooling_down: 1 });
      }
    }, SOON);
    for (const instance of instances) await askEachKey(instance);
    expect(standin.callsOf('the-key-with-number-1')).toBe(1);
  });

  it('waste at most two calls more than one instance for a key that is spent under load', async () => {
    const { standin, instances } = await startAll(4);
    const load = startLoads(instances);
    await load.goOn(20);
    const before = standin.callsOf('the-key-with-number-7');
    standin.setFault('the-key-with-number-7', DAY_SPENT);
    await load.goOn(60);
    expect(await load.stop()).toEqual([]);
    const refused = standin.calls.filter(
      ({ key, status }) => key === 'the-key-with-number-7' && status === 429,
    );
    expect(before).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThanOrEqual(3);
  });

  it('probe a key once, not once each, when its cooldown has passed', {
    timeout: 20_000,
  }, async () => {
    const { standin, instances } = await startAll(4, { KEY_COOLDOWN_SECONDS: '1' });
    standin.setFault('the-key-with-number-3', DAY_SPENT);
    const load = startLoads(instances);
    await vi.waitUntil(() => standin.callsOf('the-key-with-number-3') > 0, { timeout: 5000 });
    // Until the first finding is shared several instances may find it spent, in one moment; then one probe each second.
    const times = () => timesOf(standin, 'the-key-with-number-3');
    await vi.waitUntil(() => gapsOf(times()).length >= 2, { timeout: 10_000, interval: 20 });
    expect(await load.stop()).toEqual([]);
    for (const gap of gapsOf(times())) expect(gap).toBeGreaterThanOrEqual(990);
    const probes = times().filter((at) => at > (times()[0] ?? 0) + 500);
    expect(probes).toHaveLength(gapsOf(times()).length);
  });

  it('all park and release a key when an operator does so at one of them', async () => {
    const { instances, one } = await startAll(3);
    const [, , last] = instances;
    const counts = (available: number) =>
      vi.waitFor(async () => {
        for (const each of instances) expect(await countsOf(each)).toMatchObject({ available });
      }, SOON);
    await one.post('/api/keys/google-5/park', { seconds: 600, reason: 'leaked' }, AS_ADMIN);
    await counts(29);
    await last?.post('/api/keys/google-5/release', {}, AS_ADMIN);
    await counts(30);
  });

  it('pace together: no instance asks a key whose minute the others have used up', {
    timeout: 20_000,
  }, async () => {
    const alone = THIRTY.slice(0, 2).map((key) => ({ ...key, limits: { rpm: 8 } }));
    const environment = { GOOGLE_LIMITS: 'gemini-flash-latest: 8 rpm', KEY_WAIT_SECONDS: '0' };
    const { standin, instances } = await startAll(4, environment, alone);
    // Clocks run seconds apart: all of it happens within one minute of each.
    await vi.waitUntil(() => Date.now() % 60_000 < 40_000, { timeout: 30_000 });
    for (let turn = 0; turn < 4; turn += 1) {
      for (const instance of instances) expect((await instance.chat('Hi')).status).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(standin.calls).toHaveLength(16);
    await vi.waitFor(async () => {
      for (const instance of instances) {
        const { scopes } = await keyOf(instance, 'google-1');
        expect(scopes).toMatchObject([{ scope: 'quota', cause: 'paced' }]);
      }
    }, SOON);
  });

  it('all open the features of a project when an operator releases its key at one of them', async () => {
    const alone = THIRTY.slice(0, 1);
    const { standin, instances, one } = await startAll(2, {}, alone);
    const special = 'word '.repeat(25_000);
    const statuses = () =>
      Promise.all(instances.map(async (each) => (await each.chat(special)).status));
    standin.setFault('the-key-with-number-1', { kind: 'exhausted_no_details' });
    expect(await statuses()).toEqual([429, 429]);
    standin.setFault('the-key-with-number-1', null);
    expect(await statuses()).toEqual([503, 503]);
    await one.post('/api/keys/google-1/release', {}, AS_ADMIN);
    await vi.waitFor(async () => expect(await statuses()).toEqual([200, 200]), SOON);
  });

  it('start with what the others knew, cause and time included', async () => {
    const { standin, instances, one, start } = await startAll(2);
    standin.setFault('the-key-with-number-1', DAY_SPENT);
    await askEachKey(one);
    await Promise.all(instances.map((instance) => instance.stop()));
    const late = await start(-3000);
    expect(await countsOf(late)).toMatchObject({ available: 29, cooling_down: 1 });
    expect(await keyOf(late, 'google-1')).toMatchObject({
      state: 'cooling_down',
      cause: 'quota_exhausted',
    });
    await askEachKey(late);
    expect(standin.callsOf('the-key-with-number-1')).toBe(1);
  });

  it('answer a request whose only key needs a claim first', async () => {
    const [key] = THIRTY;
    const alone = key === undefined ? [] : [key];
    const environment = { KEY_COOLDOWN_SECONDS: '1', KEY_WAIT_SECONDS: '0' };
    const { standin, instances, one } = await startAll(2, environment, alone);
    standin.setFault('the-key-with-number-1', DAY_SPENT);
    expect((await one.chat('hello')).status).toBe(503);
    standin.setFault('the-key-with-number-1', null);
    await vi.waitFor(async () => expect(await countsOf(one)).toMatchObject({ available: 1 }), {
      timeout: 3000,
    });
    const statuses = [];
    for (const instance of instances) statuses.push((await instance.chat('hello')).status);
    expect(statuses).toEqual([200, 200]);
  });
});
