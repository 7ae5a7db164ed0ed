import { expect, test } from 'vitest';
import type { AnswerShape } from '../../standin/standin.ts';
import { type Ask, ask, eventsOf, type Json, read, STREAM, withStandin } from './with-standin.ts';

const RAIN = { name: 'rain', args: { city: 'Oslo', days: 2 } };
const WIND = { name: 'wind', args: {} };

const TOOLS = { tools: [{ googleSearch: {} }, { functionDeclarations: [{ name: 'rain' }] }] };
const user = (...parts: Json[]) => ({ role: 'user', parts });
const model = (...parts: Json[]) => ({ role: 'model', parts });
const resultOf = (name: string) => ({ functionResponse: { name, response: { mm: 3 } } });
const CALLED = { functionCall: RAIN, thoughtSignature: 'c2lnbmVk' };

const startCalling = (answer: AnswerShape = {}) =>
  withStandin({
    keys: [{ key: 'g1', service: 'google' }],
    answer: { functionCalls: [RAIN, WIND], ...answer },
  });

const partsOf = ({ candidates }: Json): Json[] => candidates[0].content.parts;

test('each function call is one event; the first has the signature, the last the finish reason', async () => {
  const { standin } = await startCalling();
  const events = eventsOf(await (await ask(standin, { method: STREAM, body: TOOLS })).text());
  expect(events.map(partsOf)).toEqual([
    [{ functionCall: RAIN, thoughtSignature: expect.stringMatching(/^[A-Za-z0-9+/]+={0,2}$/) }],
    [{ functionCall: WIND }],
  ]);
  expect(events.map((event) => event.candidates[0].finishReason)).toEqual([undefined, 'STOP']);
  expect(events[0]).not.toHaveProperty('usageMetadata');
  expect(events[1].usageMetadata).toEqual({
    promptTokenCount: 2,
    candidatesTokenCount: 18,
    totalTokenCount: 20,
  });
});

test('a text that was chosen comes before the calls, in its chunks', async () => {
  const { standin } = await startCalling({ text: 'onetwo', chunks: 2 });
  const events = eventsOf(await (await ask(standin, { method: STREAM, body: TOOLS })).text());
  expect(events.map((event) => Object.values(partsOf(event)[0])[0])).toEqual([
    'one',
    'two',
    RAIN,
    WIND,
  ]);
});

test('a unary answer has its text and all its calls in one', async () => {
  const { standin } = await startCalling({ text: 'onetwo', chunks: 2 });
  const { body } = await read(ask(standin, { body: TOOLS }));
  expect(partsOf(body)).toMatchObject([
    { text: 'onetwo' },
    { functionCall: RAIN, thoughtSignature: expect.any(String) },
    { functionCall: WIND },
  ]);
  expect(body.candidates[0].finishReason).toBe('STOP');
});

test.each<[string, Ask['body'], string]>([
  ['has no tools', {}, 'You said: hello'],
  ['offers no functions', { tools: [{ googleSearch: {} }] }, 'You said: hello'],
  ['has an empty list of functions', { tools: [{ functionDeclarations: [] }] }, 'You said: hello'],
  [
    'ends with the result of a function',
    {
      ...TOOLS,
      contents: [user({ text: 'hi' }), model(CALLED), user(resultOf('rain'), { text: 'so?' })],
    },
    'You said: so?',
  ],
])('a request that %s is answered with text', async (_what, body = {}, text) => {
  const { standin } = await startCalling();
  expect(partsOf((await read(ask(standin, { body }))).body)).toEqual([{ text }]);
});

test.each<[string, Ask['body']]>([
  ['in snake case', { tools: [{ function_declarations: [{ name: 'rain' }] }] }],
  [
    'after a result and one more message',
    {
      ...TOOLS,
      contents: [
        user({ text: 'hi' }),
        model(CALLED),
        user(resultOf('rain')),
        model({ text: 'rain' }),
        user({ text: 'and tomorrow?' }),
      ],
    },
  ],
])('functions offered %s are called', async (_what, body = {}) => {
  const { standin } = await startCalling();
  const { body: answer } = await read(ask(standin, { body }));
  expect(partsOf(answer)).toMatchObject([{ functionCall: RAIN }, { functionCall: WIND }]);
});

test('an answer without function calls is text, whatever was offered', async () => {
  const { standin } = await startCalling({ functionCalls: [] });
  const { body } = await read(ask(standin, { body: TOOLS }));
  expect(partsOf(body)).toEqual([{ text: 'You said: hello' }]);
});

test.each<[string, Json]>([
  ['no signature', { functionCall: RAIN }],
  ['an empty signature', { functionCall: RAIN, thoughtSignature: '' }],
  ['no signature, in snake case', { function_call: RAIN }],
])('a function call with %s is refused', async (_what, part) => {
  const { standin } = await startCalling();
  const contents = [user({ text: 'hi' }), model({ text: 'well' }, part), user(resultOf('rain'))];
  const { status, body } = await read(ask(standin, { body: { contents } }));
  expect([status, body.error.status]).toEqual([400, 'INVALID_ARGUMENT']);
  expect(body.error.message).toBe(
    'Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance.',
  );
});

test.each<[string, Json[]]>([
  ['any signature', [CALLED]],
  [
    'the word that skips the check, in snake case',
    [{ function_call: RAIN, thought_signature: 'skip_thought_signature_validator' }],
  ],
  ['the signature of the call before it', [CALLED, { functionCall: WIND }]],
])('a function call with %s is taken', async (_what, parts) => {
  const { standin } = await startCalling();
  const contents = [user({ text: 'hi' }), model(...parts), user(resultOf('rain'))];
  expect((await ask(standin, { body: { contents } })).status).toBe(200);
});

test('each content needs its own signature', async () => {
  const { standin } = await startCalling();
  const second = model({ functionCall: WIND });
  const contents = [user({ text: 'hi' }), model(CALLED), user(resultOf('rain')), second];
  expect((await ask(standin, { body: { contents } })).status).toBe(400);
});

test('a function call that is not the model’s needs no signature', async () => {
  const { standin } = await startCalling();
  const contents = [user({ functionCall: RAIN }), user({ text: 'hi' })];
  expect((await ask(standin, { body: { contents } })).status).toBe(200);
});

test.each<[string, Json[]]>([
  ['that was not called', [model(CALLED), user(resultOf('wind'))]],
  ['that is called only later', [user(resultOf('rain')), model(CALLED)]],
  ['without a name', [model(CALLED), user({ functionResponse: { response: {} } })]],
  ['in snake case that was not called', [user({ function_response: { name: 'rain' } })]],
])('the result of a function %s is refused', async (_what, turns) => {
  const { standin } = await startCalling();
  const contents = [user({ text: 'hi' }), ...turns];
  const { status, body } = await read(ask(standin, { body: { contents } }));
  expect([status, body.error.status]).toEqual([400, 'INVALID_ARGUMENT']);
  expect(body.error.message).toBe(
    'Please ensure that function response turn comes immediately after a function call turn.',
  );
});

test('what the stand-in answers can be sent back to it, with the results', async () => {
  const { standin } = await startCalling();
  const { body } = await read(ask(standin, { body: TOOLS }));
  const results = user(resultOf('rain'), resultOf('wind'));
  const contents = [user({ text: 'hello' }), body.candidates[0].content, results];
  const answer = await read(ask(standin, { body: { ...TOOLS, contents } }));
  expect(partsOf(answer.body)).toEqual([{ text: 'You said: ' }]);
});
