import { z } from 'zod';
import { aiSdkBody } from '../dialects/ai-sdk.ts';
import { anamBody } from '../dialects/anam-llm.ts';
import { chatBody } from '../dialects/simple.ts';
import { EVENTS, REPLY, WORDS } from './chat-answers.ts';
import type { DescribedServer } from './described-server.ts';
import { OURS, SENTENCE } from './error-bodies.ts';
import { ANSWERED_BY } from './headers.ts';
import type { Examples, Operation, Parameter } from './operation.ts';
import { refusals } from './refusals.ts';

export function chatOperations(server: DescribedServer): Operation[] {
  const isLimited = server.chatPerMinute > 0;
  return [
    {
      method: 'post',
      path: '/api/chat',
      id: 'chat',
      tag: 'Chat',
      summary: 'Send a message and get its answer',
      description: DESCRIPTION,
      isLimited,
      parameters: [PROTOCOL],
      body: {
        schemas: [chatBody, aiSdkBody, anamBody],
        isRequired: true,
        examples: examplesFor(server),
      },
      answers: [
        {
          status: 200,
          description: ANSWERED,
          headers: ANSWERED_BY,
          content: [REPLY, EVENTS, WORDS],
        },
        ...refusals(
          [OURS, SENTENCE],
          [
            'invalid_request',
            'model_unavailable',
            'method_not_allowed',
            'payload_too_large',
            'unsupported_media_type',
            ...(isLimited ? (['rate_limited'] as const) : []),
            'special_request_refused',
            'internal_error',
            'upstream_failed',
            'upstream_timeout',
            'all_google_keys_exhausted',
            'no_google_keys_configured',
          ],
        ),
      ],
    },
    {
      method: 'get',
      path: '/api/chat/{id}/stream',
      id: 'resumeChat',
      tag: 'Chat',
      summary: 'See whether an answer is running that can be resumed',
      description:
        'What `useChat({resume: true})` asks at each page load. An answer ends with its connection, so that none can be resumed.',
      parameters: [CHAT_ID],
      answers: [
        { status: 204, description: 'None is running.' },
        ...refusals([OURS], ['method_not_allowed', 'internal_error']),
      ],
    },
  ];
}

const DESCRIPTION = `Three dialects, told apart by the shape of the body alone: our own, that of the AI SDK's \`useChat\`, and
that of Anam's example for a language model of one's own.

Our own answers as a stream of events with \`"stream": true\`, or, where the body does not say, with \`Accept: text/event-stream\`.
To the AI SDK the answer is a UI message stream, to Anam's it is plain text; to both an error is its sentence as \`text/plain\`.

Until the first words are out another key may step in. What fails before is an ordinary error with its status; what fails
afterwards is the stream's last event, or, in plain text, a connection that breaks. Close the connection to stop.`;

const ANSWERED = `The answer, whole or in pieces.

Events of our own are \`delta\` with the next words, then one \`done\`, or one \`error\` and nothing after it. Lines that begin
with \`:\` keep the connection open and mean nothing. \`x-events\` says what each event holds.`;

const CHAT_ID: Parameter = {
  name: 'id',
  in: 'path',
  description: "The chat's id, which the client has chosen. Any is accepted.",
  schema: z.string(),
  example: 'chat-1',
};

const PROTOCOL: Parameter = {
  name: 'protocol',
  in: 'query',
  description:
    "For the AI SDK's `TextStreamChatTransport`: the text alone. Other dialects pass it over.",
  schema: z.enum(['text']),
};

const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const userMessage = (...parts: readonly object[]) => ({ id: 'm1', role: 'user', parts });

const examplesFor = ({ models: [model] }: DescribedServer): Examples => ({
  message: { summary: 'A message', value: { message: 'Hello!' } },
  history: {
    summary: 'A message with what was said before',
    value: {
      message: 'And in winter?',
      history: [
        { role: 'user', content: 'Is Lisbon warm in summer?' },
        { role: 'assistant', content: 'Yes, very.' },
      ],
    },
  },
  stream: {
    summary: 'A message to a model, answered in events',
    value: { message: 'Hello!', model, stream: true },
  },
  aiSdk: {
    summary: 'From `useChat` of the AI SDK',
    value: {
      id: 'chat-1',
      trigger: 'submit-message',
      messages: [userMessage({ type: 'text', text: 'Hello!' })],
    },
  },
  aiSdkImage: {
    summary: 'From `useChat`, with an image',
    value: {
      messages: [
        userMessage(
          { type: 'text', text: 'What is this?' },
          { type: 'file', mediaType: 'image/png', url: PIXEL },
        ),
      ],
    },
  },
  anam: {
    summary: "From Anam's example for a language model of one's own",
    value: {
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'persona', content: 'Hello! I am Ada.' },
        { role: 'user', content: 'What can you do?' },
      ],
    },
  },
});
