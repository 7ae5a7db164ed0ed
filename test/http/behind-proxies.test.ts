import { once } from 'node:events';
import { request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import compression from 'compression';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ifInstalled } from '../support/installed.ts';
import { NGINX, startNginx } from '../support/nginx.ts';
import { CLIENT_TOKEN, MODEL, shareForPrograms, startForPrograms } from '../support/programs.ts';
import type { App } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const TEN_WORDS = Array.from({ length: 10 }, (_, index) => ` word${index}`).join('');
/** A word in each chunk. */
const SLOWLY = { chunks: 10, text: TEN_WORDS, chunkMs: 500 };

interface Proxy {
  readonly url: string;
  stop(): Promise<unknown>;
}

/** What Next.js does with `rewrites`: the answer is piped through the `compression` package. */
async function startCompressing(target: string): Promise<Proxy> {
  const proxy = express();
  proxy.use(compression(), (request, response) => {
    const { method, headers, url } = request;
    const forwarded = forward(target + url, { method: String(method), headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    request.pipe(forwarded);
  });
  const server = proxy.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}

const said = { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] };
const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hi' }] };
const useChat = { id: 'chat-1', trigger: 'submit-message', messages: [message] };
const STREAM = `/v1beta/models/${MODEL}:streamGenerateContent`;

const STREAMS: readonly [string, string, object][] = [
  ['useChat', '/api/chat', useChat],
  ['useChat as plain text', '/api/chat?protocol=text', useChat],
  ['a page of ours', '/api/chat', { message: 'Hi', stream: true }],
  ["Anam's example", '/api/chat', { messages: [{ role: 'user', content: 'Hi' }] }],
  [
    'an OpenAI client',
    '/v1/chat/completions',
    { model: MODEL, stream: true, messages: [{ role: 'user', content: 'Hi' }] },
  ],
  ['a Gemini client', `${STREAM}?alt=sse`, said],
  ['a Gemini client that reads JSON', STREAM, said],
];

const ask = (url: string, body: object, encoding: string) =>
  fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'accept-encoding': encoding,
      'x-goog-api-key': CLIENT_TOKEN,
    },
    body: JSON.stringify(body),
  });

/** How much of the answer had arrived after each piece. */
async function readPieces({ body }: Response): Promise<readonly string[]> {
  const decoder = new TextDecoder();
  const states: string[] = [];
  let text = '';
  for await (const piece of body ?? []) {
    text += decoder.decode(piece, { stream: true });
    states.push(text);
  }
  return states;
}

/** Most words are read before the next one is said. */
function expectWordByWord(states: readonly string[]): void {
  const words = states.map((text) => text.match(/word\d/g)?.length ?? 0);
  expect(words.at(-1)).toBe(10);
  expect(new Set(words.filter((count) => count > 0 && count < 10)).size).toBeGreaterThanOrEqual(5);
}

/** The proxy in front of a server, for all tests of a block. */
function shareProxy(start: (target: string) => Promise<Proxy>): { app(): App; url(): string } {
  const app = shareForPrograms(SLOWLY);
  let proxy: Proxy | null = null;
  beforeAll(async () => {
    proxy = await start(app().url);
  });
  afterAll(() => proxy?.stop());
  return { app, url: () => proxy?.url ?? '' };
}

describe('behind a proxy that compresses', () => {
  const { app, url } = shareProxy(startCompressing);

  it.each(STREAMS)('%s gets the words one after the other', async (_, path, body) => {
    const answered = ask(url() + path, body, 'gzip');
    const { headers } = await whileTimePasses(app().clock, answered);
    expectWordByWord(await whileTimePasses(app().clock, answered.then(readPieces)));
    expect(headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(headers.get('content-encoding')).toBeNull();
  });

  it('a whole answer is compressed', async () => {
    const own = await startForPrograms(null, { chunks: 1, text: TEN_WORDS.repeat(100) });
    const proxy = await startCompressing(own.url);
    const response = await ask(`${proxy.url}/api/chat`, { message: 'Hi' }, 'gzip');
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.json()).toMatchObject({ reply: TEN_WORDS.repeat(100) });
    await proxy.stop();
  });
});

ifInstalled(NGINX, 'behind nginx with its defaults', () => {
  const { app, url } = shareProxy(startNginx);

  describe.each([
    ['gzip', 'gzip'],
    ['identity', null],
  ])('asked for %s', (encoding, expected) => {
    it.each(STREAMS)('%s gets the words one after the other', async (_, path, body) => {
      const answered = ask(url() + path, body, encoding);
      const { headers } = await whileTimePasses(app().clock, answered);
      expectWordByWord(await whileTimePasses(app().clock, answered.then(readPieces)));
      expect(headers.get('content-encoding')).toBe(expected);
    });
  });

  it('a plain text that breaks off is not a complete answer', async () => {
    const cut = { kind: 'cut_mid_stream' } as const;
    const own = await startForPrograms(cut, { ...SLOWLY, chunkMs: 10 }, { keys: { fault: cut } });
    const proxy = await startNginx(own.url);
    const read = ask(`${proxy.url}/api/chat?protocol=text`, useChat, 'gzip').then(readPieces);
    await expect(whileTimePasses(own.clock, read)).rejects.toThrow('terminated');
    await proxy.stop();
  });
});
