import { createServer } from 'node:net';
import { expect, it, vi } from 'vitest';
import type { Standin } from '../../standin/standin.ts';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { startBalancer } from '../support/balancer.ts';
import { gapsOf } from '../support/gaps.ts';
import { ifInstalled } from '../support/installed.ts';
import { keySettings, startProviders } from '../support/instances.ts';
import { startLoad } from '../support/load.ts';
import { startLoads } from '../support/loads.ts';
import { CALLERS, startMixedLoad } from '../support/mixed-load.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';
import { PATIENCE } from '../support/server-group.ts';
import {
  ask,
  chatWith,
  eachKnowsOf,
  park,
  type Server,
  startServer,
  timesOf,
} from '../support/servers.ts';

const KEYS = Array.from({ length: 12 }, (_, index) => ({
  key: `the-key-with-number-${index + 1}`,
  service: 'google' as const,
}));
const FIRST = 'the-key-with-number-1';
const DAY_SPENT = { kind: 'day_spent' } as const;
/** Long enough that there is always something under way. */
const BRISK = { chunks: 3, firstChunkMs: 10, chunkMs: 5 };
const LONG = { timeout: 60_000 };

/** Servers with the same keys, each a process, and one Redis. */
async function startAll(count: number, more: Record<string, string> = {}) {
  const redis = await startRedis();
  const standin = await startProviders(KEYS, { answer: BRISK });
  const environment = {
    ...keySettings(KEYS),
    REDIS_URL: redis.url,
    GOOGLE_BASE_URL: standin.url,
    ADMIN_TOKEN,
    ...more,
  };
  const start = () => startServer(environment);
  const servers = await Promise.all(Array.from({ length: count }, start));
  const [one = expect.fail('no server')] = servers;
  return { redis, standin, start, servers, one };
}

/** This server alone finds the key spent: it meets each within so many calls. */
async function spendOn(server: Server, standin: Standin, key = FIRST): Promise<void> {
  const before = standin.callsOf(key);
  standin.setFault(key, DAY_SPENT);
  for (const _ of KEYS) await chatWith(server);
  expect(standin.callsOf(key)).toBe(before + 1);
  standin.setFault(key, null);
}

