import { resolve } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isAlive, PATIENCE, startGroup } from '../support/server-group.ts';

const SLOW = 30_000;
const opened: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function start() {
  const program = resolve(import.meta.dirname, '../support/stubborn-crew.ts');
  const group = await startGroup({ environment: {}, program });
  opened.push(() => group.remove());
  return group;
}

interface Said {
  readonly number: number;
  readonly colleagues: readonly number[];
  readonly primary: unknown;
  readonly given: unknown;
  readonly news: readonly unknown[];
}

/** What each of the three says, in the order of their numbers. */
async function askAll(url: string): Promise<readonly Said[]> {
  const answers = await Promise.all(
    [1, 2, 3].map(async () => (await (await fetch(url)).json()) as Said),
  );
  return answers.toSorted((a, b) => a.number - b.number);
}

describe('workers of one primary', () => {
  it(
    'hear each other and their primary over real channels',
    async () => {
      const group = await start();
      const said = await vi.waitFor(async () => {
        const answers = await askAll(group.at);
        expect(answers.map(({ news }) => news)).toEqual([['all are here'], [], ['all are here']]);
        return answers;
      }, PATIENCE);
      for (const { number, colleagues, primary, given } of said) {
        expect(colleagues.toSorted()).toEqual([1, 2, 3].filter((other) => other !== number));
        expect(primary).toEqual({ payload: [1], from: number });
        expect(given).toEqual({ greeting: 'hello' });
      }
      process.kill(group.workers()[0] ?? 0, 'SIGKILL');
      await vi.waitFor(() => {
        expect(group.logs('gone').map(({ worker }) => worker)).toEqual([1]);
      }, PATIENCE);
    },
    SLOW,
  );

  it(
    'that do not go when they are told are killed after the limit',
    async () => {
      const group = await start();
      const workers = group.workers();
      expect(workers).toHaveLength(3);
      group.primary.kill('SIGTERM');
      expect(await group.exited).toBe(0);
      expect(workers.filter(isAlive)).toEqual([]);
    },
    SLOW,
  );
});
