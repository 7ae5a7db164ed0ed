import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createSystemClock } from '../../src/shared/clock.ts';
import { startStandin } from '../../src/standin/standin.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { chat, startLoad } from '../support/load.ts';
import {
  isAlive,
  type Launch,
  launchGroup,
  PATIENCE,
  type ServerGroup,
  startGroup,
} from '../support/server-group.ts';

const SLOW = 60_000;
const opened: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

const KEY = { key: 'g-one', service: 'google' } as const;
/** Long enough that there is always something under way. */
const BRISK = { chunks: 3, firstChunkMs: 20, chunkMs: 10 };
const HALFWAY = { chunks: 2, chunkMs: 1000, text: 'The whole answer.' };

async function start(more: Partial<Launch> = {}) {
  const standin = await startStandin({ clock: createSystemClock(), keys: [KEY], answer: BRISK });
  opened.push(() => standin.close());
  return startFor(standin.url, more);
}

async function startFor(standinUrl: string, more: Partial<Launch> = {}) {
  const environment = {
    WORKERS: '3',
    GOOGLE_API_KEY: KEY.key,
    GOOGLE_BASE_URL: standinUrl,
    RATE_LIMIT_CHAT: '0',
  };
  const group = await startGroup({ environment, ...more });
  opened.push(() => group.remove());
  return group;
}

/** A provider whose answers stop halfway until its clock is moved. */
async function startHalfway() {
  const clock = createFakeClock();
  const standin = await startStandin({ clock, keys: [KEY], answer: HALFWAY });
  opened.push(() => standin.close());
  const group = await startFor(standin.url);
  const answer = chat(group.at);
  await vi.waitFor(() => expect(clock.pendingTimers()).toBe(1), PATIENCE);
  return { clock, group, answer };
}

const allEnded = (workers: readonly number[]) =>
  vi.waitFor(() => expect(workers.filter(isAlive)).toEqual([]), PATIENCE);

const pidOf = (group: ServerGroup, worker = 0) => group.workers()[worker] ?? 0;

describe('several workers', () => {
  it(
    'answer in turn on one free port, and say once that they listen and what is set',
    async () => {
      const group = await start();
      for (let turn = 0; turn < 6; turn += 1) expect(await chat(group.at)).toBeNull();
      await vi.waitFor(() => expect(group.logs('request')).toHaveLength(6), PATIENCE);
      const answered = group.logs('request').map(({ worker }) => worker);
      expect(answered.toSorted()).toEqual([1, 1, 2, 2, 3, 3]);
      expect(group.logs('listening')).toEqual([
        expect.objectContaining({ workers: 3, mode: 'live' }),
      ]);
      expect(group.stderr().match(/^google: /gm)).toHaveLength(1);
      expect(group.workers()).toHaveLength(3);
    },
    SLOW,
  );

  it(
    'serve the demo, whose stand-ins are in the primary alone',
    async () => {
      const group = await launchGroup({
        environment: { WORKERS: '2', LOG_LEVEL: 'info', GOOGLE_API_KEY_7: 'g-seven' },
        args: ['--demo'],
      });
      opened.push(() => group.remove());
      const url = await vi.waitFor(() => group.url(), PATIENCE);
      expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok', mode: 'demo' });
      const status = await (await fetch(`${url}/api/keys/status`)).json();
      expect(status).toMatchObject({ api_keys: { google: { total: 4 }, anam: { total: 2 } } });
      expect(group.logs('listening')).toEqual([
        expect.objectContaining({ workers: 2, mode: 'demo' }),
      ]);
      expect(await chat(url)).toBeNull();
    },
    SLOW,
  );

  it(
    'end with the message of one process when their address is in use',
    async () => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      opened.push(() => taken.close());
      const { port } = taken.address() as AddressInfo;
      const group = await launchGroup({ environment: { WORKERS: '3', PORT: String(port) } });
      opened.push(() => group.remove());
      expect(await group.exited).toBe(1);
      await group.allGone;
      expect(group.stderr().match(/^PORT: .*$/gm)).toEqual([
        `PORT: ${port} is already in use on 127.0.0.1.`,
      ]);
      expect(group.logs()).toEqual([]);
    },
    SLOW,
  );
});

