import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { Chat } from '../service/chat.ts';
import { callerOf } from './caller.ts';
import { validate } from './json-body.ts';
import { sendJson } from './send-json.ts';

/** In characters; a whole body may have a megabyte. */
const MAX_MESSAGE_LENGTH = 200_000;
const MAX_HISTORY_LENGTH = 1000;

const content = z
  .string()
  .max(MAX_MESSAGE_LENGTH)
  .refine((text) => text.trim() !== '', 'Must not be empty.');

const chatBody = z.strictObject({
  message: content,
  history: z
    .array(z.strictObject({ role: z.enum(['user', 'assistant', 'model']), content }))
    .max(MAX_HISTORY_LENGTH)
    .default([]),
  model: z.string().max(200).nullish(),
});

/** `POST /api/chat`: a message with its history in, the whole reply out. */
export function chatRoute(chat: Chat): RequestHandler {
  return async function postChat(request, response) {
    const { message, history, model } = validate(chatBody, request.body);
    const caller = callerOf(request, response);
    const messages = [
      ...history.map((turn) => ({ role: toRole(turn.role), text: turn.content })),
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

/** Google's own word for the assistant is `model`. */
const toRole = (role: 'user' | 'assistant' | 'model'): 'user' | 'assistant' =>
  role === 'user' ? 'user' : 'assistant';