ifInstalled(REDIS_SERVER, 'instances that are processes', () => {
  it(
    'one is killed under load: only what it was answering fails, and its trial is made by another once its claim has ended',
    LONG,
    async () => {
      const { standin, servers, one } = await startAll(3, { KEY_COOLDOWN_SECONDS: '1' });
      await spendOn(one, standin);
      await eachKnowsOf(1, servers);
      standin.setFault(FIRST, { kind: 'hang' });
      // Nobody else asks for a key meanwhile: the trial is this one's.
      const trying = startLoad({ url: one.url, callers: 1, connections: 'fresh' });
      await vi.waitUntil(() => standin.callsOf(FIRST) === 2, PATIENCE);
      const tried = trying.stop();
      standin.setFault(FIRST, null);

      const balancer = await startBalancer(servers);
      const load = startMixedLoad(balancer.url);
      await load.goOn(20);
      const underWay = balancer.openTo(one);
      one.group.primary.kill('SIGKILL');
      const killedAt = Date.now();
      await load.goOn(50);
      await vi.waitUntil(() => standin.callsOf(FIRST) > 2, PATIENCE);
      const faults = await load.stop();
      expect(underWay).toBeGreaterThan(0);
      // Each caller may have had one request there, some of them only just.
      expect(faults.length).toBeLessThanOrEqual(CALLERS.kept + CALLERS.fresh);
      expect(faults.filter((fault) => !/^ECONNRESET|^EPIPE|aborted/.test(fault))).toEqual([]);
      expect(await tried).toHaveLength(1);

      const [, trialAt = 0, nextAt = 0] = timesOf(standin, FIRST);
      // A claim is held for five seconds from a moment before the call.
      expect(nextAt - trialAt).toBeGreaterThan(4900);
      expect(nextAt - killedAt).toBeLessThan(6500);
      expect((await ask(servers[1] ?? one, '/health')).body).toMatchObject({ redis: 'connected' });
    },
  );

  it(
    'all are replaced under load, one after another: no request fails, no key is called before its time',
    LONG,
    async () => {
      const { standin, start, servers, one } = await startAll(2, { KEY_COOLDOWN_SECONDS: '4' });
      const parked = 'the-key-with-number-2';
      await park(one, 'google-2');
      await eachKnowsOf(1, servers);
      const balancer = await startBalancer(servers);
      const load = startMixedLoad(balancer.url);
      await load.goOn(5);
      standin.setFault(FIRST, DAY_SPENT);
      await vi.waitUntil(() => standin.callsOf(FIRST) > 0, PATIENCE);
      // Under load several may find it spent before they hear of each other.
      await eachKnowsOf(2, servers);
      const callsBefore = standin.callsOf(parked);
      const known = standin.callsOf(FIRST);
      const gaps = () => gapsOf(timesOf(standin, FIRST).slice(known - 1));
      const current = [...servers];
      for (const old of servers) {
        current.push(await start());
        current.shift();
        balancer.sendTo(current);
        // Whoever connected before this one has been accepted when it is answered.
        await ask(old, '/health');
        old.group.primary.kill('SIGTERM');
        expect(await old.group.exited).toBe(0);
        await load.goOn(10);
      }
      await vi.waitUntil(() => gaps().length >= 2, PATIENCE);
      await load.goOn(20);
      expect(await load.stop()).toEqual([]);
      for (const gap of gaps()) expect(gap).toBeGreaterThanOrEqual(3990);
      expect(standin.callsOf(parked)).toBe(callsBefore);
      for (const { group } of servers) {
        expect(group.logs('stopped')).toEqual([expect.objectContaining({ endedByItself: true })]);
      }
    },
  );

  it(
    'their Redis is killed and stays away: no request fails, all answer, and what each has learnt is merged',
    LONG,
    async () => {
      const { redis, standin, servers, one } = await startAll(2);
      const [, other = one] = servers;
      const load = startLoads(servers);
      await load.goOn(20);
      await redis.signal('SIGKILL');
      await load.goOn(50);
      await eachSays('unreachable', servers);
      standin.setFault(FIRST, DAY_SPENT);
      // By both: nobody can tell the other.
      await vi.waitUntil(() => standin.callsOf(FIRST) >= 2, PATIENCE);
      await load.goOn(20);
      expect(await load.stop()).toEqual([]);
      await eachKnowsOf(1, servers);
      await spendOn(one, standin, 'the-key-with-number-2');
      await spendOn(other, standin, 'the-key-with-number-3');
      await eachKnowsOf(2, servers);
      await untilTheyComeSeldom(redis.port);
      await redis.startAgain();
      const backAt = Date.now();
      await eachKnowsOf(3, servers);
      await eachSays('connected', servers);
      expect(Date.now() - backAt).toBeLessThan(5000);
      for (const { group } of servers) {
        expect(group.logs('Redis cannot be used')).toHaveLength(1);
        expect(group.logs('Redis is connected')).toHaveLength(2);
      }
    },
  );
});

const eachSays = (state: string, servers: readonly Server[]) =>
  vi.waitFor(async () => {
    for (const server of servers) {
      expect((await ask(server, '/health')).body).toMatchObject({ redis: state });
    }
  }, PATIENCE);

/**
 * In Redis' place, until two servers look for it as seldom as they ever will: each
 * connection once in one or two seconds. A minute more of this, or a day, would change nothing.
 */
async function untilTheyComeSeldom(port: number): Promise<void> {
  const looks: number[] = [];
  const deaf = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data: Buffer) => {
      // The test's own connection has no name.
      if (data.includes('understudy')) looks.push(Date.now());
      socket.destroy();
    });
  });
  deaf.listen(port, '127.0.0.1');
  await vi.waitUntil(() => looks.length >= CONNECTIONS * LATE_LOOKS, PATIENCE);
  deaf.close();
}

/** Two of each server. */
const CONNECTIONS = 4;
/** The pauses double from a tenth of a second to two; the short ones are over by now, or soon. */
const LATE_LOOKS = 3;
