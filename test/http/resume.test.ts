import { once } from 'node:events';
import { get } from 'node:http';
import { connect } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Chat } from '@ai-sdk/react';
import * as current from 'ai';
import * as strict from 'ai-v5';
import { describe, expect, it, vi } from 'vitest';
import { toUiMessageStream as aiSdkFrames } from '../../src/http/dialects/ai-sdk.ts';
import { chatNameOf, RunningAnswers } from '../../src/http/running-answers.ts';
import type { AnswerShape } from '../../standin/standin-key.ts';
import { eventsIn } from '../support/events.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type App, flow, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const ID = '3kTm8Qw2ZrV5xYbN';
const TEXT = 'one two now red six end ';
const WORDS = { chunks: 6, chunkMs: 1000, text: TEXT };
/** An answer of more than a minute. */
const LONG = { chunks: 200, chunkMs: 1000, text: 'on and '.repeat(200) };
const PATH = `/api/chat/${ID}/stream`;

const start = (answer: AnswerShape = WORDS, environment: Record<string, string> = {}) =>
  startApp({
    environment: { GOOGLE_API_KEY: 'g-one', CHAT_RESUME: 'true', ...environment },
    standin: { answer },
  });

const NO_USAGE = {
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  cachedTokens: 0,
  thoughtTokens: 0,
};

const QUESTION = {
  id: 'm1',
  role: 'user' as const,
  parts: [{ type: 'text' as const, text: 'Count' }],
};

const bodyOf = (id = ID) => ({ id, messages: [QUESTION], trigger: 'submit-message' });

interface Page {
  readonly status: number;
  /** The text so far. */
  text(): string;
  readonly whole: Promise<void>;
  leave(): void;
}

/** A page with its connection, which closes with the page. */
async function open(app: App, init: RequestInit, path = PATH): Promise<Page> {
  const page = new AbortController();
  const response = await fetch(app.url + path, { ...init, signal: page.signal });
  let text = '';
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const part of response.body ?? []) text += decoder.decode(part, { stream: true });
  };
  const whole = read();
  whole.catch(() => {});
  return { status: response.status, text: () => text, whole, leave: () => page.abort() };
}

const postOf = (id: string) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(bodyOf(id)),
});
const POST = postOf(ID);

const ask = (app: App, id = ID) => open(app, postOf(id), '/api/chat');

const resume = (app: App, id = ID) => open(app, {}, `/api/chat/${id}/stream`);
const stop = (app: App, id = ID) => fetch(`${app.url}/api/chat/${id}/stream`, { method: 'DELETE' });

const saidIn = (text: string) =>
  eventsIn(text)
    .map(({ data }) => data.delta ?? '')
    .join('');

const isSaid = (page: Page, words: string) =>
  vi.waitFor(() => expect(saidIn(page.text())).toBe(words));

const isAborted = (app: App, call = -1) =>
  vi.waitFor(() => expect(app.standin.calls.at(call)?.aborted).toBe(true));

const isCalled = (app: App) => vi.waitFor(() => expect(app.standin.calls).toHaveLength(1));

/** A page that is reloaded in mid-answer. */
async function askAndLeave(app: App, words = 'one ', id = ID): Promise<void> {
  const page = await ask(app, id);
  await isSaid(page, words);
  page.leave();
}

/** How much fake time passes until it is true. */
async function msUntil(app: App, isTrue: () => boolean): Promise<number> {
  const from = app.clock.now();
  while (!isTrue()) {
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    if (app.clock.now() - from > 200_000) throw new Error('it does not become true');
    if (!isTrue()) app.clock.advance(100);
  }
  return app.clock.now() - from;
}

const lineOf = (app: App, method = 'POST') =>
  app.logs.find((line) => line.msg === 'request' && line.method === method);

type Client = Pick<typeof current, 'DefaultChatTransport' | 'readUIMessageStream'>;
const CLIENTS: readonly [string, Client][] = [
  ['ai 5.0.150', strict as unknown as Client],
  ['ai 6', current],
];

