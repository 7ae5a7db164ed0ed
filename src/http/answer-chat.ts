import type { Request, RequestHandler } from 'express';
import type { Chat } from '../services/chat.ts';
import type { Clock } from '../shared/clock.ts';
import { callerOf } from './caller.ts';
import type { Dialect } from './dialects/dialect.ts';
import { sendJson } from './send-json.ts';
import { sendStream } from './send-stream.ts';
import { tellWhoAnswered } from './who-answered.ts';

/** One chat turn, in whichever dialect the request is: read, answered, and written as it asks for. */
export function answerChat(
  chat: Chat,
  dialectOf: (request: Request) => Dialect,
  clock: Clock,
): RequestHandler {
  return async function postChat(request, response) {
    const { request: asked, answer } = dialectOf(request).read(request);
    const caller = callerOf(request, response);
    const facts = { requestId: caller.requestId, now: clock.now() };
    if (answer.kind === 'whole') {
      const reply = await chat.reply(asked, caller);
      tellWhoAnswered(response, reply);
      sendJson(response, 200, answer.body(reply, facts));
      return;
    }
    const { chunks, ...answeredBy } = await chat.stream(asked, caller);
    tellWhoAnswered(response, answeredBy);
    const { model } = answeredBy;
    await sendStream(response, answer.frames({ ...facts, model }), chunks, clock);
  };
}
