import { afterEach, describe, expect, it, vi } from 'vitest';
import { createSystemClock } from '../../src/shared/clock.ts';
import { type Standin, startStandin } from '../../src/standin/standin.ts';
import { startLoad } from '../support/load.ts';
import { PATIENCE, type ServerGroup, startGroup } from '../support/server-group.ts';

const SLOW = 60_000;
const opened: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** Answers within some tens of milliseconds, so that there is always something under way. */
async function standIn(): Promise<Standin> {
  const standin = await startStandin({
    clock: createSystemClock(),
    keys: [
      { key: 'g-one', service: 'google' },
      { key: 'g-two', service: 'google' },
    ],
    answer: { chunks: 3, firstChunkMs: 20, chunkMs: 10 },
  });
  opened.push(() => standin.close());
  return standin;
}

async function start() {
  const dotenv = 'GOOGLE_API_KEY=g-one\n';
  const standin = await standIn();
  const environment = { GOOGLE_BASE_URL: standin.url, RATE_LIMIT_CHAT: '0' };
  const group = await startGroup({ environment, dotenv: `WORKERS=3\n${dotenv}` });
  opened.push(() => group.remove());
  return { ...group, standin };
}

const restarted = (group: ServerGroup, times = 1) =>
  vi.waitFor(() => expect(group.logs('restarted')).toHaveLength(times), {
    ...PATIENCE,
    timeout: 40_000,
  });

const totalOf = async (url: string) => {
  const status = (await (await fetch(`${url}/api/keys/status`)).json()) as {
    api_keys: { google: { total: number } };
  };
  return status.api_keys.google.total;
};

describe('a rolling restart', () => {
  it(
    'loses not one request of kept and fresh connections, and every worker is a new one',
    async () => {
      const group = await start();
      const before = group.workers();
      const kept = startLoad({ url: group.at, callers: 8, connections: 'kept' });
      const fresh = startLoad({ url: group.at, callers: 4, connections: 'fresh' });
      await vi.waitFor(() => expect(kept.answered()).toBeGreaterThan(20), PATIENCE);
      group.primary.kill('SIGHUP');
      await restarted(group);
      const atTheEnd = [kept.answered(), fresh.answered()];
      expect([...(await kept.stop()), ...(await fresh.stop())]).toEqual([]);
      expect(Math.min(...atTheEnd)).toBeGreaterThan(50);
      const after = group.workers();
      expect([before.length, after.length]).toEqual([3, 3]);
      expect(after.filter((pid) => before.includes(pid))).toEqual([]);
      expect(group.logs('stopped').map(({ endedByItself }) => endedByItself)).toEqual([
        true,
        true,
        true,
      ]);
    },
    SLOW,
  );

  it(
    'is done under the settings as they are now: a new key, another number of workers',
    async () => {
      const group = await start();
      expect(await totalOf(group.at)).toBe(1);
      await group.writeDotenv('GOOGLE_API_KEY=g-one\nGOOGLE_API_KEY_2=g-two\nWORKERS=2\n');
      group.primary.kill('SIGHUP');
      await restarted(group);
      expect(group.workers()).toHaveLength(2);
      for (let turn = 0; turn < 2; turn += 1) expect(await totalOf(group.at)).toBe(2);
      expect(group.stderr()).toContain('google: 2 keys (google, google-2) in 2 projects');
    },
    SLOW,
  );

  it(
    'is refused with every fault while the settings are wrong, and nobody is restarted',
    async () => {
      const group = await start();
      const before = group.workers();
      await group.writeDotenv('WORKERS=3\nKEY_WAIT_SECONDS=soon\nLOG_LEVEL=loud\n');
      group.primary.kill('SIGHUP');
      await vi.waitFor(() => expect(group.logs('nothing is restarted')).toHaveLength(1), PATIENCE);
      expect(group.logs('nothing is restarted')[0]?.faults).toEqual([
        expect.stringMatching(/^KEY_WAIT_SECONDS: must be/),
        expect.stringMatching(/^LOG_LEVEL: must be one of/),
      ]);
      expect(group.workers()).toEqual(before);
      expect(group.logs('restarting')).toEqual([]);
      // Who dies meanwhile is followed by one under the settings that hold.
      process.kill(before[0] ?? 0, 'SIGKILL');
      await vi.waitFor(
        () => expect(group.workers().filter((pid) => !before.includes(pid))).toHaveLength(1),
        PATIENCE,
      );
      await group.writeDotenv('WORKERS=3\n');
      group.primary.kill('SIGHUP');
      await restarted(group);
    },
    SLOW,
  );

  it(
    'asked for thrice while one is on its way, is done once more',
    async () => {
      const group = await start();
      group.primary.kill('SIGHUP');
      await vi.waitFor(() => expect(group.logs('restarting')).toHaveLength(1), PATIENCE);
      for (let turn = 0; turn < 3; turn += 1) {
        group.primary.kill('SIGHUP');
        await new Promise((resolve) => setImmediate(resolve));
      }
      await restarted(group, 2);
      expect(group.logs('restarting')).toHaveLength(2);
      expect(group.workers()).toHaveLength(3);
    },
    SLOW,
  );
});
