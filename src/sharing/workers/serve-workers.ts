import type { z } from 'zod';
import type { Common } from '../../shared/common.ts';
import type { Desk } from '../../workers/desk.ts';
import type { News } from '../exchange.ts';
import { Board } from './board.ts';
import { createMemoryCommon } from './memory-common.ts';
import { SAID, TOPICS } from './topics.ts';

/** The primary's part: it keeps what its workers know and count, and passes it on. */
export function serveWorkers(desk: Desk, now: () => number): void {
  const board = new Board(now);
  const common = createMemoryCommon(now);
  const passOn = (news: readonly News[], except: number) => {
    if (news.length > 0) desk.send(TOPICS.news, news, except);
  };
  desk.handle(TOPICS.tell, (payload, from) => {
    const answers = SAID.reports.parse(payload).map((report) => board.tell(report, from));
    passOn(
      answers.map(({ news }) => news).filter((news) => news !== null),
      from,
    );
    return answers.map(({ record }) => record);
  });
  desk.handle(TOPICS.claim, (payload, from) => {
    const { scopes, holdMs } = SAID.claim.parse(payload);
    return board.claim(scopes, from, holdMs);
  });
  desk.handle(TOPICS.some, (payload) => {
    const { from, count } = SAID.page.parse(payload);
    return board.some(from, count);
  });
  desk.handle(TOPICS.shelf, (payload) => onShelf(SAID.shelf.parse(payload), common));
  desk.handle(TOPICS.hit, (payload) => {
    const { counter, name, windowMs } = SAID.hit.parse(payload);
    return common.counter(counter).hit(name, windowMs);
  });
  desk.onGone((worker) => passOn(board.gone(worker), worker));
}

function onShelf(asked: z.output<typeof SAID.shelf>, { shelf }: Common): Promise<unknown> {
  const { name } = asked;
  switch (asked.act) {
    case 'put':
      return shelf.put(name, asked.text, asked.ms);
    case 'get':
      return shelf.get(name);
    case 'take':
      return shelf.take(name, asked.ms);
    case 'giveBack':
      return shelf.giveBack(name);
    default:
      return asked satisfies never;
  }
}
