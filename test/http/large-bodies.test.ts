import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { CLIENT_TOKEN, shareForPrograms, startForPrograms } from '../support/programs.ts';
import { type App, flow } from '../support/start-app.ts';

const MB = 2 ** 20;
const LINGER_MS = 5000;
const ADVICE = 'Send shorter texts or smaller files. The limit is MAX_BODY_MB on the server.';
const AS_PROGRAM = { authorization: `Bearer ${CLIENT_TOKEN}` };
const AS_GOOGLE_CLIENT = { 'x-goog-api-key': CLIENT_TOKEN };
const COMPLETIONS = '/v1/chat/completions';
const GENERATE = '/v1beta/models/gemini-flash-latest:generateContent';

/** Every route that reads a body, with the form of its refusal. */
const ROUTES: readonly [string, Record<string, string>, RegExp][] = [
  [
    '/api/chat',
    {},
    // One that is declared too large, and one that is too large without its older images.
    /"code":"payload_too_large","message":"The body is larger than (?:100 MB\. .* is 5 times|20 MB\. .* is) MAX_BODY_MB on the server\."/,
  ],
  ['/api/session-token', {}, /"code":"payload_too_large"/],
  [
    '/api/anam/v1/engine/session',
    {},
    /^\{"error":"The body is larger than 20 MB\. Send shorter texts/,
  ],
  [
    '/api/anam/v1/metrics/client',
    {},
    /^\{"error":"The body is larger than 20 MB\. Send shorter texts/,
  ],
  ['/v1/chat/completions', AS_PROGRAM, /"type":"invalid_request_error"/],
  [GENERATE, AS_GOOGLE_CLIENT, /"code":413,.*"status":"INVALID_ARGUMENT"/],
  ['/api/login', {}, /"code":"payload_too_large","message":"The body is larger than 16 KB\."/],
  ['/api/logout', {}, /"message":"The body is larger than 16 KB\."/],
  ['/api/keys/google/release', AS_ADMIN, /"message":"The body is larger than 16 KB\."/],
  ['/api/keys/google/park', AS_ADMIN, /"message":"The body is larger than 16 KB\."/],
];

const ANSWER = { chunks: 1, text: 'one' };
const environment = { ADMIN_TOKEN, ANAM_API_KEY: 'a-one' };
const shared = shareForPrograms(ANSWER, { environment });
/** For tests that count calls, log lines or timers; the incidents of an admin would have a timer of their own. */
const start = () => startForPrograms(null, ANSWER, { environment: { ANAM_API_KEY: 'a-one' } });

const opened: Socket[] = [];
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
});

/** Opens a connection and sends only a head. */
function sendHead(app: App, path: string, headers: Record<string, string>) {
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
  opened.push(socket);
  const heard = { text: '', isClosed: false };
  socket.on('data', (chunk) => {
    heard.text += chunk;
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    heard.isClosed = true;
  });
  const lines = Object.entries({ 'content-type': 'application/json', ...headers });
  socket.write(
    [
      `POST ${path} HTTP/1.1`,
      'host: x',
      ...lines.map(([name, value]) => `${name}: ${value}`),
      '\r\n',
    ].join('\r\n'),
  );
  return { socket, heard };
}

/** Lets fake time run: a refusal waits a moment for the beginning of the body. */
const headOf = (app: App, heard: { text: string }) =>
  flow(
    app.clock,
    vi.waitFor(() => {
      expect(heard.text).toContain('\r\n\r\n');
      return heard.text;
    }),
    1,
  );

