import type { Request } from 'express';
import { z } from 'zod';
import { type ChatReply, modelThatAnswered, textOf } from '../../services/chat.ts';
import { type ChatMessage, FINISH_REASONS } from '../../shared/chat.ts';
import type { Usage } from '../../shared/failure.ts';
import { listOf, validate } from '../body.ts';
import { errorBody, OUR_ERRORS } from '../errors.ts';
import {
  type AnswerFacts,
  COMMENT,
  type Dialect,
  EVENT_STREAM,
  type Frames,
  MAX_MESSAGES,
  modelName,
  toNamedEvent,
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
        'One of `GOOGLE_MODELS` or `MODEL_ALIASES`. Without it the first model answers, or the next when that is spent.',
    }),
    stream: z.boolean().nullish().meta({
      description: 'Whether the answer comes as events. By default the `Accept` header decides.',
    }),
  })
  .meta({ id: 'ChatRequest', description: 'A message, with what was said before.' });

export const chatReply = z
  .strictObject({
    reply: z.string().meta({ examples: ['Hi! How can I help?'] }),
    model: z.string().meta({
      description: 'The model that answered, as the provider names it.',
      examples: ['gemini-flash-latest'],
    }),
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
    const { accept = '*/*' } = request.headers;
    const isStreamed = stream ?? (accept !== '*/*' && prefersEvents(request));
    return {
      request: { turn: { system: null, messages }, model: model ?? null },
      answer: isStreamed ? AS_EVENTS : WHOLE,
    };
  },
};

/** For dialects of text only. Turns without text are left out: the provider would refuse them. */
export function toMessages(
  turns: readonly { readonly role: string; readonly content: string }[],
): ChatMessage[] {
  const messages: ChatMessage[] = [];
  for (const { role, content: text } of turns) {
    const parts = [{ kind: 'text', text }] as const;
    if (TEXT.test(text)) messages.push({ role: role === 'user' ? 'user' : 'assistant', parts });
  }
  return messages;
}

const TEXT = /\S/;
const EVENTS = 'text/event-stream';

const prefersEvents = (request: Request) =>
  request.accepts(['application/json', EVENTS]) === EVENTS;

function toBody(
  { chunks, answeredBy, reason: finishReason, usage }: ChatReply,
  { requestId }: AnswerFacts,
): z.output<typeof chatReply> {
  const reply = chunks.map(textOf).join('');
  const model = modelThatAnswered(answeredBy);
  return { reply, model, finishReason, usage: toUsage(usage), requestId };
}

function toEvents({ requestId }: AnswerFacts): Frames {
  let model = '';
  return {
    headers: EVENT_STREAM,
    begin(answering) {
      model = answering;
      return '';
    },
    piece(chunk) {
      const text = textOf(chunk);
      return text === '' ? '' : toNamedEvent('delta', { text });
    },
    end: ({ reason, usage }) =>
      toNamedEvent('done', { model, finishReason: reason, usage: toUsage(usage), requestId }),
    fail: (error) => toNamedEvent('error', errorBody(error, requestId).error),
    keepAlive: COMMENT,
  };
}

/** The public shape has these three fields and no other. */
const toUsage = ({ inputTokens, outputTokens, totalTokens }: Usage) => ({
  inputTokens,
  outputTokens,
  totalTokens,
});

const WHOLE = { kind: 'whole', body: toBody } as const;
const AS_EVENTS = { kind: 'stream', frames: toEvents } as const;
