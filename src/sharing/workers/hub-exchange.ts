import type { Clock, Timer } from '../../shared/clock.ts';
import type { Common } from '../../shared/common.ts';
import type { Logger } from '../../shared/logger.ts';
import { NoAnswer } from '../../workers/calls.ts';
import type { Hub } from '../../workers/hub.ts';
import type { Exchange, ExchangeListener, Named } from '../exchange.ts';
import { SAID, TOPICS } from './topics.ts';

export interface HubExchangeOptions {
  readonly hub: Hub;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface HubExchange {
  readonly exchange: Exchange;
  /** Looks for the primary no longer. */
  close(): void;
}

/** The primary is on the same machine, and does little else than answer. */
const ANSWER_LIMIT_MS = 1000;
/** Between two looks for a primary that does not answer. */
const LOOK_AGAIN_MS = 1000;
/** So many records are read in one go. */
const BATCH = 1000;

/** Knowledge that the workers of one machine share through their primary. Their clock is the same. */
export function createHubExchange({ hub, clock, log }: HubExchangeOptions): HubExchange {
  let listener: ExchangeListener | null = null;
  let isUp = true;
  let next: Timer | null = null;

  async function call(topic: string, payload: unknown): Promise<unknown> {
    try {
      return await hub.call(topic, payload, ANSWER_LIMIT_MS);
    } catch (error) {
      if (error instanceof NoAnswer && error.code !== 'refused') failed(error);
      throw error;
    }
  }

  function failed({ code, message: reason }: NoAnswer): void {
    if (isUp && code === 'too_late') log.warn({ reason }, WITHOUT_PRIMARY);
    isUp = false;
    listener?.failed();
    next?.cancel();
    // One that is gone never comes back: its workers end too.
    if (code === 'too_late') next = clock.after(LOOK_AGAIN_MS, look);
  }

  /** What it refuses, it has answered. */
  function look(): void {
    hub
      .call(TOPICS.some, { from: 0, count: 0 }, ANSWER_LIMIT_MS)
      .then(isThere, (error: NoAnswer) => (error.code === 'refused' ? isThere() : failed(error)));
  }

  function isThere(): void {
    log.info('the primary answers again: what workers know of keys is shared');
    isUp = true;
    listener?.arrived();
  }

  return {
    close: () => next?.cancel(),
    exchange: {
      isUp: () => isUp,
      clockAhead: () => 0,
      listen(newListener) {
        listener = newListener;
        hub.on(TOPICS.news, (payload) => {
          for (const news of SAID.news.parse(payload)) newListener.heard(news);
        });
        newListener.arrived();
      },
      tell: async (reports) => SAID.records.parse(await call(TOPICS.tell, reports)),
      claim: async (scopes, holdMs) =>
        SAID.claimAnswer.parse(await call(TOPICS.claim, { scopes, holdMs })),
      async *all() {
        let some: readonly Named[];
        let from = 0;
        do {
          some = SAID.named.parse(await call(TOPICS.some, { from, count: BATCH }));
          yield some;
          from += BATCH;
        } while (some.length === BATCH);
      },
    },
  };
}

const WITHOUT_PRIMARY = 'the primary does not answer: this worker goes on with what it knows';

/** What the workers of one machine have in common, kept by their primary. */
export function createHubCommon(hub: Hub): Common {
  const shelf = (payload: unknown) => hub.call(TOPICS.shelf, payload, ANSWER_LIMIT_MS);
  return {
    shelf: {
      async put(name, text, ms) {
        await shelf({ act: 'put', name, text, ms });
      },
      get: async (name) => SAID.text.parse(await shelf({ act: 'get', name })),
      take: async (name, ms) => SAID.taken.parse(await shelf({ act: 'take', name, ms })),
      async giveBack(name) {
        await shelf({ act: 'giveBack', name });
      },
    },
    counter: (counter) => ({
      hit: async (name, windowMs) =>
        SAID.hits.parse(await hub.call(TOPICS.hit, { counter, name, windowMs }, ANSWER_LIMIT_MS)),
    }),
  };
}