describe('a body that is declared too large', () => {
  it.each(ROUTES)(
    'at %s is refused before any of it was sent, and the connection ends',
    async (path, headers, form) => {
      const app = shared();
      const { heard } = sendHead(app, path, { ...headers, 'content-length': String(101 * MB) });
      const text = await headOf(app, heard);
      const [head = '', body = ''] = text.split('\r\n\r\n');
      expect(head).toMatch(/^HTTP\/1\.1 413 /);
      expect(head).toMatch(/^connection: close$/im);
      expect(body).toMatch(form);
      expect(Buffer.byteLength(body)).toBe(Number(/^content-length: (\d+)$/im.exec(head)?.[1]));
      await flow(
        app.clock,
        vi.waitFor(() => expect(heard.isClosed).toBe(true)),
        50,
      );
      expect(app.standin.calls).toEqual([]);
    },
  );

  it('gets no 100 Continue', async () => {
    const app = await start();
    const headers = { 'content-length': String(101 * MB), expect: '100-continue' };
    const { heard } = sendHead(app, '/v1/chat/completions', { ...AS_PROGRAM, ...headers });
    expect(await headOf(app, heard)).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('is read and dropped for five seconds before the refusal, and for five more so that its sender can read it', async () => {
    const app = await start();
    const headers = { ...AS_PROGRAM, 'content-length': String(101 * MB) };
    const { socket, heard } = sendHead(app, '/v1/chat/completions', headers);
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(1));
    app.clock.advance(LINGER_MS - 1);
    await nextTurn();
    expect((await app.get('/health')).status).toBe(200);
    expect(heard.text).toBe('');
    app.clock.advance(1);
    await vi.waitFor(() => expect(heard.text).toMatch(/^HTTP\/1\.1 413 /));
    socket.write(Buffer.alloc(MB));
    app.clock.advance(LINGER_MS - 1);
    await nextTurn();
    expect((await app.get('/health')).status).toBe(200);
    expect(heard.isClosed).toBe(false);
    app.clock.advance(1);
    await vi.waitFor(() => expect(heard.isClosed).toBe(true));
    expect(app.clock.pendingTimers()).toBe(0);
  });

  it('shows fetch the refusal while it sends 30 MB', async () => {
    const app = shared();
    const asked = fetch(app.url + COMPLETIONS, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...AS_PROGRAM },
      body: Buffer.alloc(30 * MB, ' '),
    });
    const response = await flow(app.clock, asked, 1);
    expect([response.status, response.headers.get('connection')]).toEqual([413, 'close']);
    expect(await response.text()).toMatch(/"type":"invalid_request_error"/);
  });
});

describe('a body of unknown length', () => {
  it.each(ROUTES.filter(([path]) => path === '/api/chat' || path === GENERATE))(
    'at %s is refused once it is too large, although it has no end',
    async (path, headers, form) => {
      const app = await start();
      const asked = request(app.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers, 'transfer-encoding': 'chunked' },
      });
      asked.on('error', () => {});
      const answered = once(asked, 'response');
      // 21 MB, and no end.
      for (let sent = 0; sent < 21; sent += 1) asked.write(Buffer.alloc(MB, ' '));
      const [response] = await flow(app.clock, answered, 1);
      expect([response.statusCode, response.headers.connection]).toEqual([413, 'close']);
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk;
      });
      await once(response, 'end');
      expect(text).toMatch(form);
      asked.destroy();
      await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
    },
  );
});

it('a client that reads only after it has sent everything gets the refusal', async () => {
  const app = await start();
  const headers = { ...AS_PROGRAM, 'content-length': String(30 * MB) };
  const { socket, heard } = sendHead(app, '/v1/chat/completions', headers);
  socket.pause();
  const fault = await new Promise((resolve) => socket.write(Buffer.alloc(30 * MB, ' '), resolve));
  expect(fault ?? null).toBeNull();
  socket.resume();
  await vi.waitFor(() => expect(heard.isClosed).toBe(true));
  expect(heard.text).toMatch(/^HTTP\/1\.1 413 /);
});

it('a body that is refused for another reason before it is complete is refused once', async () => {
  const app = await start();
  const asked = request(`${app.url}/api/chat`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'content-encoding': 'unknown',
      'transfer-encoding': 'chunked',
    },
  });
  const answered = once(asked, 'response');
  for (let sent = 0; sent < 21; sent += 1) asked.write(Buffer.alloc(MB, ' '));
  asked.end();
  const [response] = await flow(app.clock, answered, 1);
  response.resume();
  await once(response, 'end');
  expect([response.statusCode, response.headers.connection]).toEqual([415, 'keep-alive']);
  expect(app.logs.filter(({ msg }) => msg === 'request')).toEqual([
    expect.objectContaining({ status: 415, code: 'unsupported_media_type' }),
  ]);
});

