import { describe, expect, it, vi } from 'vitest';
import type { Standin } from '../../src/standin/standin.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { gapsOf } from '../support/gaps.ts';
import { ifInstalled } from '../support/installed.ts';
import { keySettings, startProviders } from '../support/instances.ts';
import { startLoad } from '../support/load.ts';
import { startMixedLoad } from '../support/mixed-load.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';
import { readScrape, type Scrape } from '../support/scrape.ts';
import { PATIENCE } from '../support/server-group.ts';
import {
  answeredBy,
  ask,
  chatWith,
  eachKnowsOf,
  park,
  pidOf,
  type Server,
  startServer,
  timesOf,
} from '../support/servers.ts';

const KEYS = Array.from({ length: 6 }, (_, index) => ({
  key: `the-key-with-number-${index + 1}`,
  service: 'google' as const,
}));
const [FIRST, SECOND] = ['the-key-with-number-1', 'the-key-with-number-2'];
const AVATAR_KEYS = [
  { key: 'a-google-key-of-ours', service: 'google' as const },
  { key: 'the-first-anam-key', service: 'anam' as const, account: { slots: 0 } },
  { key: 'the-second-anam-key', service: 'anam' as const },
];
const DAY_SPENT = { kind: 'day_spent' } as const;
/** Long enough that there is always something under way. */
const BRISK = { chunks: 3, firstChunkMs: 10, chunkMs: 5 };
const LONG = { timeout: 60_000 };

async function start(workers: number, more: Record<string, string> = {}) {
  const standin = await startProviders(KEYS, { answer: BRISK });
  const environment = {
    ...keySettings(KEYS),
    WORKERS: String(workers),
    GOOGLE_BASE_URL: standin.url,
    ADMIN_TOKEN,
    ...more,
  };
  return { standin, environment, server: await startServer(environment) };
}

/** Whichever worker it is finds the key spent. */
async function spend(server: Server, standin: Standin, key = FIRST): Promise<void> {
  standin.setFault(key, DAY_SPENT);
  await vi.waitUntil(async () => {
    await chatWith(server);
    return standin.callsOf(key) > 0;
  }, PATIENCE);
}

const MINT = '/api/anam/session-token';

/** With whichever key each worker begins, it comes to the other one with its second token. */
async function mintWithFirst(server: Server, standin: Standin): Promise<string> {
  const { body } = await ask(server, MINT, { method: 'POST', body: {} });
  const isWithFirst = standin.calls.at(-1)?.key === 'the-first-anam-key';
  return isWithFirst ? body.sessionToken : mintWithFirst(server, standin);
}

