import { describe, expect, it, vi } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { type App, flow, type Setting, startApp } from '../../support/start-app.ts';
import { createTeam, type Team } from '../../support/team.ts';

const TWO = { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };

/** Servers that share their clock and their callers, each with a pool and a stand-in of its own. */
function createService(environment: Record<string, string> = TWO) {
  const clock = createFakeClock(Date.UTC(2026, 10, 24, 18));
  const team = createTeam();
  const start = (standin: Setting['standin'] = {}) =>
    startApp({ environment, clock, standin, colleagues: team.join() });
  return { clock, team, start };
}

const overviewOf = async (app: App) => (await app.get('/api/overview', AS_ADMIN)).body;
const keysOf = async (app: App) => (await app.get('/api/keys?limit=500', AS_ADMIN)).body.keys;
const requestsIn = async (app: App) => (await overviewOf(app)).minutes.at(-1).requests;
const questions = (team: Team, topic: string) => team.asked.filter((one) => one.topic === topic);

describe('the overview of several processes', () => {
  it('tells the same of the whole service, whichever of them answers', async () => {
    const { clock, start } = createService();
    const first = await start();
    clock.advance(60_000);
    const [second, third] = [await start(), await start()];
    const ask = async (app: App) => {
      clock.advance(1000);
      return (await app.chat('Hi')).body.requestId;
    };
    const ids = [await ask(first), await ask(second), await ask(first)];
    const told = await Promise.all([first, second, third].map(overviewOf));
    expect(told[0]).toMatchObject({ processes: 3, startedAt: '2026-11-24T18:00:00.000Z' });
    expect(told[0].minutes.at(-1)).toMatchObject({ requests: 3, answered: 3 });
    expect(told[0].latest.map(({ requestId }: { requestId: string }) => requestId)).toEqual(
      ids.toReversed(),
    );
    expect(told[1]).toEqual(told[0]);
    expect(told[2]).toEqual(told[0]);
  });

  it('counts the calls that each of them has in flight', async () => {
    const { clock, start } = createService();
    const slow = { answer: { chunks: 2, chunkMs: 1000 } };
    const apps = [await start(slow), await start(slow), await start()];
    const chats = apps.slice(0, 2).map((app) => app.chat('Hi'));
    for (const app of apps.slice(0, 2)) {
      await vi.waitFor(() => expect(app.standin.openRequests()).toBe(1));
    }
    for (const app of apps) {
      const [google] = (await overviewOf(app)).services;
      expect(google).toMatchObject({ service: 'google', inFlight: 2 });
    }
    await flow(clock, Promise.all(chats));
  });

  it('is of one process where there are no others', async () => {
    const app = await startApp({ environment: TWO });
    expect(await overviewOf(app)).toMatchObject({ processes: 1 });
  });

  it('leaves out who does not answer, or says what nobody understands', async () => {
    const { team, start } = createService();
    const [one, other] = [await start(), await start()];
    team.join();
    const newer = team.join();
    newer.answer('overview-tally', () => ({ startedAt: 'yesterday', inFlight: { google: 1 } }));
    newer.answer('key-tallies', () => ({ google: { calls: 'many' } }));
    await other.chat('Hi');
    expect(await overviewOf(one)).toMatchObject({ processes: 2 });
    expect(await requestsIn(one)).toBe(1);
    expect((await keysOf(one)).map(({ calls }: { calls: number }) => calls)).toEqual([1, 0]);
  });
});

