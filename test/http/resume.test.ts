import { setImmediate as nextTurn } from 'node:timers/promises';
import { Chat } from '@ai-sdk/react';
import * as current from 'ai';
import * as strict from 'ai-v5';
import { describe, expect, it, vi } from 'vitest';
import type { AnswerShape } from '../../standin/standin-key.ts';
import { eventsIn } from '../support/events.ts';
import { type App, flow, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const ID = '3kTm8Qw2ZrV5xYbN';
const TEXT = 'one two three four five six';
const WORDS = { chunks: 6, chunkMs: 1000, text: TEXT };
const PATH = `/api/chat/${ID}/stream`;

const start = (answer: AnswerShape = WORDS, environment: Record<string, string> = {}) =>
  startApp({
    environment: { GOOGLE_API_KEY: 'g-one', CHAT_RESUME: 'true', ...environment },
    standin: { answer },
  });

const QUESTION = {
  id: 'm1',
  role: 'user' as const,
  parts: [{ type: 'text' as const, text: 'Count' }],
};

const bodyOf = (id = ID) => ({ id, messages: [QUESTION], trigger: 'submit-message' });

interface Page {
  readonly status: number;
  /** What has come so far. */
  text(): string;
  readonly whole: Promise<void>;
  leave(): void;
}

/** A page's connection, which ends when the page does. */
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

const ask = (app: App, id = ID) =>
  open(
    app,
    {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(bodyOf(id)),
    },
    '/api/chat',
  );

const resume = (app: App, id = ID) => open(app, {}, `/api/chat/${id}/stream`);
const stop = (app: App, id = ID) => fetch(`${app.url}/api/chat/${id}/stream`, { method: 'DELETE' });

const saidIn = (text: string) =>
  eventsIn(text)
    .map(({ data }) => data.delta ?? '')
    .join('');

const isSaid = (page: Page, words: string) =>
  vi.waitFor(() => expect(saidIn(page.text())).toBe(words));

const isAborted = (app: App) =>
  vi.waitFor(() => expect(app.standin.calls.at(-1)?.aborted).toBe(true));

/** Until the server has noticed what happened to its sockets. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await nextTurn();
}

const linesOf = (app: App) => app.logs.filter(({ msg }) => msg === 'request');

type Client = Pick<typeof current, 'DefaultChatTransport' | 'readUIMessageStream'>;
const CLIENTS: readonly [string, Client][] = [
  ['ai 5.0.150', strict as unknown as Client],
  ['ai 6', current],
];

describe.each(CLIENTS)('a page with %s', (_name, { DefaultChatTransport, readUIMessageStream }) => {
  it('that is reloaded in mid-answer gets the whole answer once', async () => {
    const app = await start();
    const first = await ask(app);
    await isSaid(first, 'one ');
    app.clock.advance(1000);
    await isSaid(first, 'one two ');
    first.leave();
    await settle();
    app.clock.advance(1000);
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
    // It has the answer: the next load of the page must not add it again.
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

  it('gets an answer to which it came back before the first word, and one that has ended since', async () => {
    const app = await start({ ...WORDS, firstChunkMs: 30_000 });
    const first = await Promise.race([ask(app), settle()]);
    expect(first).toBeUndefined();
    const chat = startChat(app, [QUESTION]);
    const resumed = chat.resumeStream();
    await whileTimePasses(app.clock, resumed, 100);
    expect(textsOf(chat)).toEqual(['Count', TEXT]);
  });

  it('shows the error of an answer that failed after the page had gone', async () => {
    const app = await start({ ...WORDS, firstChunkMs: 5000 });
    const page = new AbortController();
    const asked = fetch(`${app.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(bodyOf()),
      signal: page.signal,
    });
    await vi.waitFor(() => expect(app.standin.calls).toHaveLength(1));
    page.abort();
    await expect(asked).rejects.toThrow();
    await settle();
    app.standin.setFault('g-one', { kind: 'day_spent' });
    await app.standin.close();
    await flow(app.clock, settle(), 100);
    const chat = startChat(app, [QUESTION]);
    await whileTimePasses(app.clock, chat.resumeStream(), 1000);
    expect([chat.status, chat.error?.message]).toEqual([
      'error',
      expect.stringMatching(/try again/i),
    ]);
  });
});

describe('an answer without a reader', () => {
  it('goes on for a minute, then its call ends, and its log line says so', async () => {
    const app = await start({ chunks: 200, chunkMs: 1000, text: 'on and '.repeat(200) });
    const page = await ask(app);
    await vi.waitFor(() => expect(saidIn(page.text())).not.toBe(''));
    page.leave();
    await settle();
    await whileTimePasses(app.clock, settle(), 10);
    const left = app.clock.now();
    expect(linesOf(app)).toEqual([]);
    while (app.clock.now() < left + 55_000) {
      app.clock.advance(1000);
      await settle();
    }
    expect(app.standin.calls.at(-1)?.aborted).toBeFalsy();
    expect((await resume(app)).status).toBe(200);
  });
});
