import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { Chat } from '../service/chat.ts';
import { callerOf } from './caller.ts';
import { validate } from './json-body.ts';
import { sendJson } from './send-json.ts';

/** In characters; a whole body may have a megabyte. */
const MAX_MESSAGE_LENGTH = 200_000;
const MAX_HISTORY_LENGTH = 1000;
const LONE_SURROGATE = /\p{Surrogate}/u;

const text = z
  .string()
  .max(MAX_MESSAGE_LENGTH)
  .refine((value) => !LONE_SURROGATE.test(value), 'Has half a character, which is no Unicode.');
const said = text.refine((value) => value.trim() !== '', 'Must not be empty.');

/** An assistant may have said nothing: we have given out such replies, and take them back. */
const turn = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('user'), content: said }),
  z.strictObject({ role: z.enum(['assistant', 'model']), content: text }),
]);

const chatBody = z.strictObject({
  message: said,
  history: z.array(turn).max(MAX_HISTORY_LENGTH).default([]),
  model: z.string().max(200).nullish(),
  stream: z.literal(false, 'Answers come whole, as JSON: leave it out, or send false.').nullish(),
});

/** `POST /api/chat`: a message with its history in, the whole reply out. */
export function chatRoute(chat: Chat): RequestHandler {
  return async function postChat(request, response) {
    const { message, history, model } = validate(chatBody, request.body);
    const caller = callerOf(request, response);
    const messages = [
      ...history
        .filter(hasWords)
        .map(({ role, content }) => ({ role: toRole(role), text: content })),
      { role: 'user' as const, text: message },
    ];
    const reply = await chat.reply({ messages, model: model ?? null }, caller);
    sendJson(response, 200, {
      reply: reply.text,
      model: reply.model,
      finishReason: reply.reason,
      usage: reply.usage,
      requestId: caller.requestId,
    });
  };
}

const hasWords = ({ content }: z.output<typeof turn>) => content.trim() !== '';

/** Google's own word for the assistant is `model`. */
const toRole = (role: 'user' | 'assistant' | 'model'): 'user' | 'assistant' =>
  role === 'user' ? 'user' : 'assistant';