describe.each(CLIENTS)('a page with %s', (_name, { DefaultChatTransport, readUIMessageStream }) => {
  it('that is reloaded in mid-answer gets the whole answer, and gets it once', async () => {
    const app = await start();
    await askAndLeave(app);
    const transport = new DefaultChatTransport({ api: `${app.url}/api/chat` });
    const read = async () => {
      const stream = await transport.reconnectToStream({ chatId: ID });
      if (stream === null) throw new Error('nothing to resume');
      let message: unknown;
      for await (const state of readUIMessageStream({ stream, terminateOnError: true })) {
        message = state;
      }
      return message;
    };
    expect(await whileTimePasses(app.clock, read())).toMatchObject({
      parts: [{ type: 'step-start' }, { type: 'text', text: TEXT, state: 'done' }],
      metadata: { usage: { totalTokens: expect.any(Number) } },
    });
    expect(app.standin.calls).toHaveLength(1);
    expect(await transport.reconnectToStream({ chatId: ID })).toBeNull();
  });
});

describe('useChat', () => {
  const startChat = (app: App, messages: current.UIMessage[]) =>
    new Chat({
      id: ID,
      messages,
      transport: new current.DefaultChatTransport({ api: `${app.url}/api/chat` }),
    });
  const textsOf = (chat: Chat<current.UIMessage>) =>
    chat.messages.map(({ parts }) =>
      parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
    );

  it('resumes into the part of the answer that its page has stored, without repeating it', async () => {
    const app = await start();
    const before = startChat(app, []);
    const sending = before.sendMessage({ text: 'Count' });
    await vi.waitFor(() => expect(textsOf(before)).toEqual(['Count', 'one ']));
    const stored = structuredClone(before.messages);
    await before.stop();
    await sending;
    const after = startChat(app, stored);
    await whileTimePasses(app.clock, after.resumeStream());
    expect([after.status, textsOf(after)]).toEqual(['ready', ['Count', TEXT]]);
    const again = startChat(app, structuredClone(after.messages));
    await again.resumeStream();
    expect(textsOf(again)).toEqual(['Count', TEXT]);
  });

  it('gets an answer that had not begun when its page was left', async () => {
    const app = await start({ ...WORDS, firstChunkMs: 5000 });
    const page = new AbortController();
    const left = fetch(`${app.url}/api/chat`, { ...POST, signal: page.signal });
    await isCalled(app);
    page.abort();
    await expect(left).rejects.toThrow();
    const chat = startChat(app, [QUESTION]);
    await whileTimePasses(app.clock, chat.resumeStream());
    expect([chat.status, textsOf(chat)]).toEqual(['ready', ['Count', TEXT]]);
    expect(app.standin.calls).toHaveLength(1);
  });

  it('shows the text of an answer that broke off without a reader, and its error once', async () => {
    const app = await start(LONG);
    await askAndLeave(app, 'on and ');
    const leftAt = app.clock.now();
    await msUntil(app, () => app.clock.now() - leftAt > 10_000);
    await app.standin.close();
    await msUntil(app, () => lineOf(app) !== undefined);
    const chat = startChat(app, [QUESTION]);
    await chat.resumeStream();
    expect([chat.status, chat.error?.message]).toEqual([
      'error',
      'The answer broke off. Please try again.',
    ]);
    expect(textsOf(chat).at(-1)).toMatch(/^(on and ){9,12}$/);
    expect((await resume(app)).status).toBe(204);
    expect(lineOf(app)).toMatchObject({ code: 'upstream_failed', level: 40 });
  });

  it('that stops by a DELETE is ready, with the text so far', async () => {
    const app = await start();
    const chat = startChat(app, []);
    const sending = chat.sendMessage({ text: 'Count' });
    await vi.waitFor(() => expect(textsOf(chat)).toEqual(['Count', 'one ']));
    expect((await stop(app)).status).toBe(204);
    await sending;
    expect([chat.status, chat.error, textsOf(chat)]).toEqual([
      'ready',
      undefined,
      ['Count', 'one '],
    ]);
    await isAborted(app);
  });

  it('that answers again has the newer answer to resume, and the older call ends', async () => {
    const app = await start();
    await askAndLeave(app);
    const page = await ask(app);
    await isAborted(app, 0);
    page.leave();
    const chat = startChat(app, [QUESTION]);
    await whileTimePasses(app.clock, chat.resumeStream());
    expect(textsOf(chat)).toEqual(['Count', TEXT]);
    expect(app.standin.calls.map(({ aborted }) => aborted)).toEqual([true, false]);
  });
});

