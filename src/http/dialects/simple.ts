import type { Request } from 'express';
import { z } from 'zod';
import type { ChatReply } from '../../services/chat-reply.ts';
import { OUR_ERRORS } from '../error-form.ts';
import { validate } from '../json-body.ts';
import { listOf } from '../list-of.ts';
import {
  type AnswerFacts,
  type ChatCall,
  COMMENT,
  type Dialect,
  EVENT_STREAM,
  type Frames,
  type StreamFacts,
} from './dialect.ts';
import { MAX_MESSAGES, modelName, said, spoken } from './said.ts';
import { toMessages } from './turns.ts';

/** Google's own word for the assistant is `model`. */
const turn = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('user'), content: said }),
  z.strictObject({ role: z.enum(['assistant', 'model']), content: spoken }),
]);

export const chatBody = z
  .strictObject({
    message: said.meta({ description: 'What the person says.', examples: ['Hello!'] }),
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
  .meta({ title: 'ChatRequest', description: 'A message, with what was said before.' });

/** Our own dialect: a message with its history in; the reply whole, or as events. */
export const simple: Dialect = {
  errors: OUR_ERRORS,
  read(request): ChatCall {
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

const toBody = (reply: ChatReply, { requestId }: AnswerFacts) => ({
  reply: reply.text,
  model: reply.model,
  finishReason: reply.reason,
  usage: reply.usage,
  requestId,
});

const toEvents = ({ model, requestId }: StreamFacts): Frames => ({
  headers: EVENT_STREAM,
  begin: '',
  piece: (chunk) => (chunk.text === '' ? '' : toEvent('delta', { text: chunk.text })),
  end: ({ reason, usage }) => toEvent('done', { model, finishReason: reason, usage, requestId }),
  fail: ({ code, message }) => toEvent('error', { code, message, requestId }),
  keepAlive: COMMENT,
});

const toEvent = (name: string, data: unknown) =>
  `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