describe('a worker that is killed', () => {
  it(
    'under load costs what it was answering, and another takes its place',
    async () => {
      const group = await start();
      const before = group.workers();
      const kept = startLoad({ url: group.at, callers: 6, connections: 'kept' });
      const fresh = startLoad({ url: group.at, callers: 6, connections: 'fresh' });
      await vi.waitFor(() => expect(fresh.answered()).toBeGreaterThan(20), PATIENCE);
      process.kill(pidOf(group), 'SIGKILL');
      await vi.waitFor(() => {
        expect(group.workers().filter((pid) => !before.includes(pid))).toHaveLength(1);
      }, PATIENCE);
      await vi.waitFor(
        () => expect(group.logs('request').some(({ worker }) => worker === 4)).toBe(true),
        PATIENCE,
      );
      const faults = [...(await kept.stop()), ...(await fresh.stop())];
      // So many were being answered at the most: a third of those who asked, and one on its way.
      expect(faults.length).toBeLessThanOrEqual(12);
      expect(faults.filter((fault) => !/^ECONNRESET|^EPIPE|aborted/.test(fault))).toEqual([]);
      expect(group.logs('unexpectedly')).toEqual([
        expect.objectContaining({ worker: 1, code: null, signal: 'SIGKILL', pauseMs: 500 }),
      ]);
    },
    SLOW,
  );

  it(
    'leaves the connection that it was just being handed to another',
    async () => {
      const group = await start();
      // From now on it takes nothing from the primary any more.
      process.kill(pidOf(group), 'SIGSTOP');
      const answers = Array.from({ length: 6 }, () => chat(group.at));
      const isPending = Symbol('pending');
      await vi.waitFor(async () => {
        const states = await Promise.all(
          answers.map((answer) => Promise.race([answer, isPending])),
        );
        expect(states.filter((state) => state === isPending)).toHaveLength(1);
      }, PATIENCE);
      process.kill(pidOf(group), 'SIGKILL');
      expect(await Promise.all(answers)).toEqual([null, null, null, null, null, null]);
    },
    SLOW,
  );

  it(
    'again and again right after its start, is followed after ever longer pauses',
    async () => {
      const group = await start({
        environment: {
          WORKERS: '2',
          GOOGLE_API_KEY: KEY.key,
          ADMIN_TOKEN: 'admin-token-0123456789',
        },
      });
      for (const pauseMs of [500, 1000, 2000]) {
        const before = group.workers();
        process.kill(before.at(-1) ?? 0, 'SIGKILL');
        await vi.waitFor(() => {
          expect(group.workers().filter((pid) => !before.includes(pid))).toHaveLength(1);
          expect(group.workers()).toHaveLength(2);
        }, PATIENCE);
        expect(group.logs('unexpectedly').at(-1)?.pauseMs).toBe(pauseMs);
        expect((await fetch(`${group.at}/health`)).status).toBe(200);
      }
    },
    SLOW,
  );
});

describe('at SIGTERM', () => {
  it(
    'no answer is lost, on kept and on fresh connections',
    async () => {
      const group = await start();
      const workers = group.workers();
      const kept = startLoad({ url: group.at, callers: 8, connections: 'kept' });
      const fresh = startLoad({ url: group.at, callers: 4, connections: 'fresh' });
      await vi.waitFor(() => expect(fresh.answered()).toBeGreaterThan(20), PATIENCE);
      group.primary.kill('SIGTERM');
      expect(await group.exited).toBe(0);
      const faults = [...(await kept.stop()), ...(await fresh.stop())];
      // What nobody has taken yet when the port closes is reset, as with any server; on a connection
      // that was kept, nothing is.
      expect(faults.filter((fault) => !/^ECONN(REFUSED|RESET)$/.test(fault))).toEqual([]);
      expect(faults).toContain('ECONNREFUSED');
      const requests = group.logs('request').map(({ status }) => status);
      expect(requests.filter((status) => status !== 200)).toEqual([]);
      expect(requests).toHaveLength(kept.answered() + fresh.answered());
      await allEnded(workers);
      expect(group.logs('stopped').map(({ endedByItself }) => endedByItself)).toEqual([
        true,
        true,
        true,
        undefined,
      ]);
    },
    SLOW,
  );

  it(
    'a second one does not wait, and leaves nobody behind',
    async () => {
      const { group, answer } = await startHalfway();
      const workers = group.workers();
      group.primary.kill('SIGTERM');
      await vi.waitFor(() => expect(group.logs('stopping')).toHaveLength(4), PATIENCE);
      expect(group.primary.exitCode).toBeNull();
      group.primary.kill('SIGTERM');
      expect(await group.exited).toBe(1);
      expect(await answer).not.toBeNull();
      await allEnded(workers);
    },
    SLOW,
  );
});

describe('Ctrl+C, which a terminal sends to all of them,', () => {
  it(
    'lets the answers under way out, and is heard by each once',
    async () => {
      const { clock, group, answer } = await startHalfway();
      process.kill(-group.pid, 'SIGINT');
      await vi.waitFor(() => expect(group.logs('stopping')).toHaveLength(4), PATIENCE);
      clock.advance(1000);
      expect(await answer).toBeNull();
      expect(await group.exited).toBe(0);
      expect(group.logs('stopping')).toHaveLength(4);
      expect(group.logs('unexpectedly')).toEqual([]);
    },
    SLOW,
  );
});

describe('a primary that is killed', () => {
  it(
    'leaves no worker behind, once each has let its answers out',
    async () => {
      const { clock, group, answer } = await startHalfway();
      const workers = group.workers();
      expect(workers).toHaveLength(3);
      group.primary.kill('SIGKILL');
      expect(await group.exited).toBe('SIGKILL');
      await vi.waitFor(() => expect(workers.filter(isAlive)).toHaveLength(1), PATIENCE);
      clock.advance(1000);
      expect(await answer).toBeNull();
      await allEnded(workers);
    },
    SLOW,
  );
});
