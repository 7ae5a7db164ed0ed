import { z } from 'zod';
import { listOf, validate } from '../body.ts';
import { PLAIN_ERRORS } from '../errors.ts';
import { type Dialect, hasText, MAX_MESSAGES, plainText } from './dialect.ts';
import { toMessages } from './simple.ts';

/** A body with one of these fields is the AI SDK's. */
const without = (field: string) => ({ not: { required: [field] } });

const ROLES = ['user', 'persona', 'assistant'] as const;
/** OpenAI's messages have the same shape and other roles. */
const WRONG_ROLE =
  "Must be user, persona or assistant: messages with content are read in Anam's form. The AI SDK's have parts.";

const message = z
  .looseObject({
    role: z.enum(ROLES, WRONG_ROLE),
    content: z.string(),
  })
  .meta(without('parts'));

/** Anam's example sends only `messages`. Each message is one of Anam's SDK, with further fields. */
export const anamBody = z
  .strictObject({
    messages: listOf(message, MAX_MESSAGES).meta({
      minItems: 1,
      description: 'What was said, the last of it by the user.',
    }),
  })
  .meta({
    ...without('trigger'),
    id: 'AnamChatRequest',
    description: "What Anam's example for a language model of one's own sends.",
  })
  .superRefine(({ messages }, context) => {
    const last = messages.at(-1);
    if (last?.role === 'user' && hasText(last.content)) return;
    const fault = "The last message must be the user's, and must not be empty.";
    context.addIssue({ code: 'custom', path: ['messages'], message: fault });
  });

/**
 * The dialect of Anam's example for a custom language model: the browser sends what the user and the
 * persona have said, and reads the answer as plain text for the avatar.
 */
export const anamLlm: Dialect = {
  errors: PLAIN_ERRORS,
  read({ body }) {
    const { messages } = validate(anamBody, body);
    const turn = { system: null, messages: toMessages(messages) };
    return { request: { turn, model: null }, answer: { kind: 'stream', frames: plainText } };
  },
};