describe('workers without Redis', () => {
  it(
    'all know of a key that one has found spent, or the operator has parked, and none calls it again',
    LONG,
    async () => {
      const { standin, server } = await start(3);
      await spend(server, standin);
      await eachKnowsOf(1, [server], 3);
      await park(server, 'google-2');
      await eachKnowsOf(2, [server], 3);
      expect(new Set(answeredBy(server, '/api/keys/status'))).toEqual(new Set([1, 2, 3]));
      const before = [standin.callsOf(FIRST), standin.callsOf(SECOND)];
      for (let call = 0; call < 3 * KEYS.length; call += 1) {
        expect((await chatWith(server)).status).toBe(200);
      }
      expect([standin.callsOf(FIRST), standin.callsOf(SECOND)]).toEqual(before);
    },
  );

  it(
    'try a key once when its cooldown has passed; killed, whoever tries it leaves it to the others at once',
    LONG,
    async () => {
      const { standin, server } = await start(3, { KEY_COOLDOWN_SECONDS: '2' });
      await spend(server, standin);
      const load = startMixedLoad(server.url);
      await vi.waitUntil(() => gapsOf(timesOf(standin, FIRST)).length >= 2, PATIENCE);
      expect(await load.stop()).toEqual([]);
      const times = timesOf(standin, FIRST);
      for (const gap of gapsOf(times)) expect(gap).toBeGreaterThanOrEqual(1990);
      const trials = times.filter((at) => at > (times[0] ?? 0) + 1000);
      expect(trials).toHaveLength(gapsOf(times).length);

      standin.setFault(FIRST, { kind: 'hang' });
      // Over one connection: one worker asks for the key.
      const trying = startLoad({ url: server.url, callers: 1, connections: 'kept' });
      await vi.waitUntil(() => standin.callsOf(FIRST) > times.length, PATIENCE);
      const tried = trying.stop();
      const pid = pidOf(server, answeredBy(server, '/api/chat').at(-1));
      standin.setFault(FIRST, null);
      for (let call = 0; call < 3 * KEYS.length; call += 1) await chatWith(server);
      expect(standin.callsOf(FIRST)).toBe(times.length + 1);
      process.kill(pid, 'SIGKILL');
      const killedAt = Date.now();
      await vi.waitUntil(async () => {
        await chatWith(server);
        return standin.callsOf(FIRST) > times.length + 1;
      }, PATIENCE);
      // Not only when its claim would have ended.
      expect(Date.now() - killedAt).toBeLessThan(2000);
      expect(await tried).toHaveLength(1);
    },
  );

  it(
    'count the calls of an address together, and start the session of a token that another has minted',
    LONG,
    async () => {
      const standin = await startProviders(AVATAR_KEYS);
      const server = await startServer({
        WORKERS: '3',
        GOOGLE_API_KEY: 'a-google-key-of-ours',
        ANAM_API_KEY_1: 'the-first-anam-key',
        ANAM_API_KEY_2: 'the-second-anam-key',
        ANAM_PERSONA_ID: 'persona-1',
        GOOGLE_BASE_URL: standin.url,
        ANAM_BASE_URL: standin.url,
        RATE_LIMIT_CHAT: '6',
      });
      const statuses: number[] = [];
      for (let call = 0; call < 18; call += 1) statuses.push((await chatWith(server)).status);
      const answered = statuses.filter((status) => status === 200).length;
      expect(answered).toBeGreaterThanOrEqual(6);
      // Each may have one under way before it hears of the others'.
      expect(answered).toBeLessThanOrEqual(9);
      expect(statuses.slice(9)).toEqual(Array.from({ length: 9 }, () => 429));

      const headers = { authorization: `Bearer ${await mintWithFirst(server, standin)}` };
      const path = '/api/anam/v1/engine/session';
      const started = await ask(server, path, { method: 'POST', body: {}, headers });
      expect(started.status).toBe(200);
      const starts = standin.calls.filter((call) => call.path.endsWith('/engine/session'));
      expect(starts.map(({ key }) => key)).toEqual(['the-first-anam-key', 'the-second-anam-key']);
      await vi.waitFor(() => expect(answeredBy(server, path)).toHaveLength(1), PATIENCE);
      expect(answeredBy(server, path)).not.toEqual(answeredBy(server, MINT).slice(-1));
      // Its one conversation has begun.
      const again = await ask(server, path, { method: 'POST', body: {}, headers });
      expect(again.status).toBe(401);
    },
  );

  it(
    'begin with what was known when they are restarted under load: no key is called before its time',
    LONG,
    async () => {
      const { standin, server } = await start(2, { KEY_COOLDOWN_SECONDS: '3' });
      await park(server, 'google-2');
      await eachKnowsOf(1, [server], 2);
      const before = standin.callsOf(SECOND);
      const load = startMixedLoad(server.url);
      await load.goOn(5);
      standin.setFault(FIRST, DAY_SPENT);
      await vi.waitUntil(() => standin.callsOf(FIRST) > 0, PATIENCE);
      server.group.primary.kill('SIGHUP');
      await vi.waitFor(() => expect(server.group.logs('restarted')).toHaveLength(1), PATIENCE);
      await vi.waitUntil(() => gapsOf(timesOf(standin, FIRST)).length >= 2, PATIENCE);
      await load.goOn(20);
      expect(await load.stop()).toEqual([]);
      for (const gap of gapsOf(timesOf(standin, FIRST))) expect(gap).toBeGreaterThanOrEqual(2990);
      expect(standin.callsOf(SECOND)).toBe(before);
    },
  );
});

describe('what workers tell Prometheus', () => {
  it('is of all of them, and never falls when they are replaced', LONG, async () => {
    const { server } = await start(2);
    for (let call = 0; call < 10; call += 1) await chatWith(server);
    const before = await metricsOf(server);
    expect(before.value('understudy_processes')).toBe(2);
    expect(before.value('understudy_requests_total', 'end="answered"')).toBe(10);
    server.group.primary.kill('SIGHUP');
    await vi.waitFor(() => expect(server.group.logs('restarted')).toHaveLength(1), PATIENCE);
    await chatWith(server);
    const after = await metricsOf(server);
    expect(after.value('understudy_processes')).toBe(2);
    expect(after.value('understudy_requests_total', 'end="answered"')).toBe(11);
    expect(after.value('gen_ai_client_operation_duration_seconds_count')).toBe(11);
    expect(after.value('understudy_keys', 'service="google"', 'state="available"')).toBe(
      KEYS.length,
    );
  });
});

/** Whichever worker answers. */
async function metricsOf({ url }: Server): Promise<Scrape> {
  const answer = await fetch(`${url}/metrics`, { headers: AS_ADMIN });
  return readScrape(await answer.text());
}

ifInstalled(REDIS_SERVER, 'two groups of workers with one Redis', () => {
  it("know of each other's keys, whichever worker is asked", LONG, async () => {
    const redis = await startRedis();
    const { standin, environment, server } = await start(2, { REDIS_URL: redis.url });
    const other = await startServer(environment);
    const both = [server, other];
    await spend(server, standin);
    await eachKnowsOf(1, both, 2);
    await park(other, 'google-2');
    await eachKnowsOf(2, both, 2);
    const before = [standin.callsOf(FIRST), standin.callsOf(SECOND)];
    for (let call = 0; call < 2 * KEYS.length; call += 1) {
      for (const each of both) expect((await chatWith(each)).status).toBe(200);
    }
    expect([standin.callsOf(FIRST), standin.callsOf(SECOND)]).toEqual(before);
  });
});
