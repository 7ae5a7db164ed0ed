import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Scope } from '../../src/pool/scope.ts';
import type { Exchange, Report } from '../../src/sharing/exchange.ts';
import { createOutbox } from '../../src/sharing/outbox.ts';

/** An exchange that is up, and refuses so many times what it is told. */
function startOutbox(refusals: number) {
  const told: (readonly Report[])[] = [];
  const exchange: Exchange = {
    isUp: () => true,
    clockAhead: () => 0,
    listen: () => {},
    async tell(reports) {
      told.push(reports);
      if (told.length <= refusals) throw new Error('refused');
      return reports.map(({ record }) => record);
    },
    claim: async () => ({ isGranted: true }),
    async *all() {},
  };
  const outbox = createOutbox({
    exchange,
    reportOf: () => ({ name: 'key:x', record: '1|0|0|', frees: false, outlivesMs: 0 }),
    answered: () => {},
  });
  return { outbox, told };
}

it('what is refused once is told again at once', async () => {
  const { outbox, told } = startOutbox(1);
  outbox.add(new Scope());
  await outbox.flush();
  expect([told.length, outbox.size]).toEqual([2, 0]);
});

it('what is refused again and again waits for the next finding, and goes with it', async () => {
  const { outbox, told } = startOutbox(2);
  outbox.add(new Scope());
  await outbox.flush();
  await nextTurn();
  expect([told.length, outbox.size]).toEqual([2, 1]);
  outbox.add(new Scope());
  await outbox.flush();
  expect(told.map((reports) => reports.length)).toEqual([1, 1, 2]);
  expect(outbox.size).toBe(0);
});
