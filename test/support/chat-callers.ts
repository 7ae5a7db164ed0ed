import { eventsIn } from './events.ts';
import { CLIENT_TOKEN, MODEL } from './programs.ts';
import { type Answered, send } from './send.ts';
import type { App } from './start-app.ts';

/** What a caller has understood of an answer. */
interface Understood {
  readonly text: string;
  readonly finish: string;
  readonly tokens: number;
}

/** One of the ways to ask for an answer to "Hi". */
export interface Caller {
  readonly path: string;
  readonly request: RequestInit & { readonly headers: Record<string, string> };
  read(text: string): Understood;
}

const caller = (
  path: string,
  body: object,
  read: Caller['read'],
  headers: Record<string, string> = {},
): Caller => ({
  path,
  request: {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  },
  read,
});

const COMPLETION = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
const BEARER = { authorization: `Bearer ${CLIENT_TOKEN}` };

/** Of those that get our own form of the answer. */
export const CALLERS = {
  chat: caller('/api/chat', { message: 'Hi' }, (text) => {
    const { reply, finishReason, usage } = JSON.parse(text);
    return { text: reply, finish: finishReason, tokens: usage.totalTokens };
  }),
  'chat, streamed': caller('/api/chat', { message: 'Hi', stream: true }, (text) => {
    const events = eventsIn(text);
    const { finishReason, usage } = events.at(-1)?.data ?? {};
    const deltas = events.filter(({ event }) => event === 'delta');
    return {
      text: deltas.map(({ data }) => data.text).join(''),
      finish: finishReason,
      tokens: usage?.totalTokens,
    };
  }),
  completion: caller(
    '/v1/chat/completions',
    COMPLETION,
    (text) => {
      const { choices, usage } = JSON.parse(text);
      const [{ message, finish_reason: finish }] = choices;
      return { text: message.content, finish, tokens: usage.total_tokens };
    },
    BEARER,
  ),
  'completion, streamed': caller(
    '/v1/chat/completions',
    { ...COMPLETION, stream: true, stream_options: { include_usage: true } },
    (text) => {
      const chunks = eventsIn(text).flatMap(({ data }) => (data === '[DONE]' ? [] : [data]));
      const choices = chunks.flatMap((chunk) => chunk.choices ?? []);
      return {
        text: choices.map(({ delta }) => delta.content ?? '').join(''),
        finish: choices.find((choice) => choice.finish_reason)?.finish_reason,
        tokens: chunks.find(({ usage }) => usage)?.usage.total_tokens,
      };
    },
    BEARER,
  ),
} as const satisfies Record<string, Caller>;

/** In Gemini's own protocol, whose answer comes back byte for byte. */
export const GEMINI_CALLER: Caller = caller(
  `/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`,
  { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
  (text) => ({ text, finish: '', tokens: 0 }),
  { 'x-goog-api-key': CLIENT_TOKEN },
);

export const ask = (app: App, { path, request }: Caller, stepMs?: number): Promise<Answered> =>
  send(app, path, request, stepMs);
