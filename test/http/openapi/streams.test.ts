import { expect, it } from 'vitest';
import type { Fault } from '../../../standin/fault.ts';
import { readDocument } from '../../support/documented.ts';
import { CLIENT_TOKEN, MODEL, startForPrograms } from '../../support/programs.ts';
import { send } from '../../support/send.ts';

const { operations, misfitsOfAnswer } = readDocument({
  models: [MODEL],
  servesPrograms: true,
  servesAdmin: false,
  allowClientPersona: false,
  chatPerMinute: 0,
  sessionsPerMinute: 0,
});

const COMPLETIONS = '/v1/chat/completions';
const STREAM = '/v1beta/models/{model}:streamGenerateContent';
const SAID = [{ role: 'user', content: 'Hi' }];
const PARTS = [{ role: 'user', parts: [{ type: 'text', text: 'Hi' }] }];
const CONTENTS = [{ role: 'user', parts: [{ text: 'Hi' }] }];
const WEATHER = { type: 'function', function: { name: 'weather' } };

const ERROR: Fault = { kind: 'error_mid_stream' };
const CALLS = { functionCalls: [{ name: 'weather', args: { city: 'Lisbon' } }] };

it.each<[string, string, string, object]>([
  ['our own', '/api/chat', '', { message: 'Hi', stream: true }],
  ['the AI SDK', '/api/chat', '', { messages: PARTS }],
  ['OpenAI', COMPLETIONS, '', { model: MODEL, messages: SAID, stream: true }],
  ['Gemini', STREAM, '?alt=sse', { contents: CONTENTS }],
])(
  'a stream that ends in an error holds the documented events (%s)',
  async (_, path, query, body) => {
    const app = await startForPrograms(ERROR);
    const answer = await ask(app, path, query, body);
    expect(answer.text).toMatch(/error/i);
    expect([answer.status, misfits(path, answer)]).toEqual([200, []]);
  },
);

it.each([false, true])('a call of a tool is as documented (stream: %s)', async (stream) => {
  const app = await startForPrograms(null, CALLS);
  const answer = await ask(app, COMPLETIONS, '', {
    model: MODEL,
    messages: SAID,
    tools: [WEATHER],
    stream,
  });
  expect(answer.text).toContain('"name":"weather"');
  expect([answer.status, misfits(COMPLETIONS, answer)]).toEqual([200, []]);
});

const ask = (
  app: Awaited<ReturnType<typeof startForPrograms>>,
  path: string,
  query: string,
  body: object,
) =>
  send(app, `${path.replace('{model}', MODEL)}${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${CLIENT_TOKEN}` },
    body: JSON.stringify(body),
  });

function misfits(path: string, answer: Parameters<typeof misfitsOfAnswer>[1]): string[] {
  const found = operations.find((one) => one.path === path);
  return found === undefined ? ['undocumented'] : misfitsOfAnswer(found.operation, answer);
}
