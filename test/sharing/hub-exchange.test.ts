import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createLogger } from '../../src/shared/logger.ts';
import { createHubExchange } from '../../src/sharing/workers/hub-exchange.ts';
import { createHub } from '../../src/workers/hub.ts';
import type { FromWorker } from '../../src/workers/messages.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const REPORT = { name: 'key:x', record: '1|0|0|', frees: false, outlivesMs: 1000 };

/** A worker whose primary answers what it is asked, as long as it is well. */
function startWorker() {
  const clock = createFakeClock();
  const primary = { isSilent: false, isGone: false, asked: 0 };
  const said: string[] = [];
  const happened: string[] = [];
  const destination = { write: (line: string) => void said.push(JSON.parse(line).msg) };
  const log = createLogger({ level: 'info', redact: (text) => text, destination });
  const line = {
    isOpen: () => !primary.isGone,
    send(message: FromWorker) {
      primary.asked += 1;
      if (primary.isSilent || message.kind !== 'call') return;
      const value = message.topic === 'keys.some' ? [] : ['1|0|0|'];
      receive({ kind: 'called', id: message.id, outcome: { ok: true, value } });
    },
  };
  const { hub, receive, cut } = createHub(line, clock);
  const { exchange, close } = createHubExchange({ hub, clock, log });
  exchange.listen({
    heard: () => {},
    arrived: () => happened.push('arrived'),
    failed: () => happened.push('failed'),
  });
  return { clock, primary, said, happened, exchange, close, cut };
}

it('a primary that is silent for a second is asked nothing more, until it answers again', async () => {
  const { clock, primary, said, happened, exchange } = startWorker();
  primary.isSilent = true;
  const told = exchange.tell([REPORT]);
  clock.advance(999);
  expect(exchange.isUp()).toBe(true);
  clock.advance(1);
  await expect(told).rejects.toThrow('no answer within 1000 ms');
  expect(exchange.isUp()).toBe(false);
  // It is looked for each second, and given one to answer.
  for (let second = 0; second < 10; second += 1) {
    clock.advance(1000);
    await nextTurn();
  }
  expect(primary.asked).toBe(6);
  primary.isSilent = false;
  for (let second = 0; second < 2; second += 1) {
    clock.advance(1000);
    await nextTurn();
  }
  expect(exchange.isUp()).toBe(true);
  expect(happened).toEqual(['arrived', ...Array.from({ length: 6 }, () => 'failed'), 'arrived']);
  expect(said).toEqual([
    'the primary does not answer: this worker goes on with what it knows',
    'the primary answers again: what workers know of keys is shared',
  ]);
  expect(clock.pendingTimers()).toBe(0);
});

it('a primary that is gone is not looked for', async () => {
  const { clock, primary, exchange, cut } = startWorker();
  primary.isGone = true;
  cut();
  await expect(exchange.tell([REPORT])).rejects.toThrow('the primary is gone');
  expect(exchange.isUp()).toBe(false);
  expect(clock.pendingTimers()).toBe(0);
});

it('a worker that ends looks for its silent primary no longer', async () => {
  const { clock, primary, exchange, close } = startWorker();
  primary.isSilent = true;
  const told = exchange.tell([REPORT]);
  clock.advance(1000);
  await expect(told).rejects.toThrow('no answer');
  expect(clock.pendingTimers()).toBe(1);
  close();
  expect(clock.pendingTimers()).toBe(0);
});
