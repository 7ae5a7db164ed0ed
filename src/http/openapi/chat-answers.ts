import { z } from 'zod';
import { ERROR_CODES } from '../errors.ts';
import type { Content } from './operation.ts';

const REQUEST_ID = '0b2c1d9e-5f1a-4c1e-9d8e-3c7f3a0f6a51';
const USAGE = { inputTokens: 3, outputTokens: 7, totalTokens: 10 };

const count = z.int().min(0);
const usage = z.strictObject({ inputTokens: count, outputTokens: count, totalTokens: count });
const finishReason = z.enum(['stop', 'length', 'content-filter', 'other']);

const finish = { model: z.string(), finishReason, usage, requestId: z.string() };

const chatReply = z
  .strictObject({
    reply: z.string().meta({ description: 'May be empty, where no word was said.' }),
    ...finish,
  })
  .meta({ title: 'ChatReply' });

const delta = z.strictObject({ text: z.string() }).meta({ title: 'ChatDelta' });
const done = z.strictObject(finish).meta({ title: 'ChatDone' });
const failed = z
  .strictObject({ code: z.enum(ERROR_CODES), message: z.string(), requestId: z.string() })
  .meta({ title: 'ChatFailed', description: 'The last of all events, in place of `done`.' });

const about = z.strictObject({ model: z.string(), requestId: z.string() });
const oneText = z.literal('text');

/** https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol */
const uiMessageChunk = z
  .union([
    z.strictObject({ type: z.literal('start'), messageMetadata: about }),
    z.strictObject({ type: z.enum(['start-step', 'finish-step']) }),
    z.strictObject({ type: z.enum(['text-start', 'text-end']), id: oneText }),
    z.strictObject({ type: z.literal('text-delta'), id: oneText, delta: z.string() }),
    z.strictObject({
      type: z.literal('finish'),
      finishReason,
      messageMetadata: about.extend({ usage }),
    }),
    z.strictObject({ type: z.literal('error'), errorText: z.string() }),
    z.literal('[DONE]'),
  ])
  .meta({ title: 'UiMessageChunk', description: 'What the AI SDK reads; the last is `[DONE]`.' });

const ABOUT = { model: 'gemini-flash-latest', requestId: REQUEST_ID };
const FINISH = { finishReason: 'stop', usage: USAGE };

export const REPLY: Content = {
  type: 'application/json',
  schema: chatReply,
  examples: { reply: { value: { reply: 'Hi! How can I help?', ...FINISH, ...ABOUT } } },
};

const event = (name: string, data: object) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const chunk = (data: object) => `data: ${JSON.stringify(data)}\n\n`;

export const EVENTS: Content = {
  type: 'text/event-stream',
  schema: z.string(),
  events: { delta, done, error: failed, message: uiMessageChunk },
  examples: {
    events: {
      summary: 'Our own events',
      value:
        event('delta', { text: 'Hi! How' }) +
        event('delta', { text: ' can I help?' }) +
        event('done', { ...FINISH, ...ABOUT }),
    },
    brokenOff: {
      summary: 'An answer that broke off',
      value:
        event('delta', { text: 'Hi! How' }) +
        event('error', {
          code: 'upstream_failed',
          message: 'The answer broke off. Please try again.',
          requestId: REQUEST_ID,
        }),
    },
    uiMessageStream: {
      summary: "The AI SDK's UI message stream",
      value: `${[
        { type: 'start', messageMetadata: ABOUT },
        { type: 'start-step' },
        { type: 'text-start', id: 'text' },
        { type: 'text-delta', id: 'text', delta: 'Hi! How can I help?' },
        { type: 'text-end', id: 'text' },
        { type: 'finish-step' },
        { type: 'finish', finishReason: 'stop', messageMetadata: { ...ABOUT, usage: USAGE } },
      ]
        .map(chunk)
        .join('')}data: [DONE]\n\n`,
    },
  },
};

export const WORDS: Content = {
  type: 'text/plain',
  schema: z.string(),
  examples: { words: { value: 'Hi! How can I help?' } },
};
