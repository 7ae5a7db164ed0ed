import { once } from 'node:events';
import { connect } from 'node:net';
import { Chat } from '@ai-sdk/react';
import * as current from 'ai';
import { describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import type { AnswerShape } from '../../standin/standin-key.ts';
import { AI_CLIENTS, type AiClient } from '../support/ai-clients.ts';
import { eventsIn } from '../support/events.ts';
import { type App, flow, shareApp, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const MODEL = 'gemini-flash-latest';
const WORDS = { chunks: 3, text: 'one two three' };
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const settingWith = (fault: Fault | null, answer: AnswerShape = WORDS, environment = {}) => ({
  environment: { GOOGLE_API_KEY: 'g-one', ...environment },
  standin: {
    answer,
    keys: [{ key: 'g-one', service: 'google' as const, ...(fault === null ? {} : { fault }) }],
  },
});
const startWith = (...setting: Parameters<typeof settingWith>) => startApp(settingWith(...setting));
const shared = shareApp(settingWith(null));

const userSays = (text: string) => ({
  id: 'm1',
  role: 'user' as const,
  parts: [{ type: 'text' as const, text }],
});

const bodyOf = (...messages: readonly object[]) => ({
  id: 'chat-1',
  messages,
  trigger: 'submit-message',
});

const post = (app: App, body: object, query = '') =>
  flow(app.clock, app.post(`/api/chat${query}`, body));

const TURN = {
  chatId: 'chat-1',
  messageId: undefined,
  trigger: 'submit-message',
  messages: [userSays('Hi')],
  abortSignal: undefined,
} as const;

/** The last state of a client's message. */
async function readWith({ DefaultChatTransport, readUIMessageStream }: AiClient, app: App) {
  const transport = new DefaultChatTransport({ api: `${app.url}/api/chat` });
  const stream = await transport.sendMessages({ ...TURN, messages: [...TURN.messages] });
  let message: unknown;
  for await (const state of readUIMessageStream({ stream, terminateOnError: true })) {
    message = state;
  }
  return message;
}

describe.each(AI_CLIENTS)('%s', (_name, client) => {
  it('reads an answer with its text, model and usage', async () => {
    const app = shared();
    const message = await whileTimePasses(app.clock, readWith(client, app));
    expect(message).toMatchObject({
      role: 'assistant',
      parts: [{ type: 'step-start' }, { type: 'text', text: 'one two three', state: 'done' }],
      metadata: {
        model: MODEL,
        requestId: expect.any(String),
        usage: { inputTokens: 1, outputTokens: 4, totalTokens: 5 },
      },
    });
  });

  it.each(['cut_mid_stream', 'error_mid_stream'] as const)(
    'throws when the answer is interrupted (%s)',
    async (kind) => {
      const app = await startWith({ kind }, { ...WORDS, chunkMs: 10 });
      const read = whileTimePasses(app.clock, readWith(client, app), 100);
      await expect(read).rejects.toThrow(/again/);
    },
  );

  it('waits for an answer whose first words are late, and throws when none come', async () => {
    const app = await startWith(null, { ...WORDS, firstChunkMs: 100_000 });
    expect(await whileTimePasses(app.clock, readWith(client, app), 1000)).toMatchObject({
      parts: [{ type: 'step-start' }, { type: 'text', text: 'one two three', state: 'done' }],
      metadata: { model: MODEL },
    });
    app.standin.setFault('g-one', { kind: 'hang' });
    const read = whileTimePasses(app.clock, readWith(client, app), 1000);
    await expect(read).rejects.toThrow(/in time/);
  });

  it('throws the sentence of a refusal', async () => {
    const app = await startWith({ kind: 'day_spent' });
    const read = whileTimePasses(app.clock, readWith(client, app));
    await expect(read).rejects.toThrow(
      /^I'm experiencing high demand right now\. Please try again in a few minutes\.$/,
    );
  });

  it('reads a blocked answer, and one without text', async () => {
    const app = await startWith({ kind: 'blocked_prompt' });
    expect(await whileTimePasses(app.clock, readWith(client, app))).toMatchObject({
      parts: [{ type: 'step-start' }, { text: expect.stringMatching(/different way/) }],
    });
    app.standin.setFault('g-one', { kind: 'tokens_spent' });
    expect(await whileTimePasses(app.clock, readWith(client, app))).toMatchObject({
      parts: [{ type: 'step-start' }],
    });
  });

  it('reads a generated image in its place, also where there is no text', async () => {
    const image = { inlineData: { mimeType: 'image/png', data: PIXEL } };
    const file = { type: 'file', mediaType: 'image/png', url: `data:image/png;base64,${PIXEL}` };
    const text = (words: string) => ({ type: 'text', text: words, state: 'done' });
    const answerWith = (parts: readonly object[]): Fault => ({
      ...{ kind: 'raw', status: 200, headers: { 'content-type': 'text/event-stream' } },
      body: `data: ${JSON.stringify({ candidates: [{ content: { parts }, finishReason: 'STOP' }] })}\n\n`,
    });
    const app = await startWith(answerWith([{ text: 'See: ' }, image, { text: 'Like it?' }]));
    expect(await whileTimePasses(app.clock, readWith(client, app))).toMatchObject({
      parts: [{ type: 'step-start' }, text('See: '), file, text('Like it?')],
    });
    app.standin.setFault('g-one', answerWith([image]));
    expect(await whileTimePasses(app.clock, readWith(client, app))).toMatchObject({
      parts: [{ type: 'step-start' }, file],
    });
  });

  it('that resumes a chat at a page load gets no stream', async () => {
    const app = shared();
    const transport = new client.DefaultChatTransport({ api: `${app.url}/api/chat` });
    const path = encodeURIComponent('a b/c?d');
    expect(await transport.reconnectToStream({ chatId: path })).toBeNull();
    expect(app.standin.calls).toEqual([]);
  });

  it('reads plain text with ?protocol=text', async () => {
    const app = shared();
    const transport = new client.TextStreamChatTransport({
      api: `${app.url}/api/chat?protocol=text`,
    });
    const stream = await transport.sendMessages({ ...TURN, messages: [...TURN.messages] });
    let text = '';
    const read = async () => {
      for await (const part of stream) if ('delta' in part) text += part.delta;
    };
    await whileTimePasses(app.clock, read());
    expect(text).toBe('one two three');
  });
});

/** The parts of `useChat` that work without a page. */
function startChat(app: App) {
  const finished: { finishReason?: string | undefined; isError: boolean; isAbort: boolean }[] = [];
  const chat = new Chat({
    transport: new current.DefaultChatTransport({ api: `${app.url}/api/chat` }),
    onFinish: ({ finishReason, isError, isAbort }) =>
      void finished.push({ finishReason, isError, isAbort }),
  });
  const lastText = () =>
    chat.lastMessage?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  return { chat, finished, lastText };
}

describe('useChat', () => {
  it('is ready after the answer, and sends the history with the next message', async () => {
    const app = shared();
    const { chat, finished, lastText } = startChat(app);
    await whileTimePasses(app.clock, chat.sendMessage({ text: 'Hi' }));
    expect([chat.status, lastText(), finished]).toEqual([
      'ready',
      'one two three',
      [{ finishReason: 'stop', isError: false, isAbort: false }],
    ]);
    await whileTimePasses(app.clock, chat.sendMessage({ text: 'And then?' }));
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        { role: 'model', parts: [{ text: 'one two three' }] },
        { role: 'user', parts: [{ text: 'And then?' }] },
      ],
    });
  });

  it('shows no error when it resumes at a page load', async () => {
    const app = shared();
    const { chat } = startChat(app);
    await chat.resumeStream();
    expect([chat.status, chat.error, chat.messages]).toEqual(['ready', undefined, []]);
  });

  it('regenerates the last answer in its place', async () => {
    const app = shared();
    const { chat } = startChat(app);
    await whileTimePasses(app.clock, chat.sendMessage({ text: 'Hi' }));
    await whileTimePasses(app.clock, chat.regenerate());
    expect(chat.status).toBe('ready');
    expect(chat.messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
    expect(app.standin.calls).toHaveLength(2);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [{ role: 'user', parts: [{ text: 'Hi' }] }],
    });
  });

  it('stops: the call to the provider ends, and the text so far stays', async () => {
    const app = await startWith(null, { ...WORDS, chunkMs: 20_000 });
    const { chat, lastText } = startChat(app);
    const sending = chat.sendMessage({ text: 'Hi' });
    await vi.waitFor(() => expect(lastText()).toBe('one '));
    expect(chat.status).toBe('streaming');
    await chat.stop();
    await sending;
    expect([chat.status, lastText()]).toEqual(['ready', 'one ']);
    await vi.waitFor(() => expect(app.standin.calls.at(-1)?.aborted).toBe(true));
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });

  it.each<[string, Fault['kind'], RegExp]>([
    ['before the answer', 'day_spent', /^I'm experiencing high demand/],
    ['in the middle of it', 'cut_mid_stream', /^The answer broke off/],
  ])('is in error after a failure %s', async (_, kind, sentence) => {
    const app = await startWith({ kind } as Fault);
    const { chat } = startChat(app);
    await whileTimePasses(app.clock, chat.sendMessage({ text: 'Hi' }));
    expect(chat.status).toBe('error');
    expect(chat.error?.message).toMatch(sentence);
  });
});

