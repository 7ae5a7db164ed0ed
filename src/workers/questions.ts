import type { Clock } from '../shared/clock.ts';
import type { Line, Outcome } from './messages.ts';

/** Who has not answered in this time is left out. */
const PATIENCE_MS = 500;

interface Pending {
  expect(count: number): void;
  hear(outcome: Outcome): void;
  finish(): void;
}

/** Questions to the other workers that have not been answered by all of them yet. */
export function createQuestions(line: Line, clock: Clock) {
  const pending = new Map<number, Pending>();
  let lastId = 0;

  function ask(topic: string, question: unknown): Promise<readonly unknown[]> {
    if (!line.isOpen()) return Promise.resolve([]);
    return new Promise((resolve) => {
      lastId += 1;
      const id = lastId;
      const answers: unknown[] = [];
      let heard = 0;
      let expected = Number.POSITIVE_INFINITY;
      const finish = () => {
        limit.cancel();
        pending.delete(id);
        resolve(answers);
      };
      const finishIfComplete = () => {
        if (heard >= expected) finish();
      };
      const limit = clock.after(PATIENCE_MS, finish);
      pending.set(id, {
        expect(count) {
          expected = count;
          finishIfComplete();
        },
        hear(outcome) {
          heard += 1;
          if (outcome.ok) answers.push(outcome.value);
          finishIfComplete();
        },
        finish,
      });
      line.send({ kind: 'ask', id, topic, question });
    });
  }

  return {
    ask,
    expect: (id: number, count: number) => pending.get(id)?.expect(count),
    hear: (id: number, outcome: Outcome) => pending.get(id)?.hear(outcome),
    cut() {
      for (const { finish } of pending.values()) finish();
    },
  };
}
