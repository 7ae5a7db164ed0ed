import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Fault } from '../../../standin/fault.ts';
import {
  CLIENT_TOKEN,
  MODEL,
  shareForPrograms,
  startForPrograms,
  UNTOUCHED,
  WORDS,
} from '../../support/programs.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';

const shared = shareForPrograms();

const TOKEN = { 'x-goog-api-key': CLIENT_TOKEN };
const HI = { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] };
const STREAM = `/v1beta/models/${MODEL}:streamGenerateContent`;
const WHOLE = `/v1beta/models/${MODEL}:generateContent`;

const ask = (app: App, path: string, body: unknown = HI, headers: Record<string, string> = TOKEN) =>
  flow(app.clock, app.post(path, body, headers));

/** What Google itself answers to the same request. */
const askGoogle = async ({ standin }: App, path: string, key: string, body: unknown = HI) => {
  const response = await fetch(`${standin.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-goog-api-key': key },
    body: JSON.stringify(body),
  });
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    text: await response.text(),
  };
};

const withoutId = (text: string) => text.replaceAll(/standin-\d+/g, 'standin');

/** A server whose Google answers each call with these bytes. */
async function startRelay(
  { clock }: App,
  answer: (socket: Socket, head: string) => void,
  key = 'g-one',
) {
  const google = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (head) => answer(socket, String(head)));
  }).listen(0, '127.0.0.1');
  await once(google, 'listening');
  onTestFinished(() => void google.close());
  const { port } = google.address() as AddressInfo;
  return startApp({
    clock,
    environment: {
      GOOGLE_API_KEY: key,
      GOOGLE_BASE_URL: `http://127.0.0.1:${port}`,
      CLIENT_TOKENS: CLIENT_TOKEN,
    },
  });
}

