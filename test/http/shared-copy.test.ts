import { expect, it } from 'vitest';
import { SharedCopy } from '../../src/http/shared-copy.ts';
import type { AnswerStore } from '../../src/shared/shared-store.ts';
import { createFakeClock } from '../support/fake-clock.ts';

it('a change at the moment when the last write ends is written too', async () => {
  for (let moment = 0; moment < 20; moment += 1) {
    const written: boolean[] = [];
    const store: Pick<AnswerStore, 'write'> = {
      async write({ isTaken }) {
        written.push(isTaken);
        return { result: 'written', readMs: null };
      },
    };
    const answer = {
      ...{ state: { kind: 'ended' as const }, isOver: true, length: 1 },
      textFrom: () => 'Hello',
      forget() {},
      stop() {},
    };
    const clock = createFakeClock();
    const copy = new SharedCopy(answer, { store: store as AnswerStore, clock, name: 'a', id: 'b' });
    for (let turn = 0; turn < moment; turn += 1) await null;
    copy.setTaken(true);
    await new Promise((done) => setImmediate(done));
    expect([moment, written.at(-1)]).toEqual([moment, true]);
  }
});
