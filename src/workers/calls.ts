import type { Clock } from '../shared/clock.ts';
import type { Line, Outcome } from './messages.ts';

/** Why a call to the primary came to nothing. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
  readonly code: 'too_late' | 'refused' | 'primary_gone';

  constructor(topic: string, code: NoAnswer['code'], why: string) {
    super(`${topic}: ${why}`);
    this.code = code;
  }
}

interface Pending {
  settle(outcome: Outcome): void;
  fail(code: NoAnswer['code'], why: string): void;
}

/** Calls to the primary that have not been answered yet. */
export function createCalls(line: Line, clock: Clock) {
  const pending = new Map<number, Pending>();
  let lastId = 0;

  function call(topic: string, payload: unknown, limitMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      lastId += 1;
      const id = lastId;
      const fail: Pending['fail'] = (code, why) => {
        pending.delete(id);
        limit.cancel();
        reject(new NoAnswer(topic, code, why));
      };
      const settle: Pending['settle'] = (outcome) => {
        if (!outcome.ok) return fail('refused', outcome.why);
        pending.delete(id);
        limit.cancel();
        resolve(outcome.value);
      };
      const limit = clock.after(limitMs, () => fail('too_late', `no answer within ${limitMs} ms`));
      if (!line.isOpen()) return fail('primary_gone', GONE);
      pending.set(id, { settle, fail });
      line.send({ kind: 'call', id, topic, payload });
    });
  }

  return {
    call,
    settle: (id: number, outcome: Outcome) => pending.get(id)?.settle(outcome),
    cut() {
      for (const { fail } of pending.values()) fail('primary_gone', GONE);
    },
  };
}

const GONE = 'the primary is gone';