describe("a request in Gemini's own protocol", () => {
  it.each([
    ['a stream of events', `${STREAM}?alt=sse`],
    ['a stream that is one list', STREAM],
    ['a whole answer', WHOLE],
    ['a whole answer of the other version', WHOLE.replace('v1beta', 'v1')],
    ['a count of tokens', `/v1beta/models/${MODEL}:countTokens`],
  ])('comes back byte for byte: %s', async (_, path) => {
    const app = await startForPrograms(null, {
      chunks: 3,
      text: 'one “two” \u2028 three',
      chunkMs: 0,
    });
    const answer = await ask(app, path);
    const google = await askGoogle(app, path, 'g-one');
    expect(answer.headers.get('x-accel-buffering')).toBe('no');
    expect(withoutId(answer.text)).toBe(withoutId(google.text));
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      google.status,
      google.type,
    ]);
  });

  it('goes on byte for byte, without the token and other credentials', async () => {
    const app = shared();
    const body = `{ "contents":[ {"parts":[{"text":"Hi \\u00e9"}]} ],\n "generationConfig":{"topK":3} }`;
    await ask(
      app,
      `${WHOLE}?key=${CLIENT_TOKEN}&alt=json&access_token=x&%6bey=y&$key=z#key=a`,
      body,
      {
        authorization: `Bearer ${CLIENT_TOKEN}`,
      },
    );
    expect(app.standin.calls.at(-1)).toMatchObject({
      key: 'g-one',
      path: WHOLE,
      body: JSON.parse(body),
    });
    expect(app.logText()).not.toContain(CLIENT_TOKEN);
  });

  it.each<[string, Fault]>([
    ['a quota', { kind: 'day_spent' }],
    ['an error within a 200', { kind: 'error_mid_stream', after: 0 }],
    ['a bare error within a 200', { kind: 'bare_error_mid_stream', after: 0 }],
    ['an empty answer', { kind: 'empty_body' }],
    ['a cut before the first byte', { kind: 'reset' }],
  ])('fails over before the first byte: %s', async (_, fault) => {
    const app = await startForPrograms(fault);
    const { status, text } = await ask(app, `${STREAM}?alt=sse`);
    expect([status, text]).toEqual([200, expect.stringContaining('finishReason')]);
    expect(app.standin.calls.map(({ key }) => key)).toEqual(['g-one', 'g-two']);
  });

  it('passes on an error within a stream without the key in it, and parks the key', async () => {
    const key = 'g-one-that-google-echoes-in-its-errors';
    const said = 'data: {"candidates":[{"content":{"parts":[{"text":"one"}]}}]}\r\n\r\n';
    const error = (echo: string) =>
      `data: {"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Quota of ${echo} is spent."}}\r\n\r\n`;
    const fault = {
      kind: 'raw',
      status: 200,
      headers: { 'content-type': 'text/event-stream' },
      body: said + error(key),
    } as const;
    const app = await startApp({
      environment: { GOOGLE_API_KEY: key, CLIENT_TOKENS: CLIENT_TOKEN },
      standin: { keys: [{ key, service: 'google', fault }] },
    });
    const answer = await ask(app, `${STREAM}?alt=sse`);
    expect([answer.status, answer.text]).toEqual([200, said + error('[redacted]')]);
    expect(await app.counts()).toMatchObject({ cooling_down: 1 });
    expect(app.logs.filter(({ level }) => level >= 50)).toEqual([]);
  });

  it('whose stream is cut ends in a broken connection, after the bytes so far', async () => {
    const app = await startForPrograms({ kind: 'cut_mid_stream' }, { chunks: 3, text: WORDS });
    const response = await fetch(`${app.url}${STREAM}?alt=sse`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...TOKEN },
      body: JSON.stringify(HI),
    });
    let text = '';
    const read = async () => {
      for await (const bytes of response.body ?? []) text += Buffer.from(bytes);
    };
    await expect(read()).rejects.toThrow('terminated');
    expect(text).toContain('one ');
    await vi.waitFor(() =>
      expect(app.logs.find(({ msg }) => msg === 'request')).toMatchObject({
        level: 40,
        status: 200,
        code: 'upstream_failed',
        client: 'client-1',
      }),
    );
    expect(app.logs.filter(({ level }) => level >= 50)).toEqual([]);
  });

  it('that comes whole has a length, and is an error with its status when it breaks off', async () => {
    const half = '{"candidates":[';
    const answers = [half, `${half}]}`];
    const relayed = await startRelay(shared(), (socket) => {
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${half.length + 2}\r\n\r\n${answers.shift()}`);
    });
    const broken = await relayed.post(WHOLE, HI, TOKEN);
    expect([broken.status, JSON.parse(broken.text).error]).toEqual([
      502,
      expect.objectContaining({ code: 502, status: 'UNAVAILABLE' }),
    ]);
    const whole = await relayed.post(WHOLE, HI, TOKEN);
    expect([whole.status, whole.text]).toEqual([200, `${half}]}`]);
    expect(whole.headers.get('content-length')).toBe(String(half.length + 2));
  });

  it.each([
    ['hang', 'nothing more'],
    ['cut', 'the end of the connection'],
  ] as const)(
    'parks the key for an error within a 200, although the stream then has %s',
    async (then, _what) => {
      const app = shared();
      const said = 'data: {"candidates":[{"content":{"parts":[{"text":"one"}]}}]}\r\n\r\n';
      const error =
        'data: {"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"spent"}}\r\n\r\n';
      for (const body of [said + error, error]) {
        const relayed = await startRelay(app, (socket) => {
          socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n');
          socket.write(body);
          if (then === 'cut') socket.destroySoon();
        });
        const { text } = await relayed.post(`${STREAM}?alt=sse`, HI, TOKEN);
        expect(body === error ? 503 : text).toBe(body === error ? 503 : said + error);
        expect(await relayed.counts()).toMatchObject({ cooling_down: 1 });
      }
    },
  );

  it('goes on with the query parameters that shape the answer, without credentials or another project to bill', async () => {
    const heads: string[] = [];
    const relayed = await startRelay(shared(), (socket, head) => {
      heads.push(head.split('\r\n\r\n', 1)[0] ?? '');
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}');
    });
    const port = Number(new URL(relayed.url).port);
    const body = JSON.stringify(HI);
    const headers = `x-goog-api-key: ${CLIENT_TOKEN}\r\nauthorization: Bearer b\r\ncookie: c\r\nx-goog-user-project: p\r\nx-server-timeout: 9`;
    for (const [query, expected] of [
      ['key=a&alt=json', '?alt=json'],
      ['alt=sse&%6bey=a&K%65y=b&access_token=c&oauth%5ftoken=d', '?alt=sse'],
      ['$key=a', ''],
      ['alt=sse#key=a', '?alt=sse'],
      ['pageSize=3&keyword=a&', '?pageSize=3'],
      ['alt=sse;key=a&fields=usageMetadata', '?fields=usageMetadata'],
      ['alt=sse&a=1;key=b&+key=c&key%00=d&bearer_token=e&$alt=proto', '?alt=sse'],
      ['$userProject=p&userProject=p&%24user%50roject=p&USER_PROJECT=p&alt=json', '?alt=json'],
      ['quotaUser=p&$quotaUser=p&quota_user=p&$httpHeaders=X-Goog-User-Project:p', ''],
    ]) {
      heads.length = 0;
      const socket = connect(port, '127.0.0.1');
      socket.end(
        `POST ${WHOLE}?${query} HTTP/1.1\r\nHost: a\r\n${headers}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      await vi.waitFor(() => expect(heads).toHaveLength(1));
      expect(heads[0]?.split(' ')[1]).toBe(`${WHOLE}${expected}`);
      expect(heads[0]).not.toMatch(/x-goog-user-project|x-server-timeout|cookie|bearer/i);
      socket.destroy();
    }
  });

  it('may have an answer with a field called error', async () => {
    const app = shared();
    const args = { results: [{ error: 'timeout', at: 1 }, { error: 'x'.repeat(100_000) }] };
    const answer = JSON.stringify(
      { candidates: [{ content: { parts: [{ functionCall: { name: 'a', args } }] } }] },
      null,
      2,
    );
    const relayed = await startRelay(app, (socket) => {
      socket.end(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n${answer}`,
      );
    });
    expect((await relayed.post(WHOLE, HI, TOKEN)).text).toBe(answer);
    expect(await relayed.counts()).toMatchObject({ available: 1 });
  });

  it('without a stream has three quarters of the time limit, and another key the rest', async () => {
    const app = await startForPrograms({ kind: 'slow', ms: 220_000 });
    const first = await ask(app, WHOLE);
    expect([first.status, app.standin.calls.map(({ key }) => key)]).toEqual([200, ['g-one']]);
    app.standin.setFault('g-one', null);
    app.standin.setFault('g-two', { kind: 'hang' });
    expect((await ask(app, WHOLE)).status).toBe(200);
    expect(app.logs.find(({ outcome }) => outcome === 'upstream_down')).toMatchObject({
      ms: expect.closeTo(225_000, -2),
    });
  });

  it.each([
    ['a count of tokens after 20 s', `/v1beta/models/${MODEL}:countTokens`, 20_000],
    ['a stream after 120 s', `${STREAM}?alt=sse`, 120_000],
  ])('leaves a key that hangs: %s', async (_, path, limitMs) => {
    const app = await startForPrograms({ kind: 'hang' });
    const startedAt = app.clock.now();
    expect((await ask(app, path)).status).toBe(200);
    expect(app.clock.now() - startedAt).toBeGreaterThanOrEqual(limitMs);
    expect(app.clock.now() - startedAt).toBeLessThan(limitMs + 5000);
  });

  it('gets a refusal without the key in its content type', async () => {
    const app = shared();
    const key = 'g-one-with-a-longer-name';
    const relayed = await startRelay(
      app,
      (socket) =>
        socket.end(
          `HTTP/1.1 400 Bad\r\ncontent-type: application/json; k=${key}\r\nconnection: close\r\n\r\n{"error":{"message":"no","code":400}}`,
        ),
      key,
    );
    const refused = await relayed.post(WHOLE, HI, TOKEN);
    expect([refused.status, refused.headers.get('content-type')]).toEqual([
      400,
      'application/json; k=[redacted]',
    ]);
  });

  it('gets the refusal of an invalid request from Google, after one call', async () => {
    const app = shared();
    const answer = await ask(app, WHOLE, { contents: [] });
    const google = await askGoogle(app, WHOLE, 'g-one', { contents: [] });
    expect([answer.status, answer.text]).toEqual([400, google.text]);
    expect(app.standin.calls).toHaveLength(2);
    expect(await app.counts()).toEqual(UNTOUCHED);
  });

  it("is refused in Google's form with RetryInfo when no key is available", async () => {
    const app = await startForPrograms({ kind: 'day_spent' });
    app.standin.setFault('g-two', { kind: 'day_spent' });
    const { status, headers, body } = await ask(app, WHOLE);
    expect([status, headers.get('retry-after'), body]).toEqual([
      503,
      '3600',
      {
        error: {
          code: 503,
          status: 'UNAVAILABLE',
          message: expect.stringMatching(/high demand/),
          details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3600s' }],
        },
      },
    ]);
  });

  it('aborts the call to the provider when its client disconnects', async () => {
    const app = await startForPrograms(null, { chunks: 2, text: WORDS, chunkMs: 20_000 });
    const sent = request(`${app.url}${STREAM}?alt=sse`, { method: 'POST', headers: TOKEN });
    sent.on('error', () => {});
    sent.end(JSON.stringify(HI));
    const [response] = await once(sent, 'response');
    response.on('error', () => {});
    await once(response, 'data');
    sent.destroy();
    await vi.waitFor(() => expect(app.standin.calls.at(-1)?.aborted).toBe(true));
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
    expect(await app.counts()).toEqual(UNTOUCHED);
  });
});

describe('a caller that does not read', () => {
  it('slows the provider down: no more is read than the buffers hold', async () => {
    const app = shared();
    const megabyte = Buffer.alloc(1_000_000, 'x');
    let taken = 0;
    const relayed = await startRelay(app, async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n');
      for (let sent = 0; sent < 100 && !socket.destroyed; sent += 1) {
        if (!socket.write(megabyte)) await once(socket, 'drain').catch(() => {});
        taken = sent;
      }
    });
    const asked = request(`${relayed.url}${WHOLE}`, { method: 'POST', headers: TOKEN });
    asked.on('error', () => {});
    asked.end(JSON.stringify(HI));
    const [response] = await once(asked, 'response');
    response.pause();
    await vi.waitFor(() => expect(taken).toBeGreaterThan(0));
    let before = -1;
    await vi.waitFor(
      () => {
        const [last, now] = [before, taken];
        before = taken;
        expect(now).toBe(last);
      },
      { interval: 200, timeout: 5000 },
    );
    expect(taken).toBeLessThan(50);
    asked.destroy();
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });
});

describe('a request with a resource of one project', () => {
  const CACHED = { ...HI, cachedContent: 'cachedContents/abc' };
  const FILE = {
    contents: [
      {
        parts: [
          { fileData: { fileUri: 'https://generativelanguage.googleapis.com/v1beta/files/xyz' } },
          { text: 'Hi' },
        ],
      },
    ],
  };
  const start = () =>
    startForPrograms(null, {}, { keys: { resources: ['cachedContents/abc', 'files/xyz'] } });

  it.each([
    ['a cached content', CACHED],
    ['an uploaded file', FILE],
  ])('finds its key, keeps it, and parks nothing: %s', async (_, body) => {
    const app = await start();
    for (let turn = 0; turn < 3; turn += 1) {
      expect((await ask(app, WHOLE, body)).status).toBe(200);
    }
    expect(app.standin.callsOf('g-one')).toBe(1);
    expect(app.standin.callsOf('g-two')).toBe(3);
    expect(await app.counts()).toEqual(UNTOUCHED);
  });

  it('does not mean a file in the arguments of a tool call', async () => {
    const app = shared();
    const tools = {
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        {
          role: 'model',
          parts: [
            {
              functionCall: { name: 'read', args: { fileUri: 'files/report' } },
              thoughtSignature: 'x',
            },
          ],
        },
        { role: 'user', parts: [{ functionResponse: { name: 'read', response: {} } }] },
      ],
    };
    for (let turn = 0; turn < 2; turn += 1) expect((await ask(app, WHOLE, tools)).status).toBe(200);
    expect(app.standin.calls.map(({ key }) => key)).toEqual(['g-one', 'g-two']);
  });

  it("is refused until that project's quota is back", async () => {
    const app = await start();
    await ask(app, WHOLE, CACHED);
    app.standin.setFault('g-two', { kind: 'day_spent' });
    const { status, headers } = await ask(app, WHOLE, CACHED);
    expect([status, headers.get('retry-after')]).toEqual([503, '3600']);
    expect((await ask(app, WHOLE)).status).toBe(200);
  });

  it('gets the refusal of Google when no project owns it', async () => {
    const app = shared();
    const unknown = { ...HI, cachedContent: 'cachedContents/none' };
    const answer = await ask(app, WHOLE, unknown);
    const google = await askGoogle(app, WHOLE, 'g-one', unknown);
    expect([answer.status, answer.text]).toEqual([403, google.text]);
    expect(await app.counts()).toEqual(UNTOUCHED);
  });
});

describe('an unmetered call', () => {
  it.each([
    ['a description', '/v1beta/models/unheard-of'],
    ['a count', `/v1beta/models/${MODEL}:countTokens`],
  ])(
    'about an unknown model uses three keys, and gets the answer of Google: %s',
    async (_, path) => {
      const keys = Array.from({ length: 20 }, (__, index) => `g-${index}`);
      const named = keys.map((key, index) => [`GOOGLE_API_KEY_${index}`, key]);
      const app = await startApp({
        environment: { ...Object.fromEntries(named), CLIENT_TOKENS: CLIENT_TOKEN },
        standin: { keys: keys.map((key) => ({ key, service: 'google' })), models: ['other'] },
      });
      const { status, body } = await (path.endsWith('countTokens')
        ? app.post(path, HI, TOKEN)
        : app.get(path, TOKEN));
      expect([status, body.error.message]).toEqual([
        404,
        expect.stringContaining('is not found for API version'),
      ]);
      expect(app.standin.calls).toHaveLength(3);
      expect(await app.counts()).toMatchObject({ available: 20 });
    },
  );

  it('about a file tries every project', async () => {
    const keys = ['a', 'b', 'c', 'd', 'e'];
    const named = keys.map((key, index) => [`GOOGLE_API_KEY_${index}`, key]);
    const resources = ['files/xyz'];
    const app = await startApp({
      environment: { ...Object.fromEntries(named), CLIENT_TOKENS: CLIENT_TOKEN },
      standin: {
        keys: keys.map((key) => ({
          key,
          service: 'google',
          ...(key === 'e' ? { resources } : {}),
        })),
      },
    });
    const body = { contents: [{ parts: [{ fileData: { fileUri: 'files/xyz' } }] }] };
    const counted = { generateContentRequest: { model: `models/${MODEL}`, ...body } };
    const path = `/v1beta/models/${MODEL}:countTokens`;
    expect((await app.post(path, counted, TOKEN)).status).toBe(200);
    expect((await app.post(path, body, TOKEN)).status).toBe(200);
    expect(app.standin.calls.map(({ key }) => key)).toEqual([...keys, 'e']);
  });

  it('does not open what a metered call has parked', async () => {
    const app = await startForPrograms({ kind: 'prepay_empty' });
    const count = () => ask(app, `/v1beta/models/${MODEL}:countTokens`);
    await ask(app, WHOLE);
    expect(await app.counts()).toMatchObject({ exhausted: 1 });
    app.clock.advance(3_600_000);
    app.standin.setFault('g-two', { kind: 'minute_spent' });
    await count();
    app.clock.advance(3_600_000);
    app.standin.setFault('g-one', null);
    await count();
    expect(await app.counts()).toMatchObject({ exhausted: 1 });
    await ask(app, WHOLE);
    await ask(app, WHOLE);
    expect(await app.counts()).toMatchObject({ exhausted: 0 });
  });
});

describe('the routes for programs', () => {
  it.each<[string, 'get' | 'post', string, number]>([
    ['an unknown model', 'post', '/v1beta/models/other:generateContent', 404],
    ['an unknown method', 'post', `/v1beta/models/${MODEL}:embedContent`, 404],
    ['a model name with a path', 'get', '/v1/models/..%2F..%2Fv1beta%2Ffiles', 404],
    ['a model name with a query', 'get', '/v1/models/a%3Fkey=x', 404],
    ['a model name with a method', 'get', '/v1/models/x:y', 404],
    ['a path with an encoded slash', 'post', `/v1beta/models/..%2F${MODEL}:generateContent`, 404],
    ['another HTTP method', 'get', WHOLE, 405],
  ])('refuse %s in the form of Google', async (_, method, path, status) => {
    const app = shared();
    const answer = await (method === 'get' ? app.get(path, TOKEN) : app.post(path, HI, TOKEN));
    expect([answer.status, answer.body.error.code]).toEqual([status, status]);
    expect(app.standin.calls).toEqual([]);
  });

  it.each<[string, Record<string, string>]>([
    ['no token', {}],
    ['a wrong token', { 'x-goog-api-key': 'wrong' }],
    ['another scheme', { authorization: `Basic ${CLIENT_TOKEN}` }],
    ['half a token', { authorization: `Bearer ${CLIENT_TOKEN.slice(0, -1)}` }],
  ])('refuse %s', async (_, headers) => {
    const app = shared();
    const asked = [app.post(WHOLE, HI, headers), app.get('/v1beta/models', headers)];
    for (const { status, body } of await Promise.all(asked)) {
      expect([status, body.error.status]).toEqual([401, 'UNAUTHENTICATED']);
    }
    const { status, body } = await app.post('/v1/chat/completions', {}, headers);
    expect([status, headers['x-goog-api-key'] ?? body.error.code]).toEqual([
      401,
      headers['x-goog-api-key'] ?? 'invalid_api_key',
    ]);
    expect(app.standin.calls).toEqual([]);
  });

  it('do not exist without CLIENT_TOKENS', async () => {
    const app = await startForPrograms(null, {}, { environment: { CLIENT_TOKENS: '' } });
    const asked = [
      app.post(WHOLE, HI, TOKEN),
      app.get('/v1beta/models', TOKEN),
      app.post('/v1/chat/completions', {}, { authorization: `Bearer ${CLIENT_TOKEN}` }),
      app.get('/v1/models', { authorization: `Bearer ${CLIENT_TOKEN}` }),
    ];
    for (const { status, body } of await Promise.all(asked)) {
      expect([status, body.error.code]).toEqual([404, 'not_found']);
    }
  });

  it('distinguish the two protocols on one path by the place of the token', async () => {
    const app = shared();
    const asGoogle = await app.get('/v1/models', TOKEN);
    expect(asGoogle.body.models[0].name).toMatch(/^models\//);
    const asOpenai = await app.get('/v1/models', { authorization: `Bearer ${CLIENT_TOKEN}` });
    expect(asOpenai.body).toMatchObject({
      object: 'list',
      data: [{ id: MODEL }, { id: 'gemini-embedding-2' }],
    });
  });

  it('refuse a compressed body', async () => {
    const app = shared();
    const answer = await app.post(WHOLE, HI, { ...TOKEN, 'content-encoding': 'gzip' });
    expect([answer.status, answer.body.error.status]).toEqual([415, 'INVALID_ARGUMENT']);
  });

  it('refuse a large body of very many values', async () => {
    const app = shared();
    const body = `{"cachedContent":${'['.repeat(2_000_000)}`;
    const answer = await app.post(WHOLE, body, TOKEN);
    expect([answer.status, answer.body.error]).toEqual([
      400,
      {
        code: 400,
        message: 'The body holds too many values: at most 250000 are allowed.',
        status: 'INVALID_ARGUMENT',
      },
    ]);
    expect(app.standin.calls).toEqual([]);
  });
});