describe('a body within the limit', () => {
  it('whose client leaves before its end is logged as such, and no key is asked', async () => {
    const app = await start();
    const { socket } = sendHead(app, '/api/chat', { 'content-length': '100' });
    socket.write('{"message":');
    await app.get('/health');
    socket.destroy();
    await vi.waitFor(() =>
      expect(app.logs.filter(({ msg }) => msg === 'request')).toEqual([
        expect.objectContaining({ path: '/api/chat', status: 499 }),
      ]),
    );
    expect(app.standin.calls).toEqual([]);
  });

  it.each([
    ['/v1/chat/completions', AS_PROGRAM, 400],
    [GENERATE, AS_GOOGLE_CLIENT, 400],
    ['/api/chat', {}, 400],
  ])('at %s gets 100 Continue if its client waits for it', async (path, headers, status) => {
    const app = await start();
    const expecting = { ...headers, 'content-length': '2', expect: '100-continue' };
    const { socket, heard } = sendHead(app, path, expecting);
    await vi.waitFor(() => expect(heard.text).toBe('HTTP/1.1 100 Continue\r\n\r\n'));
    socket.write('{}');
    await vi.waitFor(() => expect(heard.text).toContain(`HTTP/1.1 ${status} `));
    expect(heard.isClosed).toBe(false);
  });
});

const imageOf = (bytes: number) =>
  `data:image/jpeg;base64,${Buffer.alloc(bytes, 'photo').toString('base64')}`;

const aiSdkBody = (url: string) => ({
  id: 'chat-1',
  trigger: 'submit-message',
  messages: [
    {
      id: 'm1',
      role: 'user',
      parts: [
        { type: 'text', text: 'What is this?' },
        { type: 'file', mediaType: 'image/jpeg', url },
      ],
    },
  ],
});

const openaiBody = (url: string) => ({
  model: 'gemini-flash-latest',
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is this?' },
        { type: 'image_url', image_url: { url } },
      ],
    },
  ],
});

const geminiBody = (data: string) => ({
  contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/jpeg', data } }] }],
});

describe('a photo', () => {
  it('of 15 MB is read for a program', async () => {
    const app = await start();
    const answer = await app.post(COMPLETIONS, openaiBody(imageOf(15_000_000)), AS_PROGRAM);
    expect([answer.status, app.standin.calls.length]).toEqual([200, 1]);
  });

  it("of 15 MB is read in Gemini's own protocol", async () => {
    const app = await start();
    const data = Buffer.alloc(15_000_000).toString('base64');
    const answer = await app.post(GENERATE, geminiBody(data), AS_GOOGLE_CLIENT);
    expect([answer.status, app.standin.calls.length]).toEqual([200, 1]);
  });
});

describe('a text in place of an image', () => {
  it.each([
    ['parameters', `data:image/png${';a=b'.repeat(4 * MB)}`],
    ['a parameter', `data:image/png;a=${'b'.repeat(16 * MB)}`],
    ['a type', `data:${'a/'.repeat(8 * MB)}`],
    ['base64 with a fault at its end', `data:image/png;base64,${'abcd'.repeat(4 * MB)}!`],
  ])('of 16 MB of %s is refused by name', async (_, url) => {
    const app = shared();
    const answer = await app.post(COMPLETIONS, openaiBody(url), AS_PROGRAM);
    expect([answer.status, answer.body.error.param]).toEqual([
      400,
      'messages.0.content.1.image_url.url',
    ]);
  });
});

