import { describe, expect, it, vi } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { ifInstalled } from '../../support/installed.ts';
import { startInstance } from '../../support/instances.ts';
import { freePort, REDIS_SERVER, startRedis } from '../../support/redis.ts';
import { type App, startApp } from '../../support/start-app.ts';
import { createTeam } from '../../support/team.ts';

const MINUTE = 60_000;
const TWO = { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };

const overviewOf = async (app: App) => (await app.get('/api/overview', AS_ADMIN)).body;
const times = async (number: number, act: () => Promise<unknown>) => {
  for (let i = 0; i < number; i += 1) await act();
};

describe('requests turned away by the limit for one address', () => {
  const LIMITED = {
    ...TWO,
    ANAM_API_KEY: 'a-one',
    RATE_LIMIT_CHAT: '30',
    RATE_LIMIT_SESSIONS: '1',
  };
  const turnedAway = async (app: App) => (await overviewOf(app)).minutes.at(-1).turnedAway;

  it('are counted apart from those that were answered', async () => {
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

  it('are in the minute in which they came, also where nothing else happened in it', async () => {
    const app = await startApp({ environment: { ...TWO, RATE_LIMIT_CHAT: '1' } });
    await app.chat('Hi');
    app.clock.advance(MINUTE);
    await app.chat('Hi');
    const { minutes } = await overviewOf(app);
    expect(minutes.at(-1)).toMatchObject({ requests: 0, turnedAway: 1 });
    expect(minutes.at(-2)).toMatchObject({ requests: 1, turnedAway: 0 });
  });

  it('are those of all processes', async () => {
    const team = createTeam();
    const start = () =>
      startApp({ environment: { ...TWO, RATE_LIMIT_CHAT: '1' }, colleagues: team.join() });
    const [one, other] = [await start(), await start()];
    await times(2, () => one.chat('Hi'));
    await times(3, () => other.chat('Hi'));
    expect(await turnedAway(one)).toBe(3);
  });
});

describe('Redis in the overview', () => {
  it('is null where there is none', async () => {
    const app = await startApp({ environment: TWO });
    expect((await overviewOf(app)).redis).toBeNull();
  });

  async function expectState(state: string, redisUrl: string): Promise<void> {
    const { get } = await startInstance({ environment: { ...TWO, REDIS_URL: redisUrl } });
    const check = async () => expect((await get('/api/overview', AS_ADMIN)).redis).toBe(state);
    await vi.waitFor(check, { timeout: 5000, interval: 100 });
  }

  it('is unreachable where nothing answers', async () => {
    await expectState('unreachable', `redis://127.0.0.1:${await freePort()}`);
  });

  ifInstalled(REDIS_SERVER, 'a Redis that is there', () => {
    it('is connected', async () => {
      await expectState('connected', (await startRedis()).url);
    });

    it('is refusing where it wants a password', async () => {
      await expectState('refusing', (await startRedis('--requirepass', 'secret')).url);
    });
  });
});
