import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ALONE } from '../../src/shared/colleagues.ts';
import { NoAnswer } from '../../src/workers/calls.ts';
import { createSwitchboard, type Peer } from '../../src/workers/desk.ts';
import { createHub, type HubEnd } from '../../src/workers/hub.ts';
import type { FromPrimary, FromWorker } from '../../src/workers/messages.ts';
import { createFakeClock } from '../support/fake-clock.ts';

/** As it arrives on the other side of a channel. */
const asJson = <T>(message: T): T => JSON.parse(JSON.stringify(message));

/** A primary and workers in one process, between them nothing but JSON. */
function connect(count: number) {
  const clock = createFakeClock();
  const switchboard = createSwitchboard();
  const workers = Array.from({ length: count }, (_, index) => addWorker(index + 1));
  return { clock, desk: switchboard.desk, workers };

  function addWorker(id: number) {
    const state = { isOpen: true, hasListened: true };
    const peer: Peer = {
      id,
      hasListened: () => state.hasListened,
      send: (message) => deliver(() => end.receive(withoutLeave(asJson(message)))),
    };
    const end: HubEnd = createHub(
      {
        isOpen: () => state.isOpen,
        send: (message: FromWorker) => deliver(() => switchboard.receive(peer, asJson(message))),
      },
      clock,
    );
    const deliver = (arrive: () => void) => {
      if (state.isOpen) setImmediate(arrive);
    };
    switchboard.admit(peer);
    return {
      ...end.hub,
      state,
      die() {
        state.isOpen = false;
        end.cut();
        switchboard.dismiss(peer);
      },
    };
  }
}

function withoutLeave(message: FromPrimary) {
  if (message.kind === 'leave') throw new Error('nobody is told to leave here');
  return message;
}

/** Longer than any message takes. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
}

function threeOf<T>(items: readonly T[]): readonly [T, T, T] {
  const [first, second, third] = items;
  if (first === undefined || second === undefined || third === undefined) throw new Error('three');
  return [first, second, third];
}

describe('colleagues', () => {
  it('answer each for itself, and nobody asks itself', async () => {
    const { workers } = connect(3);
    for (const [index, { colleagues }] of workers.entries()) {
      colleagues.answer('sum', (question) => ({ of: index + 1, asked: question }));
    }
    const [first] = threeOf(workers);
    expect(await first.colleagues.ask('sum', { more: [1] })).toEqual([
      { of: 2, asked: { more: [1] } },
      { of: 3, asked: { more: [1] } },
    ]);
  });

  it('who fail or do not know the topic are left out at once', async () => {
    const { workers } = connect(3);
    const [first, second] = threeOf(workers);
    second.colleagues.answer('sum', () => {
      throw new Error('no');
    });
    expect(await first.colleagues.ask('sum', null)).toEqual([]);
  });

  it('who take longer than half a second are left out, and what they say later is dropped', async () => {
    const { clock, workers } = connect(3);
    const [first, second, third] = threeOf(workers);
    let answerLate: (answer: string) => void = () => {};
    second.colleagues.answer('who', () => 'second');
    third.colleagues.answer('who', () => new Promise((resolve) => (answerLate = resolve)));
    let answers: readonly unknown[] | null = null;
    const asked = first.colleagues.ask('who', null).then((all) => (answers = all));
    await settle();
    clock.advance(499);
    await settle();
    expect(answers).toBeNull();
    clock.advance(1);
    await asked;
    answerLate('third');
    await settle();
    expect(answers).toEqual(['second']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('who do not listen yet are not asked', async () => {
    const { workers } = connect(3);
    const [first, second, third] = threeOf(workers);
    second.colleagues.answer('who', () => 'second');
    third.colleagues.answer('who', () => 'third');
    third.state.hasListened = false;
    expect(await first.colleagues.ask('who', null)).toEqual(['second']);
  });

  it('are asked in vain once the primary is gone, without a wait', async () => {
    const { workers } = connect(3);
    const [first, second] = threeOf(workers);
    second.colleagues.answer('who', () => new Promise(() => {}));
    const asked = first.colleagues.ask('who', null);
    first.die();
    expect(await asked).toEqual([]);
    expect(await first.colleagues.ask('who', null)).toEqual([]);
  });

  it('there are none for one that is alone', async () => {
    ALONE.answer('who', () => 'me');
    expect(await ALONE.ask('who', null)).toEqual([]);
  });
});

describe('a call to the primary', () => {
  it('is answered to the one who called, whose number it knows', async () => {
    const { desk, workers } = connect(3);
    desk.handle('double', (payload, from) => ({ double: Number(payload) * 2, from }));
    const [first, second] = threeOf(workers);
    const both = [first.call('double', 2, 1000), second.call('double', 3, 1000)];
    expect(await Promise.all(both)).toEqual([
      { double: 4, from: 1 },
      { double: 6, from: 2 },
    ]);
  });

  it('fails with the reason of the primary, and where nobody answers to the topic', async () => {
    const { clock, desk, workers } = connect(3);
    desk.handle('lease', async () => {
      throw new Error('none left');
    });
    const [first] = threeOf(workers);
    await expect(first.call('lease', null, 1000)).rejects.toMatchObject({
      name: 'NoAnswer',
      code: 'refused',
      message: 'lease: none left',
    });
    await expect(first.call('other', null, 1000)).rejects.toMatchObject({ code: 'refused' });
    expect(clock.pendingTimers()).toBe(0);
  });

  it('fails once its time is over, and not a millisecond before', async () => {
    const { clock, desk, workers } = connect(3);
    desk.handle('lease', () => new Promise(() => {}));
    const [first] = threeOf(workers);
    let failed: unknown = null;
    const call = first.call('lease', null, 1000).catch((error: unknown) => (failed = error));
    clock.advance(999);
    await settle();
    expect(failed).toBeNull();
    clock.advance(1);
    expect(await call).toBeInstanceOf(NoAnswer);
    expect(await call).toMatchObject({ code: 'too_late' });
  });

  it('fails at once when the primary goes, and when it is gone', async () => {
    const { desk, workers } = connect(3);
    desk.handle('lease', () => new Promise(() => {}));
    const [first] = threeOf(workers);
    const call = first.call('lease', null, 1000);
    first.die();
    await expect(call).rejects.toMatchObject({ code: 'primary_gone' });
    await expect(first.call('lease', null, 1000)).rejects.toMatchObject({ code: 'primary_gone' });
  });
});

describe('the desk', () => {
  it('sends to every worker but one, also to those that do not listen yet', async () => {
    const { desk, workers } = connect(3);
    const heard: unknown[] = [];
    for (const [index, { on }] of workers.entries()) {
      on('news', (payload) => heard.push([index + 1, payload]));
    }
    threeOf(workers)[2].state.hasListened = false;
    desk.send('news', { is: 'here' }, 2);
    desk.send('other', 'unheard');
    await settle();
    expect(heard).toEqual([
      [1, { is: 'here' }],
      [3, { is: 'here' }],
    ]);
  });

  it('says who is gone, and asks it no more', async () => {
    const { desk, workers } = connect(3);
    const gone: number[] = [];
    desk.onGone((worker) => gone.push(worker));
    const [first, second, third] = threeOf(workers);
    third.colleagues.answer('who', () => 'third');
    second.die();
    expect(gone).toEqual([2]);
    expect(await first.colleagues.ask('who', null)).toEqual(['third']);
  });
});