describe('a tool result', () => {
  it('of very many values goes on as text', async () => {
    const app = shared();
    const { model } = openaiBody('');
    const content = `{"a":${'['.repeat(2 * MB)}${']'.repeat(2 * MB)}}`;
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } };
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c1', content },
    ];
    const answer = await app.post(COMPLETIONS, { model, messages }, AS_PROGRAM);
    expect(answer.status).toBe(200);
    const faulty = { ...call, function: { name: 'f', arguments: content } };
    const refused = await app.post(
      COMPLETIONS,
      { model, messages: [messages[0], { role: 'assistant', tool_calls: [faulty] }] },
      AS_PROGRAM,
    );
    expect([refused.status, refused.body.error.param]).toEqual([
      400,
      'messages.1.tool_calls.0.function.arguments',
    ]);
  });
});

describe('a text', () => {
  it.each<[string, object, Record<string, string>]>([
    ['/api/chat', { message: 'a b '.repeat(MB) }, {}],
    ['/api/chat', { messages: [{ role: 'user', content: 'a b '.repeat(MB) }] }, {}],
    [
      COMPLETIONS,
      {
        model: 'gemini-flash-latest',
        messages: [{ role: 'user', content: 'a b '.repeat(4 * MB) }],
      },
      AS_PROGRAM,
    ],
  ])('of %s may be as long as the body', async (path, body, headers) => {
    const app = shared();
    expect((await app.post(path, body, headers)).status).toBe(200);
  });
});

describe('a body over the limit', () => {
  it.each([
    aiSdkBody(imageOf(15 * MB)),
    { messages: [{ role: 'user', content: 'x'.repeat(21 * MB) }] },
  ])('of messages is refused to the chat with the sentence alone', async (body) => {
    const { status, text: sentence } = await shared().post('/api/chat', body);
    expect([status, sentence]).toEqual([413, `The body is larger than 20 MB. ${ADVICE}`]);
  });

  it.each<[string, Record<string, string>]>([
    ['/api/chat', {}],
    [COMPLETIONS, AS_PROGRAM],
    [GENERATE, AS_GOOGLE_CLIENT],
  ])('at %s is one byte over MAX_BODY_MB', async (path, headers) => {
    const app = await startForPrograms(null, ANSWER, { environment: { MAX_BODY_MB: '7' } });
    const send = (bytes: number) => app.post(path, ' '.repeat(bytes), headers);
    const over = await send(7 * MB + 1);
    expect([over.status, over.body.error.message]).toEqual([
      413,
      `The body is larger than 7 MB. ${ADVICE}`,
    ]);
    expect((await send(7 * MB)).status).not.toBe(413);
  });
});

