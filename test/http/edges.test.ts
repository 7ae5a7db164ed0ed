import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import express from 'express';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createHttpServer, drain } from '../../src/http/listen.ts';
import { createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { type Answer, shareApp, startApp } from '../support/start-app.ts';

const SILENT = createLogger({ level: 'silent', redact: (text) => text });
const ONE_KEY = { GOOGLE_API_KEY: 'g-one' };
const shared = shareApp({ environment: ONE_KEY });
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;
const google = (key: string, more = {}) => ({ key, service: 'google' as const, ...more });

const MANY_HOSTS = 'There is more than one Host header.';

function ask(url: string, method: string, headers: Record<string, string> = {}) {
  return fetch(url, { method, headers });
}

function expectRefusal({ status, headers, body }: Answer, expected: [number, string]) {
  const requestId = headers.get('x-request-id');
  expect([status, body.error.code]).toEqual(expected);
  expect(body).toEqual({ error: { code: expected[1], message: expect.any(String), requestId } });
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
}

describe('an unknown path', () => {
  it.each([
    '/api',
    '/api/chat/more',
    '/.env',
    '/api/../../etc/passwd',
    '/%E0%A4%A',
    '/health%00',
    `/${'x'.repeat(5000)}`,
  ])('%s is 404 in our error form, for every method', async (path) => {
    const app = shared();
    expectRefusal(await app.get(path), [404, 'not_found']);
    expectRefusal(await app.post(path, {}), [404, 'not_found']);
    expect(app.logs.filter(({ level }) => level >= 50)).toEqual([]);
  });
});

describe('a method that a path does not allow', () => {
  it.each([
    ['/api/chat', ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'], 'POST, OPTIONS'],
    ['/api/anam/session-token', ['GET', 'HEAD', 'DELETE'], 'POST, OPTIONS'],
    ['/api/session-token', ['GET', 'PUT'], 'POST, OPTIONS'],
    ['/api/chat/chat-1/stream', ['POST', 'PUT', 'PATCH'], 'GET, HEAD, DELETE, OPTIONS'],
    ['/api/keys/status', ['POST', 'PUT', 'DELETE'], 'GET, HEAD, OPTIONS'],
    ['/health', ['POST', 'DELETE'], 'GET, HEAD, OPTIONS'],
  ])('at %s is 405, with the allowed methods', async (path, methods, allow) => {
    const app = shared();
    for (const method of methods) {
      const response = await ask(`${app.url}${path}`, method);
      expect([method, response.status, response.headers.get('allow')]).toEqual([
        method,
        405,
        allow,
      ]);
      const text = await response.text();
      if (method === 'HEAD') expect(text).toBe('');
      else expect(JSON.parse(text).error).toMatchObject({ code: 'method_not_allowed' });
    }
    expect(app.standin.calls).toEqual([]);
  });

  it.each(['/health', '/api/keys/status'])('HEAD of %s is GET without a body', async (path) => {
    const app = shared();
    const get = await ask(`${app.url}${path}`, 'GET');
    const head = await ask(`${app.url}${path}`, 'HEAD');
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect(head.headers.get('content-length')).toBe(String((await get.text()).length));
  });
});

describe('a page on another origin', () => {
  const preflight = (url: string, origin: string) =>
    ask(`${url}/api/chat`, 'OPTIONS', {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-request-id',
    });
  const allowed = async (environment: Record<string, string>, origin: string) => {
    const app = await startApp({ environment: { ...ONE_KEY, ...environment } });
    const asked = await preflight(app.url, origin);
    const answered = await app.post('/api/chat', { message: 'Hi' }, { origin });
    const refused = await app.post('/api/chat', {}, { origin });
    const answers = [asked, answered, refused];
    expect([asked.status, answered.status, refused.status]).toEqual([204, 200, 400]);
    const origins = answers.map(({ headers }) => headers.get('access-control-allow-origin'));
    expect(new Set(origins).size).toBe(1);
    return origins[0];
  };

  it.each([
    'http://localhost:5173',
    'https://localhost',
    'http://127.0.0.1:8080',
    'http://[::1]:3000',
  ])('on localhost is allowed during development: %s', async (origin) => {
    expect(await allowed({}, origin)).toBe(origin);
  });

  it.each([
    'https://example.test',
    'http://localhost.example.test',
    'http://notlocalhost:3000',
    'http://127.0.0.10:3000',
    'http://localhost:3000.example.test',
    'null',
  ])('elsewhere is not: %s', async (origin) => {
    expect(await allowed({}, origin)).toBeNull();
  });

  it('is not allowed in production, unless it is listed', async () => {
    const production = { NODE_ENV: 'production' };
    expect(await allowed(production, 'http://localhost:5173')).toBeNull();
    expect(await allowed(production, 'https://example.test')).toBeNull();
    const named = { ...production, CORS_ORIGINS: 'https://example.test' };
    expect(await allowed(named, 'https://example.test')).toBe('https://example.test');
  });

  it('is allowed if it is listed, and no other', async () => {
    const list = { CORS_ORIGINS: 'https://one.test, https://two.test:8443/' };
    expect(await allowed(list, 'https://one.test')).toBe('https://one.test');
    expect(await allowed(list, 'https://two.test:8443')).toBe('https://two.test:8443');
    expect(await allowed(list, 'https://two.test')).toBeNull();
    expect(await allowed(list, 'http://localhost:5173')).toBeNull();
  });

  it('is allowed anywhere with a star', async () => {
    expect(await allowed({ CORS_ORIGINS: '*' }, 'https://example.test')).toBe('*');
    expect(await allowed({ CORS_ORIGINS: 'https://one.test,*' }, 'https://example.test')).toBe('*');
  });

  it('is named by the answers to all others, so that a cache keeps them apart', async () => {
    const named = await startApp({ environment: { CORS_ORIGINS: 'https://one.test' } });
    const any = await startApp({ environment: { CORS_ORIGINS: '*' } });
    for (const path of ['/health', '/nowhere', '/docs']) {
      expect((await named.get(path)).headers.get('vary')).toBe('Origin');
      const { headers } = await any.get(path);
      expect([headers.get('vary'), headers.get('access-control-allow-origin')]).toEqual([
        null,
        '*',
      ]);
    }
  });

  it('gets the allowed methods and headers, and no credentials', async () => {
    const app = shared();
    const { headers } = await preflight(app.url, 'http://localhost:5173');
    expect(headers.get('access-control-allow-methods')).toContain('POST');
    expect(headers.get('access-control-allow-headers')).toBe('content-type,x-request-id');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    const { headers: answer } = await app.post(
      '/api/chat',
      { message: 'Hi' },
      { origin: 'http://localhost:5173' },
    );
    expect(answer.get('access-control-expose-headers')).toContain('x-request-id');
    expect(answer.get('access-control-expose-headers')).toContain('retry-after');
    expect(answer.get('vary')).toMatch(/origin/i);
  });
});

describe('every answer', () => {
  it.each([
    ['a success', 200, '/health', 'GET'],
    ['a status', 200, '/api/keys/status', 'GET'],
    ['an unknown path', 404, '/nowhere', 'GET'],
    ['a wrong method', 405, '/api/chat', 'GET'],
    ['a preflight', 204, '/api/chat', 'OPTIONS'],
    ['an answer without a body', 204, '/api/chat/chat-1/stream', 'GET'],
    ['the head of a status', 200, '/api/keys/status', 'HEAD'],
    ['a refusal', 415, '/api/chat', 'POST'],
  ])(
    '%s has a request id and the security headers, and does not name the server software',
    async (_, status, path, method) => {
      const app = shared();
      const body = method === 'POST' ? { body: 'Hi' } : {};
      const { status: answered, headers } = await fetch(`${app.url}${path}`, { method, ...body });
      expect(answered).toBe(status);
      expect(headers.get('x-request-id')).toMatch(UUID);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('SAMEORIGIN');
      expect(headers.get('content-security-policy')).toContain("default-src 'self'");
      expect(headers.get('strict-transport-security')).toContain('max-age=');
      expect(headers.get('x-powered-by')).toBeNull();
      expect(headers.get('server')).toBeNull();
      expect(headers.get('etag')).toBeNull();
    },
  );
});

describe('the request id', () => {
  it.each(['abc', 'A.b_c:d-1', '0'.repeat(100), 'f47ac10b-58cc-4372-a567-0e02b2c3d479'])(
    'of the caller is kept if it is short and harmless: %s',
    async (id) => {
      const app = shared();
      const { headers, body } = await app.post(
        '/api/chat',
        { message: 'Hi' },
        { 'x-request-id': id },
      );
      expect([headers.get('x-request-id'), body.requestId]).toEqual([id, id]);
      const { body: refusal } = await app.post('/api/chat', {}, { 'x-request-id': id });
      expect(refusal.error.requestId).toBe(id);
      expect(app.logs.filter(({ requestId }) => requestId === id)).toHaveLength(2);
    },
  );

  it.each([
    ['too long', 'x'.repeat(101)],
    ['with a space', 'a b'],
    ['with a tab', 'a\tb'],
    ['with a quote', 'a"b'],
    ['with an encoded newline', 'a%0d%0aSet-Cookie:x=1'],
    ['with a written newline', 'a\\nb'],
    ['with markup', '<script>'],
    ['with other letters', 'caf\u00e9'],
    ['empty', ''],
  ])('of the caller is replaced if it is %s', async (_, id) => {
    const app = shared();
    const { headers, body } = await app.post('/api/chat', {}, { 'x-request-id': id });
    expect(headers.get('x-request-id')).toMatch(UUID);
    expect(body.error.requestId).toBe(headers.get('x-request-id'));
  });

  it('of the caller is replaced if there are two', async () => {
    const app = shared();
    const id = await new Promise((resolve, reject) => {
      const request = httpRequest(`${app.url}/health`, (response) => {
        response.resume();
        resolve(response.headers['x-request-id']);
      });
      request.setHeader('x-request-id', ['one', 'two']);
      request.once('error', reject);
      request.end();
    });
    expect(id).toMatch(UUID);
  });

  it('is unique for each request', async () => {
    const app = shared();
    const answers = await Promise.all(Array.from({ length: 20 }, () => app.get('/health')));
    expect(new Set(answers.map(({ headers }) => headers.get('x-request-id'))).size).toBe(20);
  });
});

describe('the rate limit per address', () => {
  const LIMITED = { ...ONE_KEY, ANAM_API_KEY: 'a-one', RATE_LIMIT_CHAT: '2' };
  const from = (address: string) => ({ 'x-forwarded-for': address });

  it('admits two requests and refuses the third with a retry-after, without a call to the provider', async () => {
    const app = await startApp({ environment: LIMITED });
    const first = await app.chat('Hi');
    expect(first.headers.get('ratelimit-policy')).toMatch(/^"chat"; q=2; w=60/);
    expect(first.headers.get('ratelimit')).toMatch(/^"chat"; r=1; t=\d+$/);
    expect((await app.chat('Hi')).status).toBe(200);

    const { status, body, headers } = await app.chat('Hi');
    const seconds = Number(headers.get('retry-after'));
    expect(status).toBe(429);
    expect(body.error).toEqual({
      code: 'rate_limited',
      message: expect.stringContaining(`${seconds} seconds`),
      requestId: headers.get('x-request-id'),
      retryAfterSeconds: seconds,
    });
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(headers.get('ratelimit')).toMatch(/^"chat"; r=0; t=\d+$/);
    expect(app.standin.calls).toHaveLength(2);
    expect((await app.counts()).available).toBe(1);
  });

  it('holds for one route only', async () => {
    const app = await startApp({ environment: LIMITED });
    for (let turn = 0; turn < 3; turn += 1) await app.chat('Hi');
    expect((await app.post('/api/session-token', {})).status).toBe(200);
    expect((await app.get('/api/keys/status')).status).toBe(200);
    expect((await app.get('/health')).headers.get('ratelimit')).toBeNull();
  });

  it('counts both paths of the session token together', async () => {
    const app = await startApp({ environment: { ...LIMITED, RATE_LIMIT_SESSIONS: '2' } });
    const statuses: number[] = [];
    for (const path of ['/api/session-token', '/api/anam/session-token', '/api/session-token']) {
      statuses.push((await app.post(path, {})).status);
    }
    expect(statuses).toEqual([200, 200, 429]);
  });

  it('counts invalid requests too', async () => {
    const app = await startApp({ environment: LIMITED });
    await app.post('/api/chat', '{');
    await app.post('/api/chat', {});
    expect((await app.chat('Hi')).status).toBe(429);
  });

  it('uses the address from a trusted proxy', async () => {
    const app = await startApp({ environment: { ...LIMITED, TRUST_PROXY: '1' } });
    const chatFrom = (address: string) =>
      app.post('/api/chat', { message: 'Hi' }, from(address)).then(({ status }) => status);
    for (const address of ['198.51.100.1', '198.51.100.2']) {
      expect([await chatFrom(address), await chatFrom(address), await chatFrom(address)]).toEqual([
        200, 200, 429,
      ]);
    }
    expect(await chatFrom('203.0.113.9, 198.51.100.1')).toBe(429);
    expect(await chatFrom('198.51.100.1, 203.0.113.9')).toBe(200);
  });

  it('ignores forwarded addresses without a trusted proxy', async () => {
    const app = await startApp({ environment: { ...LIMITED, TRUST_PROXY: '0' } });
    const statuses: number[] = [];
    for (const address of ['198.51.100.1', '198.51.100.2', '198.51.100.3']) {
      const { status } = await app.post('/api/chat', { message: 'Hi' }, from(address));
      statuses.push(status);
    }
    expect(statuses).toEqual([200, 200, 429]);
  });

  it.each(['nonsense', '[2001:db8::1]:4711', ','])(
    'holds whatever the proxy sends: %s',
    async (address) => {
      const app = await startApp({ environment: { ...LIMITED, TRUST_PROXY: '1' } });
      const statuses: number[] = [];
      for (let turn = 0; turn < 3; turn += 1) {
        statuses.push((await app.post('/api/chat', { message: 'Hi' }, from(address))).status);
      }
      expect(statuses).toEqual([200, 200, 429]);
    },
  );

  it('writes nothing to the console about what the proxy sends', async () => {
    const app = await startApp({ environment: { ...LIMITED, TRUST_PROXY: '1' } });
    const written: unknown[] = [];
    const keep = (...args: unknown[]) => void written.push(...args);
    const spies = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn')];
    for (const spy of spies) spy.mockImplementation(keep);
    await app.post('/api/chat', { message: 'Hi' }, from('my-secret'));
    for (const spy of spies) spy.mockRestore();
    expect(written.map(String)).toEqual([]);
  });
});

describe('the status of the keys', () => {
  const none = { total: 0, available: 0, cooling_down: 0, exhausted: 0 };

  it('lists both services, and is ok when none is configured', async () => {
    const app = await startApp({ environment: {} });
    const { status, body, headers } = await app.get('/api/keys/status');
    expect([status, body]).toEqual([200, { status: 'ok', api_keys: { google: none, anam: none } }]);
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('is ok while each configured service has an available key, else degraded', async () => {
    const environment = { ...ONE_KEY, GOOGLE_API_KEY_2: 'g-two', ANAM_API_KEY: 'a-one' };
    const keys = [
      google('g-one', { fault: { kind: 'leaked' } }),
      google('g-two', { fault: { kind: 'minute_spent', retryAfterMs: 30_000 } }),
      { key: 'a-one', service: 'anam' as const },
    ];
    const app = await startApp({ environment, standin: { keys } });
    const anam = { total: 1, available: 1, cooling_down: 0, exhausted: 0 };
    const fresh = { ...anam, total: 2, available: 2 };
    expect((await app.get('/api/keys/status')).body).toEqual({
      status: 'ok',
      api_keys: { google: fresh, anam },
    });

    expect((await app.chat('Hi')).status).toBe(503);
    const google2 = { total: 2, available: 0, cooling_down: 1, exhausted: 1 };
    const degraded = await app.get('/api/keys/status');
    expect([degraded.status, degraded.body]).toEqual([
      200,
      { status: 'degraded', api_keys: { google: google2, anam } },
    ]);

    app.clock.advance(29_999);
    expect((await app.get('/api/keys/status')).body.status).toBe('degraded');
    app.clock.advance(1);
    expect((await app.get('/api/keys/status')).body).toEqual({
      status: 'ok',
      api_keys: { google: { ...google2, available: 1, cooling_down: 0 }, anam },
    });
  });

  it('has exactly the documented fields, in order', async () => {
    const app = shared();
    const zeros = '"available":0,"cooling_down":0,"exhausted":0';
    expect((await app.get('/api/keys/status')).text).toBe(
      `{"status":"ok","api_keys":{"google":{"total":1,"available":1,"cooling_down":0,"exhausted":0},"anam":{"total":0,${zeros}}}}`,
    );
  });
});

describe('the health', () => {
  it('is ok while no key is available', async () => {
    const app = await startApp({
      environment: { ...ONE_KEY, ANAM_API_KEY: 'a-one' },
      standin: {
        keys: [
          google('g-one', { fault: { kind: 'leaked' } }),
          { key: 'a-one', service: 'anam', fault: { kind: 'bad_key' } },
        ],
      },
    });
    await app.chat('Hi');
    await app.post('/api/session-token', {});
    expect((await app.counts()).available).toBe(0);
    expect((await app.counts('anam')).available).toBe(0);
    const { status, body } = await app.get('/health');
    expect([status, body]).toEqual([200, { status: 'ok', mode: 'live' }]);
  });

  it('is not logged', async () => {
    const app = shared();
    await app.get('/health');
    expect(app.logs.filter(({ path }) => path === '/health')).toEqual([]);
  });
});

describe('the HTTP server', () => {
  const closing: (() => unknown)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  async function serve(app: express.Express) {
    const server = createHttpServer(app, SILENT).listen(0, '127.0.0.1');
    closing.push(
      () => server.closeAllConnections(),
      () => server.close(),
    );
    await new Promise((resolve) => server.once('listening', resolve));
    return { server, port: (server.address() as AddressInfo).port };
  }

  it('keeps idle connections longer than proxies do', () => {
    const { keepAliveTimeout, headersTimeout, requestTimeout } = createHttpServer(
      express(),
      SILENT,
    );
    expect([keepAliveTimeout, headersTimeout, requestTimeout]).toEqual([120_000, 125_000, 130_000]);
  });

  it('answers twice over one connection', async () => {
    const app = shared();
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    closing.push(() => socket.destroy());
    const ask = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';
    const heard = readUntil(socket, (text) => text.split('"mode":"live"}').length === 3);
    socket.write(ask);
    socket.write(ask);
    const text = await heard;
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(text).toMatch(/keep-alive: timeout=120/i);
  });

  it.each([
    ['/v1/chat/completions', '{}', { error: expect.objectContaining({ code: 'invalid_request' }) }],
    [
      '//v1beta/openai/models/',
      '',
      { error: expect.objectContaining({ code: 'invalid_request' }) },
    ],
    [
      '/v1beta/models/x:generateContent',
      '{}',
      { error: expect.objectContaining({ code: 400, status: 'INVALID_ARGUMENT' }) },
    ],
    ['/api/anam/v1/engine/session', '{}', { error: MANY_HOSTS, message: MANY_HOSTS }],
    ['/api/chat', '{"messages":[]}', null],
  ])('refuses a second host in the form of the route: %s', async (path, body, expected) => {
    const app = await startApp({
      environment: { ...ONE_KEY, CLIENT_TOKENS: 'a-token-of-a-program' },
    });
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    const lines = [`POST ${path} HTTP/1.1`, 'Host: x', 'host: y', 'connection: close'];
    socket.write([...lines, `content-length: ${body.length}`, '', body].join('\r\n'));
    const [head = '', text = ''] = String(Buffer.concat(await socket.toArray())).split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    if (expected === null) expect(text).toBe(MANY_HOSTS);
    else expect(JSON.parse(text)).toEqual(expected);
    expect(app.standin.calls).toEqual([]);
  });

  it.each([
    ['text that is not HTTP', 'Hello\r\n\r\n', 400],
    ['a header without a name', 'GET /health HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n', 400],
    ['a control character in the path', 'GET /\u0001 HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['a negative length', 'POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n', 400],
    [
      'two lengths',
      'POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['a head without a host', 'GET /api/keys/status HTTP/1.1\r\n\r\n', 400],
    ['a second host', 'GET /api/keys/status HTTP/1.1\r\nHost: x\r\nX-A: b\r\nhOsT: y\r\n\r\n', 400],
    ['the same host twice', 'GET /api/keys/status HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n', 400],
    [
      'a second host without a version',
      'GET /api/keys/status HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n',
      400,
    ],
    [
      'a second host of a request that nobody serves',
      'GET /x HTTP/1.1\r\nHost: x\r\nHost:\r\n\r\n',
      400,
    ],
    [
      'a head of 20 KB',
      `GET /health HTTP/1.1\r\nHost: x\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
    ],
  ])('refuses %s in our error form, with a request id', async (_, sent, status) => {
    const app = shared();
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    closing.push(() => socket.destroy());
    const heard = readUntil(socket, (text) => text.includes('"requestId"'));
    socket.write(sent);
    const [head = '', body = ''] = (await heard).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    const { error } = JSON.parse(body);
    expect(error).toEqual({
      code: 'invalid_request',
      message: expect.any(String),
      requestId: expect.stringMatching(UUID),
    });
    expect(head.toLowerCase()).toContain(`x-request-id: ${error.requestId}`);
    expect(app.logs.some(({ requestId }) => requestId === error.requestId)).toBe(true);
    expect((await app.chat('Hi')).status).toBe(200);
  });

  it.each([
    ['nothing else', '', ''],
    ['a second request behind it', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', ''],
    ['an unknown expectation', '', 'Expect: foo\r\n'],
  ])(
    'adds nothing to an answer in progress when invalid data follows its request, with %s',
    async (_, second, header) => {
      const app = express();
      app.get('/', (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/plain' });
        response.write('half an answer');
      });
      const { port } = await serve(app);
      const socket = connect(port, '127.0.0.1');
      const heard = readUntil(socket, () => false);
      socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${header}\r\n${second}`);
      socket.once('data', () => socket.write('nonsense\r\n\r\n'));
      const text = await heard;
      expect(text).toContain('half an answer');
      expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    },
  );

  it('closes although a client keeps a refused connection open', async () => {
    const { server, port } = await serve(express());
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    closing.push(() => socket.destroy());
    const heard = readUntil(socket, (text) => text.includes('"requestId"'));
    socket.write('nonsense\r\n\r\n');
    await heard;
    await once(socket, 'end');
    await new Promise((resolve) => server.close(resolve));
  });

  it('answers all requests of a connection before it closes, and says so with the last answer', async () => {
    const app = express();
    const waiting: express.Response[] = [];
    app.get('/', (_request, response) => void waiting.push(response));
    const { server, port } = await serve(app);
    const socket = connect(port, '127.0.0.1');
    const heard = readUntil(socket, () => false);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2));
    await vi.waitFor(() => expect(waiting).toHaveLength(2));
    const drained = drain(server, createSystemClock(), { limitMs: 5000, idleMs: 0 });
    for (const response of waiting) response.send('an answer');
    const text = await heard;
    expect(await drained).toBe(true);
    expect(text.match(/an answer/g)).toHaveLength(2);
    expect(text.match(/connection: [a-z-]+/gi)).toEqual([
      'Connection: keep-alive',
      'Connection: close',
    ]);
  });

  it('answers a request with an unknown expectation', async () => {
    const app = shared();
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    closing.push(() => socket.destroy());
    const heard = readUntil(socket, (text) => text.includes('"mode"'));
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n');
    expect(await heard).toMatch(/^HTTP\/1\.1 200 OK\r\n.*x-request-id: /is);
  });

  it("gives requests and responses Express's own prototypes", async () => {
    const app = express();
    app.set('trust proxy', 1);
    app.post('/x', express.json(), (request, response) => {
      response
        .status(201)
        .set('x-own', 'yes')
        .cookie('a', 'b')
        .json({
          ip: request.ip,
          host: request.hostname,
          protocol: request.protocol,
          query: request.query,
          body: request.body,
          header: request.get('content-type'),
          isJson: request.is('json'),
          isTheirs: Object.getPrototypeOf(request) === app.request,
          isTheirsToo: Object.getPrototypeOf(response) === app.response,
        });
    });
    app.get('/away', (_request, response) => response.redirect('/x'));
    const { port } = await serve(app);
    const response = await fetch(`http://127.0.0.1:${port}/x?a=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': '198.51.100.7' },
      body: '{"b":2}',
    });
    expect([response.status, response.headers.get('x-own')]).toEqual([201, 'yes']);
    expect(await response.json()).toEqual({
      ip: '198.51.100.7',
      host: '127.0.0.1',
      protocol: 'http',
      query: { a: '1' },
      body: { b: 2 },
      header: 'application/json',
      isJson: 'json',
      isTheirs: true,
      isTheirsToo: true,
    });
    const away = await fetch(`http://127.0.0.1:${port}/away`, { redirect: 'manual' });
    expect([away.status, away.headers.get('location')]).toEqual([302, '/x']);
  });
});

function readUntil(socket: ReturnType<typeof connect>, isEnough: (text: string) => boolean) {
  return new Promise<string>((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      if (isEnough(text)) resolve(text);
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(text));
  });
}
