import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { Chat } from '../services/chat.ts';
import type { CountTokens } from '../services/token-count.ts';
import type { Clock } from '../shared/clock.ts';
import { modelOf, type Target } from '../shared/target.ts';
import { callerOf } from './access.ts';
import { linked, readJsonBody } from './body.ts';
import { answerChat } from './chat-route.ts';
import { ANTHROPIC_ERRORS, anthropic } from './dialects/anthropic.ts';
import { readCountRequest } from './dialects/anthropic-request.ts';
import { sendJson } from './reply.ts';
import { jsonAnswer, type Route } from './route.ts';

export interface AnthropicRoutesOptions {
  readonly chatTargets: readonly Target[];
  readonly clock: Clock;
  /** Without our own system prompt. */
  readonly completions: Chat;
  readonly countTokens: CountTokens;
  readonly maxBodyBytes: number;
}

const ANTHROPIC = 'https://platform.claude.com/docs/en/api';

/** The routes of Anthropic's protocol, except the list of models. */
export function anthropicRoutes(options: AnthropicRoutesOptions): Route[] {
  const [model] = options.chatTargets.map(modelOf);
  const readBody = readJsonBody(options.maxBodyBytes);
  const asked = { model, messages: [{ role: 'user', content: 'Hello!' }] };
  const hello = { ...asked, max_tokens: 1024 };
  const common = {
    method: 'post',
    tag: 'Anthropic',
    auth: 'client',
    usesKeys: true,
    errors: ['model_unavailable', 'rate_limited'],
    errorForms: [ANTHROPIC_ERRORS],
  } as const;
  return [
    {
      ...common,
      path: '/v1/messages',
      id: 'createMessage',
      summary: 'Create a message',
      description:
        'A parameter that would change the answer and is not supported is refused by name. A stream without its first piece after ten seconds sends its status 200 and an event `ping`; a later failure is an event `error`.',
      body: {
        schema: linked('MessageRequest', `${ANTHROPIC}/messages/create`),
        examples: {
          hello: { value: hello },
          stream: { summary: 'In events', value: { ...hello, stream: true } },
          tools: {
            summary: 'With a tool that may be called',
            value: { ...hello, tools: [{ name: 'weather', input_schema: { type: 'object' } }] },
          },
        },
      },
      answer: {
        description: 'The message; with `"stream": true` in events, the last one `message_stop`.',
        content: {
          'application/json': linked('Message', `${ANTHROPIC}/messages/create`),
          'text/event-stream': z
            .string()
            .meta({ description: `[Reference](${ANTHROPIC}/messages-streaming)` }),
        },
        saysWhoAnswered: true,
      },
      handlers: [readBody, answerChat(options.completions, () => anthropic, options.clock)],
    },
    {
      ...common,
      path: '/v1/messages/count_tokens',
      id: 'countMessageTokens',
      summary: 'Count the input tokens of a message',
      description: 'It uses no quota, and works while all quota is spent.',
      body: {
        schema: linked('CountTokensRequest', `${ANTHROPIC}/messages-count-tokens`),
        examples: { hello: { value: asked } },
      },
      answer: jsonAnswer('As Google counts them.', z.strictObject({ input_tokens: z.int() })),
      handlers: [readBody, countRoute(options.countTokens)],
    },
  ];
}

const countRoute = (countTokens: CountTokens): RequestHandler =>
  async function postCount({ body }, response) {
    const { turn, model } = readCountRequest(body);
    sendJson(response, 200, { input_tokens: await countTokens(turn, model, callerOf(response)) });
  };
