import { expect, it } from 'vitest';
import { createInstances } from '../../src/observability/instances.ts';
import { createStats } from '../../src/observability/stats.ts';
import type { InstanceQuestions } from '../../src/shared/shared-store.ts';
import { createPool } from '../support/pool.ts';
import { requestOf } from '../support/records.ts';

it('the last snapshot of an instance counts for five seconds while it is too busy to answer, not once it is gone', async () => {
  const { pool, clock } = createPool(['google-1']);
  const { inspection } = pool;
  const common = {
    redis: null,
    prices: null,
    measuresProcess: false,
    services: ['google'],
  } as const;
  const rest = { ...common, inspection, clock, startedAt: clock.now() };
  let isBusy = false;
  let isThere = true;
  let answer = (_question: string) => '';
  const hears: InstanceQuestions = {
    ...{ instance: 'other', ask: () => Promise.reject(new Error('it never asks')) },
    listen: (given) => {
      answer = given;
    },
  };
  const asks: InstanceQuestions = {
    ...{ instance: 'one', listen: () => {} },
    ask: async (question) => ({
      texts: new Map(isBusy || !isThere ? [] : [['other', answer(question)]]),
      silent: isBusy ? 1 : 0,
    }),
  };
  const stats = createStats();
  stats.requestEnded(requestOf({ startedAt: clock.now() }));
  createInstances({ ...rest, instance: 'other', questions: hears, stats });
  const instances = createInstances({
    ...{ ...rest, instance: 'one', questions: asks, stats: createStats() },
  });
  const requests = async () => {
    const { parts, silent } = await instances.snapshots();
    return [silent, ...parts.map(({ report }) => `${report.id} ${report.requests}`)];
  };
  expect(await requests()).toEqual([0, 'one 0', 'other 1']);
  isBusy = true;
  clock.advance(4999);
  expect(await requests()).toEqual([1, 'one 0', 'other 1']);
  clock.advance(1);
  expect(await requests()).toEqual([1, 'one 0']);
  isBusy = false;
  expect(await requests()).toEqual([0, 'one 0', 'other 1']);
  // Redis says at once that an instance is gone.
  isThere = false;
  expect(await requests()).toEqual([0, 'one 0']);
});
