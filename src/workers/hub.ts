import type { Clock } from '../shared/clock.ts';
import type { Colleagues } from '../shared/colleagues.ts';
import { createCalls } from './calls.ts';
import { type FromPrimary, type Line, outcomeOf } from './messages.ts';
import { createQuestions } from './questions.ts';

/** What a worker has of its primary. Payloads and results are what JSON can say. */
export interface Hub {
  readonly colleagues: Colleagues;
  /**
   * Asks the primary itself.
   *
   * @throws NoAnswer when it has not answered within `limitMs`, cannot, or is gone
   */
  call(topic: string, payload: unknown, limitMs: number): Promise<unknown>;
  /** What the primary sends of its own accord, from now on; what came before is not repeated. */
  on(topic: string, listener: (payload: unknown) => void): void;
}

export interface HubEnd {
  readonly hub: Hub;
  /** Takes what the primary says. */
  receive(message: Exclude<FromPrimary, { kind: 'leave' }>): void;
  /** Nothing more will come: nobody waits any longer. */
  cut(): void;
}

export function createHub(line: Line, clock: Clock): HubEnd {
  const calls = createCalls(line, clock);
  const questions = createQuestions(line, clock);
  const replies = new Map<string, (question: unknown) => unknown>();
  const listeners = new Map<string, ((payload: unknown) => void)[]>();

  async function reply({ from, id, topic, question }: QuestionMessage): Promise<void> {
    const outcome = await outcomeOf(replies.get(topic), question);
    line.send({ kind: 'reply', to: from, id, outcome });
  }

  return {
    hub: {
      colleagues: {
        ask: questions.ask,
        answer: (topic, answer) => void replies.set(topic, answer),
      },
      call: calls.call,
      on: (topic, listener) =>
        void listeners.set(topic, [...(listeners.get(topic) ?? []), listener]),
    },
    receive(message) {
      switch (message.kind) {
        case 'called':
          return calls.settle(message.id, message.outcome);
        case 'asked':
          return questions.expect(message.id, message.count);
        case 'reply':
          return questions.hear(message.id, message.outcome);
        case 'question':
          return void reply(message);
        case 'news':
          for (const listener of listeners.get(message.topic) ?? []) listener(message.payload);
          return;
        default:
          return message satisfies never;
      }
    },
    cut() {
      calls.cut();
      questions.cut();
    },
  };
}

type QuestionMessage = Extract<FromPrimary, { kind: 'question' }>;
