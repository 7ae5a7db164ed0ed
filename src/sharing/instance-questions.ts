import { atMost, type Clock } from '../shared/clock.ts';
import type { Answers, InstanceQuestions } from '../shared/shared-store.ts';
import type { RedisConnection } from './redis-connection.ts';

export interface InstanceQuestionsOptions {
  readonly connection: RedisConnection;
  readonly clock: Clock;
  readonly instance: string;
  /** Every instance subscribes to it. */
  readonly channel: string;
  /** The channel of one instance. */
  answersTo(instance: string): string;
}

/** Another instance may be too busy to answer. */
const ANSWER_LIMIT_MS = 400;
const MAX_ANSWERS = 100;
/** In letters. */
const MAX_ANSWER = 2 ** 20;

/**
 * Publishes questions on a channel that all instances read, and reads the answers on a private channel. A question has three
 * lines: instance, number, question. An answer has three lines: number, instance, answer.
 */
export function createInstanceQuestions(options: InstanceQuestionsOptions): InstanceQuestions {
  const { connection, clock, instance, channel, answersTo } = options;
  const waiting = new Map<string, Waiting>();
  let asked = 0;

  function reply(message: string, answer: (question: string) => string): void {
    const [from = '', number = '', question = ''] = message.split('\n');
    // Redis counts this instance among the subscribers.
    if (from === instance) waiting.get(number)?.heard(instance, '');
    else send(answersTo(from), `${number}\n${instance}\n${answer(question)}`);
  }

  /** The asking instance has a deadline, so a lost answer needs no retry. */
  function send(to: string, message: string): void {
    connection.run((client) => client.publish(to, message)).catch(() => {});
  }

  function receive(message: string): void {
    const [number = '', from = '', answer = ''] = message.split('\n');
    waiting.get(number)?.heard(from, answer);
  }

  return {
    instance,
    listen(answer) {
      connection.listenTo(channel, (message) => reply(message, answer));
      connection.listenTo(answersTo(instance), receive);
    },
    async ask(question) {
      asked += 1;
      const number = String(asked);
      const one = new Waiting(instance);
      waiting.set(number, one);
      const message = `${instance}\n${number}\n${question}`;
      connection
        .run((client) => client.publish(channel, message))
        .then(
          (listeners) => one.expect(listeners),
          () => one.expect(0),
        );
      await atMost(ANSWER_LIMIT_MS, clock, one.complete, undefined);
      waiting.delete(number);
      return one.answers;
    },
  };
}

/** For the answers to one question. */
class Waiting {
  readonly complete: Promise<void>;
  readonly #instance: string;
  readonly #texts = new Map<string, string>();
  /** How many instances received the question. Null: Redis has not answered yet. */
  #listeners: number | null = null;
  #resolve: () => void = () => {};

  constructor(instance: string) {
    this.#instance = instance;
    this.complete = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get answers(): Answers {
    const texts = new Map(this.#texts);
    const silent = Math.max((this.#listeners ?? 0) - texts.size, 0);
    texts.delete(this.#instance);
    return { texts, silent };
  }

  expect(listeners: number): void {
    this.#listeners = listeners;
    this.#resolveIfComplete();
  }

  heard(instance: string, answer: string): void {
    if (this.#texts.size < MAX_ANSWERS) {
      this.#texts.set(instance, answer.length > MAX_ANSWER ? '' : answer);
    }
    this.#resolveIfComplete();
  }

  #resolveIfComplete(): void {
    if (this.#listeners !== null && this.#texts.size >= Math.min(this.#listeners, MAX_ANSWERS)) {
      this.#resolve();
    }
  }
}
