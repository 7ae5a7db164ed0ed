import { expect, test } from 'vitest';
import { ask, MODEL, read, STREAM, withStandin } from './with-standin.ts';

const KEYS = [{ key: 'g1', service: 'google' }] as const;

test('a unary call is answered whole, with its finish reason and usage', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const { status, body } = await read(ask(standin, { said: 'good day' }));
  expect(status).toBe(200);
  expect(body.candidates).toEqual([
    {
      content: { parts: [{ text: 'You said: good day' }], role: 'model' },
      finishReason: 'STOP',
      index: 0,
    },
  ]);
  expect(body.usageMetadata).toEqual({
    promptTokenCount: 2,
    candidatesTokenCount: 5,
    totalTokenCount: 7,
  });
  expect(body).toMatchObject({ modelVersion: MODEL, responseId: 'standin-1' });
});

test('a streamed call gets events ended by CRLF, the last with finish reason and usage', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const response = await ask(standin, { method: STREAM });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const events = (await response.text()).split('\r\n\r\n');
  expect(events.pop()).toBe('');
  const chunks = events.map((event) => JSON.parse(event.replace(/^data: /, '')));
  expect(chunks.map((chunk) => chunk.candidates[0].content.parts[0].text)).toEqual([
    'You s',
    'aid: ',
    'hello',
  ]);
  expect(chunks.map((chunk) => chunk.candidates[0].finishReason)).toEqual([
    undefined,
    undefined,
    'STOP',
  ]);
  expect(chunks.map((chunk) => chunk.usageMetadata?.totalTokenCount)).toEqual([
    undefined,
    undefined,
    6,
  ]);
});

test('a streamed call without alt=sse gets one JSON array', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const { body } = await read(ask(standin, { method: 'streamGenerateContent' }));
  expect(body).toHaveLength(3);
  expect(body[2].candidates[0].finishReason).toBe('STOP');
});

test('an answer has as many chunks as its key asks for, and no character is torn apart', async () => {
  const answer = { chunks: 20, text: 'Smile 😀😀😀' };
  const { standin } = await withStandin({ keys: [{ ...KEYS[0], answer }] });
  const text = await (await ask(standin, { method: STREAM })).text();
  const chunks = text.split('\r\n\r\n').slice(0, -1);
  expect(chunks).toHaveLength(20);
  const texts = chunks.map(
    (chunk) => JSON.parse(chunk.slice(6)).candidates[0].content.parts[0].text,
  );
  expect(texts.join('')).toBe('Smile 😀😀😀........');
  expect(texts.every((piece) => piece.isWellFormed())).toBe(true);
});

test('chunks leave when the clock says so, not a millisecond earlier', async () => {
  const answer = { chunks: 2, firstChunkMs: 500, chunkMs: 100, text: 'onetwo' };
  const { standin, clock } = await withStandin({ keys: KEYS, answer });
  const asked = ask(standin, { method: STREAM });
  await expect.poll(clock.pendingTimers, { interval: 1 }).toBe(1);
  clock.advance(499);
  expect(clock.pendingTimers()).toBe(1);
  expect(standin.calls[0]?.status).toBeNull();
  clock.advance(1);
  const reader = (await asked).body?.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader?.read())?.value).toContain('"one"');
  clock.advance(99);
  expect(clock.pendingTimers()).toBe(1);
  clock.advance(1);
  expect((await reader?.read())?.value).toContain('"two"');
  expect((await reader?.read())?.done).toBe(true);
});

test('a unary answer takes as long as its chunks would have taken', async () => {
  const answer = { chunks: 3, firstChunkMs: 500, chunkMs: 100 };
  const { standin, clock } = await withStandin({ keys: KEYS, answer });
  const asked = ask(standin);
  await expect.poll(clock.pendingTimers, { interval: 1 }).toBe(1);
  clock.advance(699);
  expect(clock.pendingTimers()).toBe(1);
  clock.advance(1);
  expect((await asked).status).toBe(200);
});

test('models are listed and read, and tokens counted', async () => {
  const { standin } = await withStandin({
    keys: KEYS,
    models: ['one', 'two'],
    embeddingModels: ['three'],
  });
  const headers = { 'x-goog-api-key': 'g1' };
  const { body } = await read(fetch(`${standin.url}/v1beta/models`, { headers }));
  expect(body.models.map((model: { name: string }) => model.name)).toEqual([
    'models/one',
    'models/two',
    'models/three',
  ]);
  const one = await read(fetch(`${standin.url}/v1/models/one`, { headers }));
  expect(one.body.name).toBe('models/one');
  const counted = await read(ask(standin, { model: 'two', method: 'countTokens' }));
  expect(counted.body).toEqual({ totalTokens: 2 });
});

test('a model that does not exist is a 404 that names the model and the API version', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const { status, body } = await read(ask(standin, { model: 'gemini-0' }));
  expect(status).toBe(404);
  expect(body.error.message).toMatch(
    /^models\/gemini-0 is not found for API version v1beta, or is not supported for generateContent\./,
  );
});

test('an unknown key is an invalid one, and no key at all is a 403', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const unknown = await read(ask(standin, { key: 'other' }));
  expect(unknown.status).toBe(400);
  expect(unknown.body.error.details[0].reason).toBe('API_KEY_INVALID');
  const missing = await read(ask(standin, { key: '' }));
  expect([missing.status, missing.body.error.status]).toEqual([403, 'PERMISSION_DENIED']);
});

test.each([
  ['is no JSON', '{', 'Invalid JSON payload received. Unexpected token.'],
  ['has an unknown field', '{"messages":[]}', 'Unknown name "messages": Cannot find field.'],
  ['has no contents', '{}', 'contents is not specified'],
  ['has a content without parts', '{"contents":[{"role":"user"}]}', 'contents[0].parts'],
  [
    'has a role that Google does not know',
    '{"contents":[{"role":"assistant","parts":[{"text":"x"}]}]}',
    'Please use a valid role: user, model.',
  ],
])('a body that %s is an invalid argument', async (_what, body, message) => {
  const { standin } = await withStandin({ keys: KEYS });
  const url = `${standin.url}/v1beta/models/${MODEL}:generateContent`;
  const headers = { 'x-goog-api-key': 'g1' };
  const answer = await read(fetch(url, { method: 'POST', headers, body }));
  expect([answer.status, answer.body.error.status]).toEqual([400, 'INVALID_ARGUMENT']);
  expect(answer.body.error.message).toContain(message);
});

test('an unknown path and a wrong verb are answered with a 404 page', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const headers = { 'x-goog-api-key': 'g1' };
  for (const path of ['/', '/v1beta/chat', `/v1beta/models/${MODEL}:generateContent`]) {
    const response = await fetch(standin.url + path, { headers });
    expect([response.status, response.headers.get('content-type')]).toEqual([
      404,
      'text/html; charset=UTF-8',
    ]);
  }
});
