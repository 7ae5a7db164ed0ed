import { once } from 'node:events';
import { request as forward, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import compression from 'compression';
import express from 'express';
import { afterEach, describe, expect, it } from 'vitest';
import { CLIENT_TOKEN, MODEL, startForPrograms } from '../support/programs.ts';
import type { App } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const TEN_WORDS = 'one two three four five six seven eight nine ten';
const SLOWLY = { chunks: 10, text: TEN_WORDS, chunkMs: 500 };

const running: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
});

/** What Next.js does with `rewrites`: the answer is piped through the `compression` package. */
async function startProxy(app: App): Promise<string> {
  const proxy = express();
  proxy.use(compression(), (request, response) => {
    const { method, headers, url } = request;
    const forwarded = forward(app.url + url, { method: String(method), headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    request.pipe(forwarded);
  });
  const server = proxy.listen(0, '127.0.0.1');
  await once(server, 'listening');
  running.push(() => new Promise((resolve) => server.close(resolve)));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const said = { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] };
const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hi' }] };
const useChat = { id: 'chat-1', trigger: 'submit-message', messages: [message] };
const STREAM = `/v1beta/models/${MODEL}:streamGenerateContent`;

describe('behind a proxy that compresses', () => {
  it.each<[string, string, object]>([
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
  ])('%s gets the chunks one after the other', async (_, path, body) => {
    const app = await startForPrograms(null, SLOWLY);
    const url = await startProxy(app);
    const asked = forward(url + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'accept-encoding': 'gzip',
        'x-goog-api-key': CLIENT_TOKEN,
      },
    });
    asked.end(JSON.stringify(body));
    const [answer] = (await whileTimePasses(app.clock, once(asked, 'response'))) as [
      IncomingMessage,
    ];
    let arrivals = 0;
    let text = '';
    answer.on('data', (chunk) => {
      arrivals += 1;
      text += chunk;
    });
    await whileTimePasses(app.clock, once(answer, 'end'));
    expect(arrivals).toBeGreaterThanOrEqual(5);
    expect(text).toContain('ten');
    expect(answer.headers['cache-control']).toBe('no-cache, no-transform');
    expect(answer.headers['content-encoding']).toBeUndefined();
  });

  it('a whole answer is compressed', async () => {
    const app = await startForPrograms(null, { chunks: 1, text: TEN_WORDS.repeat(100) });
    const response = await fetch(`${await startProxy(app)}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'Hi' }),
    });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.json()).toMatchObject({ reply: TEN_WORDS.repeat(100) });
  });
});
