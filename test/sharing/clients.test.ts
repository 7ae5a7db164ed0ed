import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { startBalancer } from '../support/balancer.ts';
import { ifInstalled } from '../support/installed.ts';
import { type Instance, keySettings, startInstance, startProviders } from '../support/instances.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';

const MODEL = 'gemini-flash-latest';
const KEYS = 5;
const PATIENCE = { timeout: 3000, interval: 20 };

/** So many instances with one Redis. */
async function startAll(count: number, { rpm, minuteMs }: { rpm: number; minuteMs: number }) {
  const redis = await startRedis();
  const keys = Array.from({ length: KEYS }, (_, index) => ({
    key: `the-key-with-number-${index + 1}`,
    service: 'google' as const,
    limits: { rpm },
  }));
  const answer = { chunks: 1, firstChunkMs: 20 };
  const standin = await startProviders(keys, { answer, speed: 60_000 / minuteMs });
  const start = () =>
    startInstance({
      environment: {
        ...keySettings(keys),
        GOOGLE_LIMITS: `${MODEL}: ${rpm} rpm`,
        GOOGLE_BASE_URL: standin.url,
        REDIS_URL: redis.url,
        KEY_WAIT_SECONDS: '0',
        ADMIN_TOKEN,
      },
      minuteMs,
    });
  const instances = await Promise.all(Array.from({ length: count }, start));
  const [one = expect.fail('no instance')] = instances;
  return { redis, instances, one, start };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function make(one: Instance, body: object): Promise<string> {
  const made = await one.post('/api/clients', body, AS_ADMIN);
  return ((await made.json()) as { token: string }).token;
}

const ask = ({ url }: { readonly url: string }, token: string) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...bearer(token) },
    body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hello' }] }),
  });

/** Once every instance knows the client. */
const eachKnows = (instances: readonly Instance[], token: string, status = 200) =>
  vi.waitFor(async () => {
    for (const { url } of instances) {
      const { status: found } = await fetch(`${url}/v1/models`, { headers: bearer(token) });
      expect(found).toBe(status);
    }
  }, PATIENCE);

ifInstalled(REDIS_SERVER, 'clients of several instances', () => {
  it('a client made, changed or revoked at one is so at the others within a second, and its token is not in Redis', async () => {
    const { instances, one, redis, start } = await startAll(2, { rpm: 1000, minuteMs: 60_000 });
    const token = await make(one, { name: 'shop', requestsPerDay: 4 });
    const madeAt = Date.now();
    await eachKnows(instances, token);
    expect(Date.now() - madeAt).toBeLessThan(1000);
    // The budget is one for all: what one has counted, the others know a moment later.
    for (const instance of [...instances, ...instances]) {
      expect((await ask(instance, token)).status).toBe(200);
    }
    const used = async (instance: Instance) =>
      (await instance.get('/api/clients', AS_ADMIN)).clients[0].used.requestsDay;
    await vi.waitFor(async () => {
      for (const instance of instances) expect(await used(instance)).toBe(4);
    }, PATIENCE);
    for (const instance of instances) expect((await ask(instance, token)).status).toBe(429);
    // Also for one that starts later: at the latest after its first request.
    const late = await start();
    await vi.waitFor(async () => expect((await ask(late, token)).status).toBe(429), PATIENCE);
    for (const key of await redis.client.keys('*')) {
      const kind = await redis.client.type(key);
      const held = kind === 'hash' ? await redis.client.hgetall(key) : kind;
      expect(JSON.stringify([key, held])).not.toContain(token.slice(3));
    }
    await fetch(`${one.url}/api/clients/shop`, { method: 'DELETE', headers: AS_ADMIN });
    await eachKnows([...instances, late], token, 401);
  });

  it('one greedy client of two takes no more than the other leaves: its share holds within 5% over four instances', {
    timeout: 40_000,
  }, async () => {
    const minuteMs = 10_000;
    const capacity = 160;
    const { instances, one } = await startAll(4, { rpm: capacity / KEYS, minuteMs });
    const greedy = await make(one, { name: 'greedy' });
    const modest = await make(one, { name: 'modest' });
    await eachKnows(instances, modest);
    const balancer = await startBalancer(instances);
    const minuteOf = (at: number) => Math.floor(at / minuteMs);
    // It counts the first whole minute; in what is left of this one both show what they want.
    const counted = minuteOf(Date.now() + 3000) + 1;
    const load = async (token: string, pauseMs: number) => {
      while (minuteOf(Date.now()) <= counted) {
        await (await ask(balancer, token)).arrayBuffer();
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    };
    await Promise.all([
      ...Array.from({ length: 8 }, () => load(greedy, 150)),
      ...Array.from({ length: 4 }, () => load(modest, 300)),
    ]);
    const lines = instances.flatMap(({ logs }) => logs).filter(({ msg }) => msg === 'request');
    /** Those that arrived in the counted minute. */
    const countsOf = (name: string) => {
      const arrived = lines.filter(
        ({ client, time, ms }) =>
          client === name && minuteOf(Date.parse(String(time)) - Number(ms)) === counted,
      );
      const answered = arrived.filter(({ status }) => status === 200).length;
      return { asked: arrived.length, answered };
    };
    const counts = { greedy: countsOf('greedy'), modest: countsOf('modest') };
    const share = capacity / 2;
    // A slow machine may ask for less.
    expect(counts.greedy.asked).toBeGreaterThan(1.5 * share);
    const wanted = Math.min(share, counts.modest.asked);
    expect(wanted).toBeGreaterThan(share / 2);
    expect(counts.modest.answered).toBeGreaterThanOrEqual(0.95 * wanted);
  });
});

it('a restart with DATA_DIR keeps the clients, and what they have used of the day', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-'));
  const standin = await startProviders([{ key: 'the-key-with-number-1', service: 'google' }]);
  const start = () =>
    startInstance({
      environment: {
        GOOGLE_API_KEY: 'the-key-with-number-1',
        GOOGLE_BASE_URL: standin.url,
        DATA_DIR: folder,
        ADMIN_TOKEN,
      },
    });
  const before = await start();
  const token = await make(before, { name: 'shop', requestsPerDay: 2 });
  for (const _ of [1, 2]) expect((await ask(before, token)).status).toBe(200);
  await before.stop();
  const after = await start();
  const [client] = (await after.get('/api/clients', AS_ADMIN)).clients;
  expect(client).toMatchObject({ name: 'shop', used: { requestsMinute: 0, requestsDay: 2 } });
  expect((await ask(after, token)).status).toBe(429);
  await after.stop();
  const files = await Promise.all(
    (await readdir(folder)).map((name) => readFile(join(folder, name))),
  );
  for (const file of files) expect(file.includes(token.slice(3))).toBe(false);
  await rm(folder, { recursive: true });
});
