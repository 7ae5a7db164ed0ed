import { expect, it, vi } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { ifInstalled } from '../support/installed.ts';
import { type Instance, keySettings, startInstance, startProviders } from '../support/instances.ts';
import { startLoads } from '../support/loads.ts';
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

/** In turn: once each, for one caller after another. */
async function askEachKey(instance: Instance): Promise<void> {
  for (const _ of THIRTY) expect((await instance.chat('hello')).status).toBe(200);
}

const countsOf = async (instance: Instance) =>
  (await instance.get('/api/keys/status')).api_keys.google;

const keyOf = async (instance: Instance, id: string) => {
  const { keys } = await instance.get('/api/keys?service=google&limit=100', AS_ADMIN);
  return keys.find((key: { id: string }) => key.id === id);
};

ifInstalled(REDIS_SERVER, 'four instances with thirty keys', () => {
  it('all know within a second that a key is spent, and pay for it once', async () => {
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

  it('waste at most two calls more than one instance alone for a key that is spent under load', async () => {
    const { standin, instances } = await startAll(4);
    const load = startLoads(instances);
    await load.goOn(20);
    const before = standin.callsOf('the-key-with-number-7');
    standin.setFault('the-key-with-number-7', DAY_SPENT);
    await load.goOn(150);
    expect(await load.stop()).toEqual([]);
    const refused = standin.calls.filter(
      ({ key, status }) => key === 'the-key-with-number-7' && status === 429,
    );
    expect(before).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThanOrEqual(3);
  });

  it('try a key once, not once each, when its cooldown has passed', {
    timeout: 20_000,
  }, async () => {
    const { standin, instances } = await startAll(4, { KEY_COOLDOWN_SECONDS: '2' });
    standin.setFault('the-key-with-number-3', DAY_SPENT);
    const load = startLoads(instances);
    await vi.waitUntil(() => standin.callsOf('the-key-with-number-3') > 0, { timeout: 5000 });
    const refusals = () =>
      standin.calls.filter(({ key, status }) => key === 'the-key-with-number-3' && status === 429);
    await vi.waitUntil(() => gapsOf(refusals()).length >= 2, { timeout: 10_000, interval: 20 });
    expect(await load.stop()).toEqual([]);
    // Whoever found it spent at the same moment as another is no trial; after that there is one each two seconds.
    for (const gap of gapsOf(refusals())) expect(gap).toBeGreaterThanOrEqual(1990);
    const afterFirst = refusals().filter(({ at }) => at > (refusals()[0]?.at ?? 0) + 1000);
    expect(afterFirst).toHaveLength(gapsOf(refusals()).length);
  });

  it('are told of what an operator says to one of them', async () => {
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

  it('open the features of a project when an operator releases its key at one of them', async () => {
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

  it('start with what is known, cause and time included', async () => {
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

  it('answer a request whose only hope is a key that another one must be asked for', async () => {
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

/** Milliseconds between the calls that are not of one moment. */
function gapsOf(calls: readonly { readonly at: number }[]): readonly number[] {
  return calls.map(({ at }, index) => at - (calls[index - 1]?.at ?? at)).filter((gap) => gap > 500);
}