describe('an answer without a reader', () => {
  it('ends after a minute, and so does its line in the log', async () => {
    const app = await start(LONG);
    await askAndLeave(app, 'on and ');
    const ms = await msUntil(app, () => app.standin.calls[0]?.aborted === true);
    expect(ms).toBeGreaterThanOrEqual(60_000);
    expect(ms).toBeLessThan(65_000);
    await vi.waitFor(() => expect(lineOf(app)).toMatchObject({ status: 499 }));
    expect(app.logs.filter(({ msg }) => msg === 'request')).toHaveLength(1);
    expect((await resume(app)).status).toBe(204);
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });

  it('has another minute after each reader', async () => {
    const app = await start(LONG);
    await askAndLeave(app, 'on and ');
    app.clock.advance(50_000);
    const page = await resume(app);
    await vi.waitFor(() => expect(saidIn(page.text())).toMatch(/^(on and ){2}/));
    page.leave();
    expect(await msUntil(app, () => app.standin.calls[0]?.aborted === true)).toBeGreaterThan(
      59_000,
    );
  });

  it('is kept for a minute after its end, and is one answered request in the log', async () => {
    const app = await start();
    await askAndLeave(app);
    await msUntil(app, () => lineOf(app) !== undefined);
    expect(lineOf(app)).toMatchObject({ status: 200, key: 'google', tokens: expect.any(Number) });
    app.clock.advance(59_000);
    const page = await resume(app);
    await page.whole;
    expect(saidIn(page.text())).toBe(TEXT);
    await askAndLeave(app, 'one ');
    await msUntil(app, () => app.standin.calls[1]?.status === 200 && isOver(app, 2));
    app.clock.advance(60_000);
    expect((await resume(app)).status).toBe(204);
  });

  const isOver = (app: App, requests: number) =>
    app.logs.filter(({ msg, method }) => msg === 'request' && method === 'POST').length >= requests;

  it('is resumed also when its page left during the last bytes', async () => {
    const app = await start({ chunks: 1, text: TEXT });
    const { port } = new URL(app.url);
    const body = JSON.stringify(bodyOf());
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `POST /api/chat HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await vi.waitFor(() => expect(lineOf(app)).toMatchObject({ status: 200 }));
    socket.destroy();
    await vi.waitFor(async () => {
      const page = await resume(app);
      expect(page.status).toBe(200);
      await page.whole;
      expect(saidIn(page.text())).toBe(TEXT);
    });
    expect((await resume(app)).status).toBe(204);
    app.clock.advance(1000);
    expect(app.clock.pendingTimers()).toBe(0);
  });

  it('ends at once at the shutdown, when no new connection is accepted', async () => {
    const app = await start(LONG);
    await askAndLeave(app, 'on and ');
    expect(await flow(app.clock, app.stop())).toBe(true);
    await isAborted(app);
    expect(lineOf(app)).toMatchObject({ status: 499 });
  });

  it('is not paused, and ends when it is too large to be kept', async () => {
    const app = await start({ chunks: 50, chunkMs: 100, text: 'x'.repeat(5_000_000) });
    const page = await ask(app);
    await vi.waitFor(() => expect(page.text()).toContain('xxx'));
    page.leave();
    await msUntil(app, () => app.standin.calls[0]?.aborted === true);
    expect((await resume(app)).status).toBe(204);
  });
});

describe('an answer', () => {
  it('reaches each of its readers in full', async () => {
    const app = await start();
    const page = await ask(app);
    await isSaid(page, 'one ');
    const other = await resume(app);
    await isSaid(other, 'one ');
    await whileTimePasses(app.clock, Promise.all([page.whole, other.whole]));
    expect([page, other].map(({ text }) => saidIn(text()))).toEqual([TEXT, TEXT]);
    expect((await resume(app)).status).toBe(204);
  });

  it('is not held up by a reader that reads nothing, for others or for itself', async () => {
    const app = await start({ chunks: 30, chunkMs: 100, text: 'x'.repeat(4_000_000) });
    const { port } = new URL(app.url);
    const idle = connect(Number(port), '127.0.0.1').pause();
    const page = await ask(app);
    idle.write(`GET ${PATH} HTTP/1.1\r\nhost: a\r\n\r\n`);
    await whileTimePasses(app.clock, page.whole);
    expect(saidIn(page.text())).toHaveLength(4_000_000);
    let text = '';
    idle.on('data', (part: Buffer) => {
      text += part.toString('latin1');
    });
    idle.resume();
    await vi.waitFor(() => expect(text).toContain('[DONE]'), { timeout: 5000 });
    expect(text.match(/x/g)?.length).toBeGreaterThanOrEqual(4_000_000);
    idle.destroy();
  });

  it('that is too large to be kept arrives in full, and cannot be resumed', async () => {
    const app = await start({ chunks: 50, chunkMs: 100, text: 'x'.repeat(5_000_000) });
    const page = await ask(app);
    await whileTimePasses(app.clock, page.whole);
    expect(saidIn(page.text())).toHaveLength(5_000_000);
    expect((await resume(app)).status).toBe(204);
  });

  it('is not used up by a HEAD', async () => {
    const app = await start();
    await askAndLeave(app);
    await msUntil(app, () => lineOf(app) !== undefined);
    const head = await fetch(app.url + PATH, { method: 'HEAD' });
    expect([head.status, head.headers.get('x-vercel-ai-ui-message-stream')]).toEqual([200, 'v1']);
    expect((await resume(app)).status).toBe(200);
  });

  it.each([
    ['shorter than 16 characters', '3kTm8Qw2ZrV5xYb'],
    ['made of few different characters', '1111111111111112'],
    ['longer than 200 characters', ID.repeat(13)],
  ])('of a chat whose id is %s ends with its reader', async (_, id) => {
    const app = await start();
    await askAndLeave(app, 'one ', id);
    await isAborted(app);
    expect((await resume(app, id)).status).toBe(204);
  });

  it('is not found under another id', async () => {
    const app = await start();
    await askAndLeave(app);
    expect((await resume(app, ID.replace('3', '4'))).status).toBe(204);
    expect((await stop(app, ID.replace('3', '4'))).status).toBe(204);
    expect((await resume(app)).status).toBe(200);
  });

  it('as plain text, or without CHAT_RESUME, ends with its reader', async () => {
    for (const [path, environment] of [
      ['/api/chat?protocol=text', {}],
      ['/api/chat', { CHAT_RESUME: 'false' }],
    ] as const) {
      const app = await start(WORDS, environment);
      const page = await open(app, POST, path);
      await vi.waitFor(() => expect(page.text()).toContain('one '));
      page.leave();
      await isAborted(app);
      expect((await resume(app)).status).toBe(204);
      expect((await stop(app)).status).toBe(204);
    }
  });
});

describe('DELETE', () => {
  it('ends the call at once, and always answers 204', async () => {
    const app = await start();
    await askAndLeave(app);
    for (let turn = 0; turn < 2; turn += 1) {
      const { status } = await stop(app);
      expect(status).toBe(204);
    }
    await isAborted(app);
    await vi.waitFor(() => expect(lineOf(app)).toMatchObject({ status: 499 }));
    expect((await resume(app)).status).toBe(204);
    expect(app.clock.pendingTimers()).toBe(0);
  });

  it('ends a request that waits for a key', async () => {
    const app = await start(WORDS, { KEY_WAIT_SECONDS: '90' });
    app.standin.setFault('g-one', { kind: 'minute_spent' });
    const asked = ask(app);
    await isCalled(app);
    await vi.waitFor(() => expect(app.logText()).toContain('rate_limited'));
    await stop(app);
    const page = await asked;
    await page.whole;
    expect(eventsIn(page.text()).map(({ data }) => data)).toEqual([{ type: 'abort' }, '[DONE]']);
    app.clock.advance(90_000);
    expect(app.standin.calls).toHaveLength(1);
  });

  it('is allowed for a page of an allowed origin', async () => {
    const app = await start();
    const origin = 'http://localhost:5173';
    const headers = { origin, 'access-control-request-method': 'DELETE' };
    const asked = await fetch(app.url + PATH, { method: 'OPTIONS', headers });
    expect(asked.headers.get('access-control-allow-methods')).toContain('DELETE');
    expect(asked.headers.get('access-control-allow-origin')).toBe(origin);
  });
});

it('the id of a chat is in no line of the log, whatever was asked', async () => {
  const app = await start();
  await askAndLeave(app);
  for (const method of ['HEAD', 'PUT', 'OPTIONS', 'DELETE', 'GET']) {
    await fetch(app.url + PATH, { method });
  }
  for (const path of [`/api/chat/${ID}`, `/API/chat/${ID}/stream/`, `//api//chat/${ID}/stream`]) {
    await fetch(app.url + path);
  }
  // As a proxy asks.
  const [answer] = await once(get(app.url, { path: `http://chat.example${PATH}` }), 'response');
  answer.resume();
  await vi.waitFor(() =>
    expect(app.logs.filter(({ msg }) => msg === 'request').length).toBeGreaterThanOrEqual(10),
  );
  expect(app.logText()).not.toContain(ID);
});

it('guesses are limited by address, with a sentence', async () => {
  const app = await start(WORDS, { RATE_LIMIT_CHAT: '1' });
  for (let turn = 0; turn < 4; turn += 1) expect((await stop(app)).status).toBe(204);
  const refused = await app.get(PATH);
  expect([refused.status, refused.text]).toEqual([
    429,
    expect.stringMatching(/^Too many requests from this address/),
  ]);
});

describe('all answers together', () => {
  const caller = () => ({ requestId: 'r', client: null, isGone: false, work: null, trace: null });
  const begin = (answers: RunningAnswers, index: number) =>
    answers.begin(`the-chat-with-number-${index}`, caller(), () =>
      aiSdkFrames({ requestId: 'r', now: 0 }),
    );

  it('are at most a thousand, and the oldest that has ended makes room', () => {
    const answers = new RunningAnswers({ clock: createFakeClock(), store: null });
    const all = Array.from({ length: 1000 }, (_, index) => begin(answers, index));
    expect(all).not.toContain(null);
    expect(begin(answers, 1000)).toBeNull();
    all[7]?.end({ reason: 'stop', usage: NO_USAGE });
    expect(begin(answers, 1000)).not.toBeNull();
    expect(begin(answers, 1001)).toBeNull();
  });

  it('have at most 32 million characters', () => {
    const answers = new RunningAnswers({ clock: createFakeClock(), store: null });
    const all = Array.from({ length: 20 }, (_, index) => {
      const answer = begin(answers, index);
      answer?.write({ text: 'x'.repeat(4_000_000) });
      return answers.find(chatNameOf(`the-chat-with-number-${index}`) ?? '') === answer;
    });
    expect(all.filter(Boolean)).toHaveLength(8);
  });
});
