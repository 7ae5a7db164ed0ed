import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { CLIENT_TOKEN, startForPrograms } from '../support/programs.ts';
import { type App, flow } from '../support/start-app.ts';

const MB = 2 ** 20;
const LINGER_MS = 5000;
const AS_PROGRAM = { authorization: `Bearer ${CLIENT_TOKEN}` };
const AS_GOOGLE_CLIENT = { 'x-goog-api-key': CLIENT_TOKEN };
const GENERATE = '/v1beta/models/gemini-flash-latest:generateContent';

/** Every route that reads a body, with the words in which its callers are refused. */
const ROUTES: readonly [string, Record<string, string>, RegExp][] = [
  ['/api/chat', {}, /"code":"payload_too_large","message":"The body is larger than \d+ MB\."/],
  ['/api/session-token', {}, /"code":"payload_too_large"/],
  ['/api/anam/v1/engine/session', {}, /^\{"error":"The body is larger than \d+ MB\."/],
  ['/api/anam/v1/metrics/client', {}, /^\{"error":"The body is larger than \d+ MB\."/],
  ['/v1/chat/completions', AS_PROGRAM, /"type":"invalid_request_error"/],
  [GENERATE, AS_GOOGLE_CLIENT, /"code":413,.*"status":"INVALID_ARGUMENT"/],
  ['/api/login', {}, /"code":"payload_too_large","message":"The body is larger than 16 KB\."/],
  ['/api/logout', {}, /"message":"The body is larger than 16 KB\."/],
  ['/api/keys/google/release', AS_ADMIN, /"message":"The body is larger than 16 KB\."/],
  ['/api/keys/google/park', AS_ADMIN, /"message":"The body is larger than 16 KB\."/],
];

const start = () =>
  startForPrograms(null, { chunks: 1 }, { environment: { ADMIN_TOKEN, ANAM_API_KEY: 'a-one' } });

const opened: Socket[] = [];
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
});

/** A connection on which only a head has been sent. */
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

/** While fake time stands still or moves a little: the caller's form may be waited for. */
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
      const app = await start();
      const { heard } = sendHead(app, path, { ...headers, 'content-length': String(100 * MB) });
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

  it('is not asked for when its client waits for 100 Continue', async () => {
    const app = await start();
    const headers = { 'content-length': String(100 * MB), expect: '100-continue' };
    const { heard } = sendHead(app, '/v1/chat/completions', { ...AS_PROGRAM, ...headers });
    expect(await headOf(app, heard)).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('is thrown away for five seconds, so that its sender can read the refusal, and no longer', async () => {
    const app = await start();
    const headers = { ...AS_PROGRAM, 'content-length': String(100 * MB) };
    const { socket, heard } = sendHead(app, '/v1/chat/completions', headers);
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

  it.each(ROUTES)(
    'at %s shows fetch the refusal while it sends 30 MB',
    async (path, headers, form) => {
      const app = await start();
      const asked = fetch(app.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: Buffer.alloc(30 * MB, ' '),
      });
      const response = await flow(app.clock, asked, 1);
      expect([response.status, response.headers.get('connection')]).toEqual([413, 'close']);
      expect(await response.text()).toMatch(form);
    },
  );
});

describe('a body of unknown length', () => {
  it.each(ROUTES)('at %s is refused as soon as it is too large', async (path, headers, form) => {
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
  });
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

it('a body that is refused for another reason before it has come is refused once', async () => {
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
  it.each([
    ['/v1/chat/completions', AS_PROGRAM, 400],
    [GENERATE, AS_GOOGLE_CLIENT, 400],
    ['/api/chat', {}, 400],
  ])('at %s is asked for when its client waits for 100 Continue', async (path, headers, status) => {
    const app = await start();
    const expecting = { ...headers, 'content-length': '2', expect: '100-continue' };
    const { socket, heard } = sendHead(app, path, expecting);
    await vi.waitFor(() => expect(heard.text).toBe('HTTP/1.1 100 Continue\r\n\r\n'));
    socket.write('{}');
    await vi.waitFor(() => expect(heard.text).toContain(`HTTP/1.1 ${status} `));
    expect(heard.isClosed).toBe(false);
  });
});