describe('the stream of a running chat', () => {
  const PATH = '/api/chat/chat-1/stream';

  it('is 204 without a body, without a rate limit, logged at level debug', async () => {
    const app = await startWith(null, WORDS, { RATE_LIMIT_CHAT: '1' });
    for (let turn = 0; turn < 3; turn += 1) {
      const { status, text, headers } = await app.get(PATH);
      expect([status, text]).toEqual([204, '']);
      expect(headers.get('x-request-id')).toEqual(expect.any(String));
    }
    const logged = PATH.replace('chat-1', '{id}');
    expect(app.logs.filter(({ path }) => path === logged).map(({ level }) => level)).toEqual([
      20, 20, 20,
    ]);
  });

  it('is allowed for a page on another origin', async () => {
    const app = shared();
    const origin = 'http://localhost:5173';
    const headers = { origin, 'access-control-request-method': 'GET' };
    const asked = await fetch(app.url + PATH, { method: 'OPTIONS', headers });
    const answered = await fetch(app.url + PATH, { headers: { origin } });
    expect([asked, answered].map(({ status }) => status)).toEqual([204, 204]);
    expect([asked, answered].map((one) => one.headers.get('access-control-allow-origin'))).toEqual([
      origin,
      origin,
    ]);
  });
});

describe('a UI message stream', () => {
  it('has its parts in order, and its headers', async () => {
    const app = await startWith(null, { chunks: 2, text: 'one two' });
    const { headers, text } = await post(app, bodyOf(userSays('Hi')));
    const requestId = headers.get('x-request-id');
    const usage = {
      ...{ inputTokens: 1, outputTokens: 2, totalTokens: 3 },
      ...{ cachedInputTokens: 0, reasoningTokens: 0 },
    };
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-vercel-ai-ui-message-stream': 'v1',
      'x-accel-buffering': 'no',
    });
    expect(eventsIn(text).map(({ data }) => data)).toEqual([
      { type: 'start', messageMetadata: { model: MODEL, requestId } },
      { type: 'start-step' },
      { type: 'text-start', id: 'text-1' },
      { type: 'text-delta', id: 'text-1', delta: 'one' },
      { type: 'text-delta', id: 'text-1', delta: ' two' },
      { type: 'text-end', id: 'text-1' },
      { type: 'finish-step' },
      { type: 'finish', finishReason: 'stop', messageMetadata: { model: MODEL, requestId, usage } },
      '[DONE]',
    ]);
  });

  it('of plain text breaks the connection when it is interrupted', async () => {
    const app = await startWith({ kind: 'cut_mid_stream' });
    const response = await fetch(`${app.url}/api/chat?protocol=text`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(bodyOf(userSays('Hi'))),
    });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow('terminated');
  });
});

