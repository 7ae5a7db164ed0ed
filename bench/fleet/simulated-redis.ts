import type { Clock } from '../../src/shared/clock.ts';
import type { Exchange, ExchangeListener, News } from '../../src/sharing/exchange.ts';
import { Board } from '../../test/support/board.ts';

/** The way to it and the way back, in milliseconds each. */
const WAY_MS = 1;

/** What Redis does, done by the board of the workers' primary, at a distance and counted as Redis would. */
export interface SimulatedRedis {
  /** Sent to it by all instances. */
  readonly commands: number;
  /** Sent by it to those who listen: each hears of everything, its own too. */
  readonly messages: number;
  exchangeOf(instance: number): Exchange;
}

export function createSimulatedRedis(clock: Clock): SimulatedRedis {
  const board = new Board(clock.now);
  const listeners: ExchangeListener[] = [];
  const counts = { commands: 0, messages: 0 };

  /** There after one way, and its answer here after another. */
  function send<T>(commands: number, act: () => T): Promise<T> {
    counts.commands += commands;
    return new Promise((resolve) => {
      clock.after(WAY_MS, () => {
        const answer = act();
        clock.after(WAY_MS, () => resolve(answer));
      });
    });
  }

  function passOn(news: News, teller: number): void {
    counts.messages += listeners.length;
    clock.after(WAY_MS, () => {
      for (const [index, listener] of listeners.entries()) {
        if (index !== teller) listener.heard(news);
      }
    });
  }

  return {
    get commands() {
      return counts.commands;
    },
    get messages() {
      return counts.messages;
    },
    exchangeOf: (instance) => ({
      isUp: () => true,
      clockAhead: () => 0,
      listen(listener) {
        listeners[instance] = listener;
        listener.arrived();
      },
      tell: (reports) =>
        send(reports.length, () =>
          reports.map((report) => {
            const { record, news } = board.tell(report, instance);
            if (news !== null) passOn(news, instance);
            return record;
          }),
        ),
      claim: (scopes, holdMs) => send(1, () => board.claim(scopes, instance, holdMs)),
      async *all() {},
    }),
  };
}