describe('large bodies in flight', () => {
  const HANGS = { kind: 'hang' } as const;
  /** Room for 2 MB of bodies; no answer begins. */
  const startSmall = () =>
    startForPrograms(HANGS, ANSWER, {
      keys: { fault: HANGS },
      environment: { ...environment, MAX_BODY_MB: '2', MAX_BODIES_MB: '6' },
    });
  const LARGE = JSON.stringify(aiSdkBody(imageOf(MB)));

  /** Sends a body whose answer does not begin. @returns what ends it */
  async function occupy(app: App, body: string | Buffer, headers: Record<string, string> = {}) {
    const { calls } = app.standin;
    const before = calls.length;
    const leaves = new AbortController();
    const asked = fetch(`${app.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
      signal: leaves.signal,
    });
    asked.catch(() => {});
    await vi.waitFor(() => expect(calls.length).toBe(before + 1));
    const ended = () => app.logs.filter(({ status }) => status === 499).length;
    return async function leave() {
      const endedBefore = ended();
      leaves.abort();
      await vi.waitFor(() => expect(ended()).toBe(endedBefore + 1));
    };
  }

  it.each<[string, string, Record<string, string>, RegExp]>([
    [
      '/api/chat',
      LARGE,
      {},
      /^The server is busy with other large requests\. Try again in 5 seconds\.$/,
    ],
    [
      '/api/chat',
      JSON.stringify({ message: 'x'.repeat(MB) }),
      {},
      /"code":"overloaded".*"retryAfterSeconds":5/,
    ],
    [
      COMPLETIONS,
      JSON.stringify(openaiBody(imageOf(MB))),
      AS_PROGRAM,
      /"type":"server_error".*"code":"overloaded"/,
    ],
    [
      GENERATE,
      JSON.stringify(geminiBody(imageOf(MB))),
      AS_GOOGLE_CLIENT,
      /"status":"UNAVAILABLE".*"retryDelay":"5s"/,
    ],
    ['/api/anam/v1/engine/session', ' '.repeat(MB), {}, /^\{"error":"The server is busy/],
  ])(
    'beyond their bound are refused at %s with 503 and Retry-After, small ones are not',
    async (path, body, headers, form) => {
      const app = await startSmall();
      const leave = await occupy(app, LARGE);
      const calls = app.standin.calls.length;
      const refused = await app.post(path, body, headers);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
      expect(refused.text).toMatch(form);
      expect(app.standin.calls.length).toBe(calls);
      await vi.waitFor(() =>
        expect(app.logs.at(-1)).toMatchObject({ status: 503, code: 'overloaded' }),
      );
      await occupy(app, JSON.stringify({ message: 'Hi' }));
      await leave();
      await occupy(app, LARGE);
    },
  );

  it('leave room for others once they are answered, have failed or their clients have left', async () => {
    const app = await startSmall();
    for (let round = 0; round < 20; round += 1) {
      const leave = await occupy(app, LARGE);
      await leave();
      await app.post('/api/chat', LARGE.slice(1));
      await app.post('/api/chat', ' '.repeat(2 * MB + 1));
      const { socket, heard } = sendHead(app, '/api/chat', { 'content-length': String(MB) });
      await new Promise((resolve) => socket.write(Buffer.alloc(MB / 2), resolve));
      await app.get('/health');
      socket.destroy();
      await vi.waitFor(() => expect(heard.isClosed).toBe(true));
    }
    app.standin.setFault('g-one', null);
    app.standin.setFault('g-two', null);
    const answers = [];
    for (let round = 0; round < 3; round += 1) answers.push(await app.post('/api/chat', LARGE));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('leave room for others also when a client leaves while its whole body is being decoded', async () => {
    const app = await startForPrograms(null, ANSWER, {
      environment: { ...environment, MAX_BODY_MB: '2', MAX_BODIES_MB: '6' },
    });
    const body = gzipSync(JSON.stringify({ message: 'x'.repeat(1.5 * MB) }));
    for (let round = 0; round < 20; round += 1) {
      const { socket } = sendHead(app, '/api/chat', {
        'content-encoding': 'gzip',
        'content-length': String(body.length),
      });
      socket.write(body, () => socket.destroy());
    }
    await vi.waitFor(() =>
      expect(app.logs.filter(({ msg }) => msg === 'request')).toHaveLength(20),
    );
    // Until what was being decoded then has come to its end.
    await vi.waitFor(async () => {
      const text = JSON.stringify({ message: 'x'.repeat(1.5 * MB) });
      expect((await app.post('/api/chat', text)).status).toBe(200);
    });
  });

  it('count only the bytes that have arrived, after decoding', async () => {
    const app = await startSmall();
    const slow = [1, 2, 3, 4].map(() =>
      sendHead(app, '/api/chat', { 'content-length': String(2 * MB) }),
    );
    for (const { socket } of slow) socket.write('{');
    const leave = await occupy(app, LARGE);
    const grown = gzipSync(JSON.stringify({ message: 'x'.repeat(MB) }));
    const gzip = { 'content-encoding': 'gzip' };
    const refused = await fetch(`${app.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...gzip },
      body: grown,
    });
    expect(refused.status).toBe(503);
    await leave();
    await occupy(app, grown, gzip);
    slow[0]?.socket.write(Buffer.alloc(2 * MB - 1, ' '));
    await vi.waitFor(() => expect(slow[0]?.heard.text).toMatch(/^HTTP\/1\.1 503 /));
  });
});