describe('an overview', () => {
  it('is good for a second, also for those who ask at the same time', async () => {
    const { clock, team, start } = createService();
    const [app, other] = [await start(), await start()];
    await Promise.all([overviewOf(app), overviewOf(app)]);
    await app.chat('Hi');
    await other.chat('Hi');
    clock.advance(999);
    expect(await requestsIn(app)).toBe(0);
    expect(questions(team, 'overview-tally')).toHaveLength(1);
    clock.advance(1);
    expect(await requestsIn(app)).toBe(2);
    expect(questions(team, 'overview-tally')).toHaveLength(2);
  });

  it('tells the time at which it is given, so that countdowns do not falter', async () => {
    const { clock, start } = createService();
    const app = await start();
    await overviewOf(app);
    clock.advance(999);
    expect((await overviewOf(app)).now).toBe('2026-11-24T18:00:00.999Z');
  });

  it('is good for a second too in what is counted for others', async () => {
    const { clock, start } = createService();
    const [app, one, other] = [await start(), await start(), await start()];
    await overviewOf(one);
    await app.chat('Hi');
    expect(await requestsIn(other)).toBe(0);
    clock.advance(1000);
    expect(await requestsIn(other)).toBe(1);
  });

  it('shows at once what an operator has done', async () => {
    const app = await startApp({ environment: TWO });
    const counts = async () => (await overviewOf(app)).services[0].models[0];
    expect(await counts()).toMatchObject({ available: 2 });
    await app.post('/api/keys/google/park', {}, AS_ADMIN);
    expect(await counts()).toMatchObject({ available: 1, causes: { operator: 1 } });
    await app.post('/api/keys/google/release', {}, AS_ADMIN);
    expect(await counts()).toMatchObject({ available: 2 });
  });

  it('is new in every process when an operator has acted in one', async () => {
    const { start } = createService();
    const [app, other] = [await start(), await start()];
    await overviewOf(other);
    await app.chat('Hi');
    expect(await requestsIn(other)).toBe(0);
    await app.post('/api/keys/google/park', {}, AS_ADMIN);
    expect(await requestsIn(other)).toBe(1);
  });
});

describe('the keys of several processes', () => {
  it('have the calls, failures and latencies of all, and the last error', async () => {
    const { clock, start } = createService({ ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one' });
    const [one, other] = [await start(), await start()];
    for (const app of [one, other, other]) await app.chat('Hi');
    other.standin.setFault('g-one', { kind: 'day_spent' });
    await other.chat('Hi');
    clock.advance(60_000);
    one.standin.setFault('g-one', { kind: 'bad_key' });
    await one.chat('Hi');
    for (const app of [one, other]) {
      const [key] = await keysOf(app);
      expect(key).toMatchObject({
        calls: 5,
        successes: 3,
        failures: { key_rejected: 1, quota_exhausted: 1 },
        latency: { answers: 3 },
        lastError: { kind: 'key_rejected', at: '2026-11-24T18:01:00.000Z' },
      });
    }
  });

  it('have what an operator did last, in whichever process', async () => {
    const { clock, start } = createService();
    const [one, other] = [await start(), await start()];
    await one.post('/api/keys/google/park', { by: 'Ana' }, AS_ADMIN);
    clock.advance(1000);
    const { body } = await other.post('/api/keys/google/release', { by: 'Ben' }, AS_ADMIN);
    expect(body.key.lastAction).toMatchObject({ action: 'release', who: 'Ben' });
    expect((await keysOf(one))[0].lastAction).toMatchObject({ action: 'release', who: 'Ben' });
  });

  it('have the calls in flight of all', async () => {
    const { clock, start } = createService({ ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one' });
    const slow = { answer: { chunks: 2, chunkMs: 1000 } };
    const apps = [await start(slow), await start(slow)];
    const chats = apps.map((app) => app.chat('Hi'));
    for (const app of apps) await vi.waitFor(() => expect(app.standin.openRequests()).toBe(1));
    for (const app of apps) expect((await keysOf(app))[0].inFlight).toBe(2);
    await flow(clock, Promise.all(chats));
  });

  it('take one question for a whole page', async () => {
    const names = Array.from({ length: 30 }, (_, i) => [`GOOGLE_API_KEY_${i + 1}`, `g-${i}`]);
    const { team, start } = createService({ ADMIN_TOKEN, ...Object.fromEntries(names) });
    const [app] = [await start(), await start()];
    expect(await keysOf(app)).toHaveLength(30);
    const asked = questions(team, 'key-tallies');
    expect(asked).toHaveLength(1);
    expect(asked[0]?.question).toEqual({ ids: names.map((_, i) => `google-${i + 1}`) });
  });
});
