import type { Request } from 'express';
import { z } from 'zod';
import type { ChatReply } from '../../services/chat.ts';
import { FINISH_REASONS } from '../../shared/chat.ts';
import { OUR_ERRORS } from '../errors.ts';
import { listOf, validate } from '../validate.ts';
import {
  type AnswerFacts,
  COMMENT,
  type Dialect,
  EVENT_STREAM,
  type Frames,
  MAX_MESSAGES,
  modelName,
  type StreamFacts,
  toEvent,
  toMessages,
  userText,
} from './dialect.ts';

/** Google calls the assistant `model`. */
const turn = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('user'), content: userText }),
  z.strictObject({ role: z.enum(['assistant', 'model']), content: z.string() }),
]);

export const chatBody = z
  .strictObject({
    message: userText.meta({ description: 'What the person says.', examples: ['Hello!'] }),
    history: listOf(turn, MAX_MESSAGES)
      .default([])
      .meta({ description: 'What was said before, oldest first. Nothing by default.' }),
    model: modelName.nullish().meta({
      description:
        'One of `GOOGLE_MODELS`. Left out, the first answers, or the next when that is spent.',
    }),
    stream: z.boolean().nullish().meta({
      description: 'Whether the answer comes as events. By default the `Accept` header decides.',
    }),
  })
  .meta({ id: 'ChatRequest', description: 'A message, with what was said before.' });

export const chatReply = z
  .strictObject({
    reply: z.string().meta({ examples: ['Hi! How can I help?'] }),
    model: z.string().meta({ examples: ['gemini-flash-latest'] }),
    finishReason: z.enum(FINISH_REASONS),
    usage: z.strictObject({ inputTokens: z.int(), outputTokens: z.int(), totalTokens: z.int() }),
    requestId: z.string(),
  })
  .meta({ id: 'ChatReply' });

/** Our own dialect: a message with its history; the answer is one JSON body or a stream of events. */
export const simple: Dialect = {
  errors: OUR_ERRORS,
  read(request) {
    const { message, history, model, stream } = validate(chatBody, request.body);
    const messages = toMessages([...history, { role: 'user', content: message }]);
    return {
      request: { turn: { system: null, messages }, model: model ?? null },
      answer:
        (stream ?? prefersEvents(request))
          ? { kind: 'stream', frames: toEvents }
          : { kind: 'whole', body: toBody },
    };
  },
};

const EVENTS = 'text/event-stream';

const prefersEvents = (request: Request) =>
  request.accepts(['application/json', EVENTS]) === EVENTS;

const toBody = (reply: ChatReply, { requestId }: AnswerFacts): z.output<typeof chatReply> => ({
  reply: reply.text,
  model: reply.model,
  finishReason: reply.reason,
  usage: reply.usage,
  requestId,
});

const toEvents = ({ model, requestId }: StreamFacts): Frames => ({
  headers: EVENT_STREAM,
  begin: '',
  piece: ({ text }) => (text === '' ? '' : named('delta', { text })),
  end: ({ reason, usage }) => named('done', { model, finishReason: reason, usage, requestId }),
  fail: ({ code, message }) => named('error', { code, message, requestId }),
  keepAlive: COMMENT,
});

const named = (name: string, data: object) => `event: ${name}\n${toEvent(data)}`;
