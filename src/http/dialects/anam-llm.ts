import type { Request } from 'express';
import { z } from 'zod';
import { PLAIN_ERRORS } from '../error-form.ts';
import { validate } from '../json-body.ts';
import { listOf } from '../list-of.ts';
import type { ChatCall, Dialect } from './dialect.ts';
import { plainText } from './plain-text.ts';
import { isSaid, MAX_MESSAGES, spoken, text } from './said.ts';
import { toMessages } from './turns.ts';

/** Where one of these stands the body is the AI SDK's. */
const without = (field: string) => ({ not: { required: [field] } });

const message = z.discriminatedUnion('role', [
  z.looseObject({ role: z.literal('user'), content: text }).meta(without('parts')),
  z.looseObject({ role: z.enum(['persona', 'assistant']), content: spoken }).meta(without('parts')),
]);

export const anamBody = z
  .looseObject({
    messages: listOf(message, MAX_MESSAGES).meta({
      minItems: 1,
      description: 'What was said, the last of it by the user.',
    }),
  })
  .meta({
    ...without('trigger'),
    title: 'AnamChatRequest',
    description: "What Anam's example for a language model of one's own sends.",
  })
  .superRefine(({ messages }, context) => {
    const last = messages.at(-1);
    if (last?.role === 'user' && isSaid(last.content)) return;
    const fault = "The last message must be the user's, and must not be empty.";
    context.addIssue({ code: 'custom', path: ['messages'], message: fault });
  });

/**
 * The dialect of Anam's example for a language model of one's own: the browser sends what the user
 * and the persona have said, and reads the answer as plain text, to hand it to the avatar.
 */
export const anamLlm: Dialect = {
  errors: PLAIN_ERRORS,
  read({ body }): ChatCall {
    const { messages } = validate(anamBody, body);
    const turn = { system: null, messages: toMessages(messages) };
    return { request: { turn, model: null }, answer: { kind: 'stream', frames: plainText } };
  },
};

export const isAnamLlm = ({ body }: Request): boolean => Array.isArray(body?.messages);
