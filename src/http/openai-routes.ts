import { z } from 'zod';
import type { Chat } from '../services/chat.ts';
import type { Embed } from '../services/embeddings.ts';
import type { Clock } from '../shared/clock.ts';
import { modelOf, type Target } from '../shared/target.ts';
import { linked, readJsonBody } from './body.ts';
import { answerChat } from './chat-route.ts';
import { OPENAI_ERRORS, openai } from './dialects/openai.ts';
import { answerEmbeddings } from './dialects/openai-embeddings.ts';
import { responses } from './dialects/responses.ts';
import type { Answer, Route } from './route.ts';

export interface OpenaiRoutesOptions {
  readonly chatTargets: readonly Target[];
  readonly embeddingTargets: readonly Target[];
  readonly clock: Clock;
  /** Without our own system prompt, which is for the web chat. */
  readonly completions: Chat;
  readonly embed: Embed;
  readonly maxBodyBytes: number;
}

const REFERENCE = 'https://platform.openai.com/docs/api-reference';

/** The routes of OpenAI's protocol, except the list of models. */
export function openaiRoutes(options: OpenaiRoutesOptions): Route[] {
  const { completions, embed, clock } = options;
  const [model] = options.chatTargets.map(modelOf);
  const [embeddingModel] = options.embeddingTargets.map(modelOf);
  const hello = { model, messages: HELLO };
  const readBody = readJsonBody(options.maxBodyBytes);
  const common = {
    method: 'post',
    tag: 'OpenAI',
    auth: 'client',
    usesKeys: true,
    errors: ['model_unavailable', 'rate_limited'],
    errorForms: [OPENAI_ERRORS],
  } as const;
  return [
    {
      ...common,
      path: '/v1/chat/completions',
      id: 'createChatCompletion',
      summary: 'Create a chat completion',
      description: COMPLETIONS,
      body: {
        schema: linked('ChatCompletionRequest', `${REFERENCE}/chat/create`),
        examples: {
          hello: { value: hello },
          stream: {
            summary: 'In pieces, with the tokens',
            value: { ...hello, stream: true, stream_options: { include_usage: true } },
          },
          tools: {
            summary: 'With a function that may be called',
            value: { ...hello, tools: [WEATHER] },
          },
        },
      },
      answer: {
        description: 'The completion; with `"stream": true` in pieces, then `data: [DONE]`.',
        ...chatAnswer('ChatCompletion', 'chat/object', 'chat-streaming'),
      },
      handlers: [readBody, answerChat(completions, () => openai, clock)],
    },
    {
      ...common,
      path: '/v1/responses',
      id: 'createResponse',
      summary: 'Create a response',
      description: RESPONSES,
      body: {
        schema: linked('ResponseRequest', `${REFERENCE}/responses/create`),
        examples: {
          hello: { value: { model, input: 'Hello!' } },
          stream: { summary: 'As events', value: { model, input: HELLO, stream: true } },
        },
      },
      answer: {
        description: 'The response; with `"stream": true` as events.',
        ...chatAnswer('Response', 'responses/object', 'responses-streaming'),
      },
      handlers: [readBody, answerChat(completions, () => responses, clock)],
    },
    {
      ...common,
      path: '/v1/embeddings',
      id: 'createEmbeddings',
      summary: 'Create embeddings',
      description: EMBEDDINGS,
      body: {
        schema: linked('EmbeddingRequest', `${REFERENCE}/embeddings/create`),
        examples: {
          text: { value: { model: embeddingModel, input: 'Hello!' } },
          texts: {
            summary: 'Several texts, 768 numbers each, in base64',
            value: {
              model: embeddingModel,
              input: ['Hello!', 'Bye!'],
              dimensions: 768,
              encoding_format: 'base64',
            },
          },
        },
      },
      answer: {
        description: 'An embedding for each text, in the order of the texts.',
        content: { 'application/json': linked('EmbeddingList', `${REFERENCE}/embeddings/object`) },
        saysWhoAnswered: true,
      },
      handlers: [readBody, answerEmbeddings(embed)],
    },
  ];
}

const HELLO = [{ role: 'user', content: 'Hello!' }];
const WEATHER = { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } };

const chatAnswer = (id: string, whole: string, streamed: string): Omit<Answer, 'description'> => ({
  content: {
    'application/json': linked(id, `${REFERENCE}/${whole}`),
    'text/event-stream': z.string().meta({ description: `[Reference](${REFERENCE}/${streamed})` }),
  },
  saysWhoAnswered: true,
});

const COMPLETIONS =
  'Also at `/v1beta/openai/chat/completions`, as at Google. A parameter that would change the answer and is not supported is refused by name. A stream without its first piece after ten seconds sends its status 200; a later failure is an event with `error`.';

const RESPONSES =
  'Also at `/v1beta/openai/responses`. The server stores no response, so it refuses a `previous_response_id`. A parameter that would change the answer and is not supported is refused by name.';

const EMBEDDINGS =
  'Also at `/v1beta/openai/embeddings`, as at Google. `input` is a text or a list of at most 100 texts: Google takes no more in one call, and counts each as a request. Lists of tokens are refused. Where Google counts no tokens, `usage` is an estimate.';
