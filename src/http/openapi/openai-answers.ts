import { z } from 'zod';
import { OPENAIS } from './error-bodies.ts';
import type { Content } from './operation.ts';

const count = z.int().min(0);
const usage = z.strictObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
});
const finishReason = z.enum(['stop', 'length', 'tool_calls', 'content_filter']);

const toolCall = z.strictObject({
  id: z.string(),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string(), arguments: z.string() }),
  extra_content: z
    .strictObject({ google: z.strictObject({ thought_signature: z.string() }) })
    .optional()
    .meta({ description: 'Should come back with the call.' }),
});

const identity = { id: z.string(), created: z.int(), model: z.string() };

const completion = z
  .strictObject({
    ...identity,
    object: z.literal('chat.completion'),
    choices: z.tuple([
      z.strictObject({
        index: z.literal(0),
        message: z.strictObject({
          role: z.literal('assistant'),
          content: z.string().nullable(),
          refusal: z.null(),
          tool_calls: z.array(toolCall).optional(),
        }),
        logprobs: z.null(),
        finish_reason: finishReason,
      }),
    ]),
    usage,
  })
  .meta({ title: 'ChatCompletion' });

const delta = z.strictObject({
  role: z.literal('assistant').optional(),
  content: z.string().optional(),
  tool_calls: z.array(toolCall.extend({ index: count })).optional(),
});

const chunk = z
  .strictObject({
    ...identity,
    object: z.literal('chat.completion.chunk'),
    choices: z
      .array(z.strictObject({ index: z.literal(0), delta, finish_reason: finishReason.nullable() }))
      .max(1),
    usage: usage.nullish(),
  })
  .meta({ title: 'ChatCompletionChunk' });

const openaiModel = z
  .strictObject({
    id: z.string(),
    object: z.literal('model'),
    created: z.int(),
    owned_by: z.string(),
  })
  .meta({ title: 'OpenaiModel' });

const openaiModels = z
  .strictObject({ object: z.literal('list'), data: z.array(openaiModel) })
  .meta({ title: 'OpenaiModels' });

const IDENTITY = { id: 'chatcmpl-0b2c', created: 1_764_007_200, model: 'gemini-flash-latest' };
const WORDS = 'Hi! How can I help?';

export const COMPLETION: Content = {
  type: 'application/json',
  schema: completion,
  examples: {
    completion: {
      value: {
        ...IDENTITY,
        object: 'chat.completion',
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: WORDS, refusal: null },
            logprobs: null,
            finish_reason: 'stop',
          },
        ],
        usage: { prompt_tokens: 3, completion_tokens: 7, total_tokens: 10 },
      },
    },
  },
};

const sampleChunk = (said: object, reason: string | null = null) =>
  `data: ${JSON.stringify({
    ...IDENTITY,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta: said, finish_reason: reason }],
  })}\n\n`;

export const CHUNKS: Content = {
  type: 'text/event-stream',
  schema: z.string(),
  events: {
    message: z
      .union([chunk, OPENAIS.schema, z.literal('[DONE]')])
      .meta({ description: 'The next piece; an error in place of the end; `[DONE]` at the end.' }),
  },
  examples: {
    chunks: {
      value: `${[
        sampleChunk({ role: 'assistant', content: '' }),
        sampleChunk({ content: WORDS }),
        sampleChunk({}, 'stop'),
      ].join('')}data: [DONE]\n\n`,
    },
  },
};

const MODEL = {
  id: IDENTITY.model,
  object: 'model',
  created: IDENTITY.created,
  owned_by: 'google',
};

export const OPENAI_MODELS: Content = {
  type: 'application/json',
  schema: openaiModels,
  examples: { openai: { value: { object: 'list', data: [MODEL] } } },
};

export const OPENAI_MODEL: Content = {
  type: 'application/json',
  schema: openaiModel,
  examples: { openai: { value: MODEL } },
};
