import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterEach, expect, it, vi } from 'vitest';
import type { Standin } from '../../standin/standin.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { startBalancer } from '../support/balancer.ts';
import { ifInstalled } from '../support/installed.ts';
import { gapsOf, keySettings, startProviders, timesOf } from '../support/instances.ts';
import { MIXED_CALLERS, startLoad, startMixedLoad } from '../support/load.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';

const KEYS = Array.from({ length: 12 }, (_, index) => ({
  key: `the-key-with-number-${index + 1}`,
  service: 'google' as const,
}));
const FIRST = 'the-key-with-number-1';
const DAY_SPENT = { kind: 'day_spent' } as const;
/** Long enough that there is always a request under way, and that the load leaves room for a server to start. */
const ANSWER = { chunks: 3, firstChunkMs: 60, chunkMs: 20 };
const LONG = { timeout: 60_000 };
const PATIENCE = { timeout: 20_000, interval: 20 };

const running: (() => Promise<void>)[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
});

/** Servers with the same keys, each a process, and one Redis. */
async function startAll(count: number, cooldownSeconds: number) {
  const redis = await startRedis();
  const standin = await startProviders(KEYS, { answer: ANSWER });
  const start = async () => {
    const server = await startServerProcess({
      ...keySettings(KEYS),
      KEY_COOLDOWN_SECONDS: String(cooldownSeconds),
      REDIS_URL: redis.url,
      GOOGLE_BASE_URL: standin.url,
      ADMIN_TOKEN,
      RATE_LIMIT_CHAT: '0',
    });
    running.push(server.stop);
    return server;
  };
  const servers = await Promise.all(Array.from({ length: count }, start));
  const [one = expect.fail('no server')] = servers;
  return { redis, standin, start, servers, one };
}

/** Over a new connection. */
async function ask({ url }: ServerProcess, path: string, body?: unknown) {
  const headers = { 'content-type': 'application/json', ...AS_ADMIN };
  const method = body === undefined ? 'GET' : 'POST';
  const sent = request(`${url}${path}`, { method, headers, agent: false });
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return JSON.parse(text);
}

/** This server alone finds the key spent: so many calls use each key once. */
async function spendOn(server: ServerProcess, standin: Standin): Promise<void> {
  standin.setFault(FIRST, DAY_SPENT);
  await Promise.all(KEYS.map(() => ask(server, '/api/chat', { message: 'hello' })));
  expect(standin.callsOf(FIRST)).toBe(1);
}

const eachKnowsOf = (count: number, servers: readonly ServerProcess[]) =>
  vi.waitFor(async () => {
    for (const server of servers) {
      const { google } = (await ask(server, '/api/keys/status')).api_keys;
      expect(google.cooling_down).toBe(count);
    }
  }, PATIENCE);

ifInstalled(REDIS_SERVER, 'instances that are processes', () => {
  it(
    'one is killed under load: only the requests in it fail, and another makes its probe once its claim has expired',
    LONG,
    async () => {
      const { redis, standin, servers, one } = await startAll(2, 1);
      await spendOn(one, standin);
      await eachKnowsOf(1, servers);
      standin.setFault(FIRST, { kind: 'hang' });
      // No other server asks for a key meanwhile: the probe is this one's.
      const probing = startLoad({ url: one.url, callers: 1, connections: 'fresh' });
      await vi.waitUntil(() => standin.callsOf(FIRST) === 2, PATIENCE);
      const probed = probing.stop();
      standin.setFault(FIRST, null);
      const [claim = ''] = await redis.client.keys('understudy:probe:*');
      expect(await redis.client.pttl(claim)).toBeGreaterThan(3000);
      await redis.client.pexpire(claim, 1500);

      const balancer = await startBalancer(servers);
      const load = startMixedLoad(balancer.url);
      await load.goOn(10);
      const underWay = balancer.openTo(one);
      // A dying process still accepts: without this, a caller might lose two requests.
      balancer.sendTo(servers.filter((server) => server !== one));
      await one.stop();
      const killedAt = Date.now();
      await load.goOn(50);
      await vi.waitUntil(() => standin.callsOf(FIRST) > 2, PATIENCE);
      const faults = await load.stop();
      expect(underWay).toBeGreaterThan(0);
      // Each caller may have had one request there, some of them only just.
      expect(faults.length).toBeLessThanOrEqual(MIXED_CALLERS.kept + MIXED_CALLERS.fresh);
      expect(faults.filter((fault) => !/^ECONNRESET|^EPIPE|aborted/.test(fault))).toEqual([]);
      expect(await probed).toHaveLength(1);

      const [, probedAt = 0, nextAt = 0] = timesOf(standin, FIRST);
      expect(nextAt - probedAt).toBeGreaterThan(1400);
      // The dead server may have renewed its claim to five seconds once more.
      expect(nextAt - killedAt).toBeLessThan(6500);
      expect(await ask(servers[1] ?? one, '/health')).toMatchObject({ redis: 'connected' });
    },
  );

  it(
    'all are replaced under load, one after another: no request fails, no key is called before its time',
    LONG,
    async () => {
      const { standin, start, servers, one } = await startAll(2, 2);
      const parked = 'the-key-with-number-2';
      // For longer than the test lasts.
      await ask(one, '/api/keys/google-2/park', { seconds: 600, reason: 'leaked' });
      await eachKnowsOf(1, servers);
      const balancer = await startBalancer(servers);
      const load = startMixedLoad(balancer.url);
      await load.goOn(5);
      standin.setFault(FIRST, DAY_SPENT);
      await vi.waitUntil(() => standin.callsOf(FIRST) > 0, PATIENCE);
      // Under load several may find it spent before they know of each other.
      await eachKnowsOf(2, servers);
      const callsBefore = standin.callsOf(parked);
      const known = standin.callsOf(FIRST);
      const gaps = () => gapsOf(timesOf(standin, FIRST).slice(known - 1));
      const current = [...servers];
      for (const old of servers) {
        current.push(await start());
        current.shift();
        balancer.sendTo(current);
        // Every connection opened before this one has been accepted when it is answered.
        await ask(old, '/health');
        expect(await old.end()).toBe(0);
        await load.goOn(10);
      }
      await vi.waitUntil(() => gaps().length >= 2, PATIENCE);
      await load.goOn(20);
      expect(await load.stop()).toEqual([]);
      for (const gap of gaps()) expect(gap).toBeGreaterThanOrEqual(1990);
      expect(standin.callsOf(parked)).toBe(callsBefore);
      for (const { logs } of servers) {
        expect(logs('stopped')).toEqual([expect.objectContaining({ endedByItself: true })]);
      }
    },
  );
});
