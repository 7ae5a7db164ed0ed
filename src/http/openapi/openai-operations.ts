import { completionBody } from '../dialects/openai-request.ts';
import type { DescribedServer } from './described-server.ts';
import { OPENAIS } from './error-bodies.ts';
import { ANSWERED_BY } from './headers.ts';
import { CHUNKS, COMPLETION } from './openai-answers.ts';
import type { Examples, Operation } from './operation.ts';
import { refusals } from './refusals.ts';

export const openaiOperations = (server: DescribedServer): Operation[] => [
  {
    method: 'post',
    path: '/v1/chat/completions',
    id: 'createChatCompletion',
    tag: 'OpenAI',
    summary: 'Create a chat completion',
    description: 'Also at `/v1beta/openai/chat/completions`, as at Google.',
    security: ['clientToken', 'googleKey', 'keyInQuery'],
    body: { schemas: [completionBody], isRequired: true, examples: examplesFor(server) },
    answers: [
      {
        status: 200,
        description: 'The completion; with `"stream": true` in pieces, then `data: [DONE]`.',
        headers: ANSWERED_BY,
        content: [COMPLETION, CHUNKS],
      },
      ...refusals(
        [OPENAIS],
        [
          'invalid_request',
          'unauthorized',
          'model_unavailable',
          'method_not_allowed',
          'payload_too_large',
          'unsupported_media_type',
          'special_request_refused',
          'internal_error',
          'upstream_failed',
          'all_google_keys_exhausted',
          'no_google_keys_configured',
          'upstream_timeout',
        ],
      ),
    ],
  },
];

const HELLO = [{ role: 'user', content: 'Hello!' }];

const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

const examplesFor = ({ models: [model] }: DescribedServer): Examples => ({
  hello: { summary: 'A message', value: { model, messages: HELLO } },
  stream: {
    summary: 'In pieces, with the tokens',
    value: { model, messages: HELLO, stream: true, stream_options: { include_usage: true } },
  },
  settings: {
    summary: 'With instructions and settings',
    value: {
      model,
      messages: [{ role: 'system', content: 'Answer in one word.' }, ...HELLO],
      temperature: 0.2,
      max_completion_tokens: 100,
      reasoning_effort: 'low',
    },
  },
  tools: {
    summary: 'With a function that may be called',
    value: {
      model,
      messages: [{ role: 'user', content: 'How is the weather in Lisbon?' }],
      tools: [WEATHER],
      tool_choice: 'auto',
    },
  },
});
