import { describe, expect, it, vi } from 'vitest';
import { overview } from '../../../src/observability/reports.ts';
import type { StandinOptions } from '../../../standin/standin.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { ifInstalled } from '../../support/installed.ts';
import { startInstance } from '../../support/instances.ts';
import { freePort, REDIS_SERVER, startRedis } from '../../support/redis.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';

const MINUTE = 60_000;
const TWO = { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };

async function overviewOf(app: App) {
  const { body } = await app.get('/api/overview', AS_ADMIN);
  overview.parse(body);
  return body;
}
const times = async (number: number, act: () => Promise<unknown>) => {
  for (let i = 0; i < number; i += 1) await act();
};

describe('requests refused by the limit for one address', () => {
  const LIMITED = {
    ...TWO,
    ANAM_API_KEY: 'a-one',
    RATE_LIMIT_CHAT: '30',
    RATE_LIMIT_SESSIONS: '1',
  };
  const turnedAway = async (app: App) => (await overviewOf(app)).minutes.at(-1).turnedAway;

  it('are counted apart from answered requests', async () => {
    const app = await startApp({ environment: LIMITED });
    await times(80, () => app.chat('Hi'));
    expect((await overviewOf(app)).minutes.at(-1)).toMatchObject({
      requests: 30,
      answered: 30,
      refused: 0,
      turnedAway: 50,
    });
  });

  it.each([
    ['/api/session-token', {}],
    ['/api/anam/v1/engine/session', {}],
  ])('are counted at %s too', async (path, body) => {
    const app = await startApp({ environment: LIMITED });
    await times(3, () => app.post(path, body));
    expect(await turnedAway(app)).toBe(2);
  });

  it('are in the minute of their arrival, even if nothing else happened in it', async () => {
    const app = await startApp({ environment: { ...TWO, RATE_LIMIT_CHAT: '1' } });
    await app.chat('Hi');
    app.clock.advance(MINUTE);
    await app.chat('Hi');
    const { minutes } = await overviewOf(app);
    expect(minutes.at(-1)).toMatchObject({ requests: 0, turnedAway: 1 });
    expect(minutes.at(-2)).toMatchObject({ requests: 1, turnedAway: 0 });
  });
});

describe('Redis in the overview', () => {
  it('is null without Redis', async () => {
    const app = await startApp({ environment: TWO });
    expect((await overviewOf(app)).redis).toBeNull();
  });

  async function expectState(state: string, redisUrl: string): Promise<void> {
    const { get } = await startInstance({ environment: { ...TWO, REDIS_URL: redisUrl } });
    const check = async () => expect((await get('/api/overview', AS_ADMIN)).redis).toBe(state);
    await vi.waitFor(check, { timeout: 5000, interval: 100 });
  }

  it('is unreachable if nothing answers', async () => {
    await expectState('unreachable', `redis://127.0.0.1:${await freePort()}`);
  });

  ifInstalled(REDIS_SERVER, 'a running Redis', () => {
    it('is connected', async () => {
      await expectState('connected', (await startRedis()).url);
    });

    it('is refusing if it requires a password', async () => {
      await expectState('refusing', (await startRedis('--requirepass', 'secret')).url);
    });
  });

  it('leaves the tokens of today unknown while nothing could be read', async () => {
    const redisUrl = `redis://127.0.0.1:${await freePort()}`;
    const { get } = await startInstance({ environment: { ...TWO, REDIS_URL: redisUrl } });
    const { totals } = overview.parse(await get('/api/overview', AS_ADMIN));
    expect(totals).toMatchObject({ requests: 0, tokensToday: null, costToday: null });
  });
});

describe('a key that needed action and was released', () => {
  const unproven = async (app: App) => {
    app.clock.advance(2000);
    return (await overviewOf(app)).unprovenKeys;
  };
  const keys = (fault: object): Partial<StandinOptions> => ({
    keys: [
      { key: 'g-one', service: 'google' },
      { key: 'g-two', service: 'google', ...fault },
    ],
  });
  const LEAKED = { fault: { kind: 'leaked' } } as const;
  const release = (app: App) => app.post('/api/keys/google-2/release', { force: true }, AS_ADMIN);
  const park = (app: App) => app.post('/api/keys/google-2/park', {}, AS_ADMIN);

  /** The second key is rejected, then mended, then released. */
  async function afterRelease(setting: Partial<Parameters<typeof startApp>[0]> = {}): Promise<App> {
    const app = await startApp({ environment: TWO, standin: keys(LEAKED), ...setting });
    await times(2, () => app.chat('Hi'));
    expect((await overviewOf(app)).services[0].models[0]).toMatchObject({ exhausted: 1 });
    app.standin.setFault('g-two', null);
    app.clock.advance(1000);
    await release(app);
    return app;
  }

  it('is unproven until it has answered, however often its sibling answers', async () => {
    const app = await afterRelease();
    expect(await overviewOf(app)).toMatchObject({ unprovenKeys: ['google-2'] });
    expect((await overviewOf(app)).services[0].models[0]).toMatchObject({ available: 2 });
    const before = app.standin.callsOf('g-two');
    while (app.standin.callsOf('g-two') === before) {
      expect(await unproven(app)).toEqual(['google-2']);
      await app.chat('Hi');
    }
    expect(await unproven(app)).toEqual([]);
  });

  it('is no longer unproven when it is rejected again: then it needs action', async () => {
    const app = await afterRelease();
    app.standin.setFault('g-two', LEAKED.fault);
    await times(2, () => app.chat('Hi'));
    expect(await unproven(app)).toEqual([]);
    expect((await overviewOf(app)).services[0].models[0]).toMatchObject({ exhausted: 1 });
  });

  it('stays unproven when its provider fails, which proves nothing', async () => {
    const app = await afterRelease();
    app.standin.setFault('g-two', { kind: 'internal' });
    await times(4, () => flow(app.clock, app.chat('Hi')));
    expect(app.standin.callsOf('g-two')).toBeGreaterThan(1);
    expect(await unproven(app)).toEqual(['google-2']);
  });

  it('stays unproven when only a special request was refused without a cause', async () => {
    const app = await afterRelease();
    const special = () => flow(app.clock, app.chat('word '.repeat(25_000)));
    for (const kind of ['exhausted_no_details', 'model_forbidden'] as const) {
      app.standin.setFault('g-two', { kind });
      await times(2, special);
      expect(await unproven(app)).toEqual(['google-2']);
      app.clock.advance(3_600_000);
    }
    expect(app.standin.callsOf('g-two')).toBeGreaterThan(2);
  });

  it('is unproven again after a second release, and after the operator parked it in between', async () => {
    const app = await afterRelease();
    await release(app);
    expect(await unproven(app)).toEqual(['google-2']);
    await park(app);
    expect(await unproven(app)).toEqual([]);
    await release(app);
    expect(await unproven(app)).toEqual(['google-2']);
  });

  it('is not unproven when it only cooled down or the operator parked it', async () => {
    const app = await startApp({ environment: TWO, standin: keys({ limits: { rpd: 0 } }) });
    await times(2, () => app.chat('Hi'));
    expect((await overviewOf(app)).services[0].models[0]).toMatchObject({ cooling_down: 1 });
    await release(app);
    expect(await unproven(app)).toEqual([]);
    await park(app);
    await release(app);
    expect(await unproven(app)).toEqual([]);
  });
});