describe('UI messages', () => {
  it('with 400,000 faults are refused after the first ones', async () => {
    const app = shared();
    const faulty = { role: 'user', parts: Array(400).fill(1) };
    const { status, text } = await post(app, bodyOf(...Array(999).fill(faulty)));
    expect([status, text]).toEqual([400, expect.stringMatching(/^messages\.0\.parts\.0: /)]);
  });

  const lastRequest = (app: App) => app.standin.calls.at(-1)?.body;

  it('may have images, and parts of unknown kinds', async () => {
    const app = await startWith(null, WORDS, { SYSTEM_PROMPT: 'Be kind.' });
    const answer = await post(
      app,
      bodyOf(
        { id: 's', role: 'system', parts: [{ type: 'text', text: 'Be brief.' }] },
        {
          id: 'u',
          role: 'user',
          metadata: { any: 1 },
          parts: [
            { type: 'text', text: 'What is this?', state: 'done', more: 1 },
            { type: 'data-weather', data: {} },
            {
              type: 'file',
              mediaType: 'image/png',
              url: `data:image/png;base64,${PIXEL}`,
              filename: 'a.png',
            },
          ],
        },
        {
          id: 'a',
          role: 'assistant',
          parts: [{ type: 'step-start' }, { type: 'reasoning', text: 'Hm' }],
        },
        {
          id: 'a1',
          role: 'assistant',
          parts: [{ type: 'file', mediaType: 'image/png', url: 'https://example.com/drawn.png' }],
        },
        {
          id: 'a2',
          role: 'assistant',
          parts: [
            { type: 'text', text: 'A dot.' },
            { type: 'source-url', url: 'https://a.b' },
          ],
        },
        userSays('Sure?'),
      ),
    );
    expect(answer.status).toBe(200);
    expect(lastRequest(app)).toMatchObject({
      systemInstruction: { role: 'system', parts: [{ text: 'Be kind.\n\nBe brief.' }] },
      contents: [
        {
          role: 'user',
          parts: [
            { text: 'What is this?' },
            { inlineData: { mimeType: 'image/png', data: PIXEL } },
          ],
        },
        { role: 'model', parts: [{ text: 'A dot.' }] },
        { role: 'user', parts: [{ text: 'Sure?' }] },
      ],
    });
  });

  it('over 10,000 are refused, whatever the last one is', async () => {
    const app = shared();
    const many = Array.from({ length: 10_000 }, () => userSays('Hi'));
    for (const last of [{ role: 'user' }, { role: 'user', parts: null }, 0]) {
      const { status, text } = await post(app, bodyOf(...many, last as object));
      expect([status, text]).toEqual([400, 'messages: Must not have more than 10000 entries.']);
    }
    expect(app.logs.filter(({ level }) => level >= 50)).toEqual([]);
  });

  it('of the assistant are accepted as they were sent', async () => {
    const app = shared();
    const said = {
      id: 'a',
      role: 'assistant',
      parts: [{ type: 'text', text: `\ud83d${'x'.repeat(200_001)}` }],
    };
    expect((await post(app, bodyOf(userSays('Hi'), said, userSays('On')))).status).toBe(200);
    const history = [{ role: 'assistant', content: '\ud83d' }];
    expect((await app.post('/api/chat', { message: 'Hi', history })).status).toBe(200);
    expect(lastRequest(app)).toMatchObject({ contents: [{ parts: [{ text: '\ufffd' }] }, {}] });
  });

  it('may have a file of type image/jpg, which goes on as image/jpeg', async () => {
    const app = shared();
    const url = `data:image/jpg;base64,${PIXEL}`;
    const file = { type: 'file', mediaType: 'image/jpg', url };
    expect((await post(app, bodyOf({ id: 'u', role: 'user', parts: [file] }))).status).toBe(200);
    expect(lastRequest(app)).toMatchObject({
      contents: [{ parts: [{ inlineData: { mimeType: 'image/jpeg', data: PIXEL } }] }],
    });
  });

  it('may not ask for another protocol than text', async () => {
    const { status, text } = await post(shared(), bodyOf(userSays('Hi')), '?protocol=xml');
    expect([status, text]).toEqual([400, expect.stringMatching(/^protocol: Must be text/)]);
  });

  it('may have a file at an address, which Google fetches', async () => {
    const app = shared();
    const url = 'https://example.com/report?id=1';
    const file = { type: 'file', mediaType: 'application/pdf', url };
    expect((await post(app, bodyOf({ id: 'u', role: 'user', parts: [file] }))).status).toBe(200);
    expect(lastRequest(app)).toMatchObject({
      contents: [{ parts: [{ fileData: { mimeType: 'application/pdf', fileUri: url } }] }],
    });
  });

  it('are accepted if an earlier one had a refused file', async () => {
    const app = shared();
    const drawn = { type: 'file', mediaType: 'image/png', url: 'blob:https://example.com/1' };
    const refused = { id: 'u', role: 'user', parts: [{ type: 'text', text: 'This?' }, drawn] };
    expect((await post(app, bodyOf(refused))).status).toBe(400);
    expect((await post(app, bodyOf(refused, userSays('And that?')))).status).toBe(200);
    expect(lastRequest(app)).toMatchObject({
      contents: [{ parts: [{ text: 'This?' }] }, { parts: [{ text: 'And that?' }] }],
    });
  });

  it('may come with a model', async () => {
    const app = await startWith(null, WORDS, { GOOGLE_MODELS: 'gemini-flash-latest,other' });
    const answer = await post(app, { ...bodyOf(userSays('Hi')), model: 'unheard-of' });
    expect([answer.status, answer.text]).toEqual([
      404,
      'The model "unheard-of" is not served. Ask for one of: gemini-flash-latest, other.',
    ]);
  });

  const image = (url: unknown) =>
    bodyOf({ id: 'u', role: 'user', parts: [{ type: 'file', mediaType: 'image/png', url }] });
  it.each<[string, object, RegExp]>([
    ['that are no list', { messages: 'a' }, /^messages: Must be a list\.$/],
    ['that are null', { message: 'Hi', messages: null }, /^messages: Must be a list\.$/],
    ['without any entry', bodyOf(), /^messages: Must not be empty/],
    [
      'of an unknown role',
      bodyOf({ role: 'boss', parts: [] }),
      /role: Must be user, system or assistant\.$/,
    ],
    [
      'with parts that are no list',
      { messages: [{ role: 'user', parts: 1 }], trigger: 'x' },
      /^messages\.0\.parts: Must be a list\.$/,
    ],
    [
      'of which one has no parts',
      bodyOf({ role: 'user', content: 'Hi' }, userSays('Hi')),
      /^messages\.0\.parts: Is missing\.$/,
    ],
    [
      'with a part that is not an object',
      bodyOf({ role: 'user', parts: [1] }),
      /^messages\.0\.parts\.0: /,
    ],
    [
      'with a text that is a number',
      bodyOf({ role: 'user', parts: [{ type: 'text', text: 1 }] }),
      /^messages\.0\.parts\.0\.text: /,
    ],
    [
      'that end with the assistant',
      bodyOf(userSays('Hi'), { role: 'assistant', parts: [] }),
      /^messages\.1: The last/,
    ],
    ['whose last is blank', bodyOf(userSays(' ')), /^messages\.0: The last/],
    [
      'with an image elsewhere',
      image('blob:https://example.com/1'),
      /^messages\.0\.parts\.0\.url: Must be a data URL/,
    ],
    ['with an image that is not base64', image('data:image/png;base64,???'), /data URL/],
    ['with an image without a type', image('data:;base64,AAAA'), /data URL/],
    ['with an image that is a number', image(7), /^messages\.0\.parts\.0\.url: /],
  ])(
    '%s are refused with a sentence that names the field, without a call to the provider',
    async (_, body, sentence) => {
      const app = shared();
      const { status, headers, text } = await post(app, body);
      expect([status, headers.get('content-type')]).toEqual([400, 'text/plain; charset=utf-8']);
      expect(text).toMatch(sentence);
      expect(app.standin.calls).toEqual([]);
    },
  );

  it.each<[string, () => string, number, RegExp]>([
    [
      'too large',
      () => JSON.stringify(bodyOf(userSays('x'.repeat(21_000_000)))),
      413,
      /larger than 20 MB/,
    ],
    ['cut off', () => JSON.stringify(bodyOf(userSays('Hi'))).slice(0, -3), 400, /not valid JSON/],
  ])('in a body that is %s are refused with a sentence', async (_, body, status, sentence) => {
    const app = shared();
    const answer = await app.post('/api/chat', body());
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      status,
      'text/plain; charset=utf-8',
    ]);
    expect(answer.text).toMatch(sentence);
  });

  it.each([
    ['another type', { 'content-type': 'text/plain' }, 415],
    ['another method', {}, 405],
  ])('are not awaited if the request has %s', async (_, headers, status) => {
    const app = shared();
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    const fields = Object.entries({ 'content-type': 'application/json', ...headers }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    const method = status === 405 ? 'PUT' : 'POST';
    socket.write(
      `${method} /api/chat HTTP/1.1\r\nHost: a\r\n${fields.join('')}content-length: 10\r\n\r\n`,
    );
    const [answer] = await whileTimePasses(app.clock, once(socket, 'data'));
    expect(String(answer)).toContain(`HTTP/1.1 ${status}`);
    socket.destroy();
  });

  it('over the rate limit are refused with a sentence', async () => {
    const app = await startWith(null, WORDS, { RATE_LIMIT_CHAT: '1' });
    await post(app, bodyOf(userSays('Hi')));
    const answer = await post(app, bodyOf(userSays('Hi')));
    expect([answer.status, answer.text]).toEqual([
      429,
      expect.stringMatching(/^Too many requests from this address\. Try again in \d+ seconds\.$/),
    ]);
    expect((await app.post('/api/chat', { message: 'Hi' })).body.error.code).toBe('rate_limited');
  });
});
