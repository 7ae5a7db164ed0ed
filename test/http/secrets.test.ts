import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { PROVIDERS, startUnderstudy } from '../../src/server.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { startStandin } from '../../standin/standin.ts';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import { flow } from '../support/start-app.ts';

type Fault = Parameters<Awaited<ReturnType<typeof startStandin>>['setFault']>[1];

/** Keys as they really look, put together here so that no text in the repository looks like one. */
const KEYS = {
  GOOGLE_API_KEY: ['AI', 'zaSy', 'Dq3-x9KvT_1mWz', 'RbN7hLp2YcJ8eUoX4g'].join(''),
  GOOGLE_API_KEY_2: ['A', 'Q.', 'Ab8RN6KzvT3qLw', '9sXyHd72mPfUcEoJ41gBtMnVrQ'].join(''),
  ANAM_API_KEY: ['Zk9uTWpRd', 'LXdhdC1', 'h+cGVyc/29uYS1rZXk6c2', 'VjcmV0=='].join(''),
} as const;
const [KEY, NEW_KEY, ANAM_KEY] = Object.values(KEYS) as [string, string, string];
/** Long enough to be no accident, short enough to find the half of a key that was cut. */
const PIECE = 10;
const MESSAGE_LIMIT = 300;
/** Of a refusal in bytes, and of a stream in characters. */
const READ_AT_MOST = 65_536;

const running: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
});

/** The whole server at level trace; whatever it said is kept and searched. */
async function startWatched(environment: Record<string, string> = {}) {
  const clock = createFakeClock();
  const keys = Object.entries(KEYS).map(([name, key]) => ({
    key,
    service: name.startsWith('G') ? ('google' as const) : ('anam' as const),
  }));
  const standin = await startStandin({ clock, keys });
  const config = readConfig(
    {
      ...KEYS,
      HOST: '127.0.0.1',
      PORT: '0',
      ANAM_PERSONA_ID: 'persona-1',
      ALLOW_CLIENT_PERSONA: 'true',
      GOOGLE_BASE_URL: standin.url,
      ANAM_BASE_URL: standin.url,
      ...environment,
    },
    PROVIDERS,
  );
  const said: string[] = [];
  const destination = { write: (line: string) => void said.push(line) };
  const log = createLogger({ level: 'trace', redact: config.redact, destination });
  const understudy = await startUnderstudy(config, { clock, random: () => 0.5, log });
  running.push(async () => {
    await standin.close();
    await flow(clock, understudy.stop(1000));
  });
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await flow(
      clock,
      fetch(`http://127.0.0.1:${understudy.port}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    );
    const text = await response.text();
    said.push(JSON.stringify([...response.headers]), text);
    return { status: response.status, text };
  };
  return {
    log,
    chat: () => post('/api/chat', { message: 'Hi' }),
    mint: (body: unknown = {}) => post('/api/anam/session-token', body),
    post,
    setFaults: (fault: Fault, keysStruck: readonly string[]) => {
      for (const key of keysStruck) standin.setFault(key, fault);
    },
    said: () => said.join('\n'),
    /** No piece of any key, in no line, answer or header. */
    expectSilence: () => {
      for (const piece of piecesOf([KEY, NEW_KEY, ANAM_KEY]))
        expect(said.join('\n')).not.toContain(piece);
    },
  };
}

function piecesOf(keys: readonly string[]): string[] {
  return keys.flatMap((key) =>
    Array.from({ length: key.length - PIECE + 1 }, (_, at) => key.slice(at, at + PIECE)),
  );
}

const raw = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  ({ kind: 'raw', status, body, headers }) as const;
const googleError = (code: number, status: string, message: string, details: unknown[] = []) =>
  raw(code, { error: { code, status, message, details } });
const event = (json: unknown) => `data: ${JSON.stringify(json)}\r\n\r\n`;
const streamed = (text: string) => raw(200, text, { 'content-type': 'text/event-stream' });
const piece = event({ candidates: [{ content: { parts: [{ text: 'Once' }], role: 'model' } }] });
const echo = `Consumer 'api_key:${KEY}' has been suspended.`;
const page = (text: string) => `<!DOCTYPE html><title>Error</title><p>${text}</p>`;

describe('a key that Google echoes', () => {
  const echoes: [string, Fault][] = [
    ['when it is suspended', { kind: 'suspended' }],
    ['in the message of a 400', googleError(400, 'INVALID_ARGUMENT', `${KEY} is not valid`)],
    ['in the message of a 403', googleError(403, 'PERMISSION_DENIED', echo)],
    ['in the message of a 429', googleError(429, 'RESOURCE_EXHAUSTED', echo)],
    ['in the message of a 500', googleError(500, 'INTERNAL', echo)],
    [
      'in the details',
      googleError(403, 'PERMISSION_DENIED', 'Denied.', [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: `CONSUMER_SUSPENDED`,
          metadata: { containerInfo: `api_key:${KEY}` },
        },
        { '@type': 'type.googleapis.com/google.rpc.DebugInfo', detail: `key=${KEY}` },
        { '@type': 'type.googleapis.com/google.rpc.LocalizedMessage', message: echo },
      ]),
    ],
    [
      'within an error within an error',
      googleError(403, 'x', JSON.stringify({ error: { code: 403, message: echo } })),
    ],
    [
      'where the message is cut',
      googleError(400, 'INVALID_ARGUMENT', 'x'.repeat(MESSAGE_LIMIT - 20) + KEY),
    ],
    ['broken over two lines', googleError(400, 'INVALID_ARGUMENT', `Bad key:\n${KEY}\r\n${KEY}`)],
    ['glued to other text', googleError(400, 'INVALID_ARGUMENT', `key=${KEY}${KEY}xyz`)],
    ['in an HTML page', raw(502, page(`key ${KEY}`))],
    ['in an attribute of an HTML page', raw(404, page(`<a href="/v1?key=${KEY}">here</a>`))],
    ['in plain text', raw(400, `Invalid key: ${KEY}`)],
    ['in a redirect', raw(302, '', { location: `https://example.test/?key=${KEY}` })],
    ['in its headers', raw(403, '{}', { 'x-debug': KEY, 'retry-after': KEY })],
    ['in a 200 that is not a stream', raw(200, `{"note":"${KEY}"}`)],
    ['in a 200 that is a page', raw(200, page(KEY), { 'content-type': 'text/html' })],
    ['in an event that is not JSON', streamed(`data: {"candidates": ${KEY}\r\n\r\n`)],
    ['in an error in the first event', streamed(event({ error: { code: 403, message: echo } }))],
    [
      'in an error in the middle of an answer',
      streamed(piece + event({ error: { code: 503, status: 'UNAVAILABLE', message: echo } })),
    ],
    [
      'in a bare error in the middle of an answer',
      streamed(`${piece}{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"${KEY}"}}`),
    ],
    ['where we stop reading a refusal', raw(400, ' '.repeat(READ_AT_MOST - 15) + KEY)],
    [
      'where the part of a stream begins that we remember',
      streamed(`data: {${KEY}${'x'.repeat(READ_AT_MOST - 15)}`),
    ],
    ['as the reason of a block', streamed(event({ promptFeedback: { blockReason: KEY } }))],
  ];

  it.each(echoes)('%s is in no answer and no log line', async (_, fault) => {
    const app = await startWatched();
    app.setFaults(fault, [KEY, NEW_KEY]);
    for (let turn = 0; turn < 3; turn += 1) await app.chat();
    expect(app.said()).toContain('"msg":"attempt"');
    app.expectSilence();
  });

  const MODEL = 'gemini-flash-latest';
  const HI = [{ role: 'user', content: 'Hi' }];
  it.each([
    ['/v1/messages', { model: MODEL, max_tokens: 9, messages: HI, stream: true }],
    ['/v1/messages/count_tokens', { model: MODEL, messages: HI }],
    ['/v1/responses', { model: MODEL, input: 'Hi', stream: true }],
    ['/v1/embeddings', { model: 'embedder', input: 'Hi' }],
    ['/v1beta/models/embedder:embedContent', { content: { parts: [{ text: 'Hi' }] } }],
    ['/api/live/token', {}],
  ])('to %s is in no answer and no log line', async (path, body) => {
    const app = await startWatched({
      CLIENT_TOKENS: CLIENT_TOKEN,
      GOOGLE_EMBEDDING_MODELS: 'embedder',
      GOOGLE_LIVE_MODEL: 'live',
    });
    // What rejects the keys comes last.
    for (const fault of [
      googleError(400, 'INVALID_ARGUMENT', `${KEY} is not valid: ${NEW_KEY}`),
      googleError(500, 'INTERNAL', echo),
      raw(400, `Invalid key: ${NEW_KEY}`),
      raw(200, `${KEY} {"error":"${NEW_KEY}"}`, { 'content-type': 'text/event-stream' }),
      { kind: 'suspended' } as const,
    ]) {
      // Google's good answers go on byte by byte.
      if (path.startsWith('/v1beta') && 'status' in fault && fault.status === 200) continue;
      app.setFaults(fault, [KEY, NEW_KEY]);
      await app.post(path, body, { authorization: `Bearer ${CLIENT_TOKEN}` });
    }
    expect(app.said()).toContain('"msg":"attempt"');
    expect(app.said()).not.toContain(CLIENT_TOKEN);
    app.expectSilence();
  });

  it('of the new format, or not ours, is in no answer and no log line', async () => {
    const app = await startWatched();
    const stranger = ['AI', 'za', 'SyStranger-0123456789abcdefghijklmn'].join('');
    app.setFaults(googleError(400, 'INVALID_ARGUMENT', `${NEW_KEY} ${stranger}`), [KEY, NEW_KEY]);
    expect((await app.chat()).status).toBe(400);
    app.expectSilence();
    expect(app.said()).not.toContain('Stranger');
    expect(app.said()).toContain('[redacted]');
  });
});

describe('a key that Anam echoes', () => {
  it.each<[string, Fault]>([
    ['in the error of a 401', raw(401, { error: `Invalid API key ${ANAM_KEY}` })],
    ['in the message of a 403', raw(403, { message: `Bearer ${ANAM_KEY} may not` })],
    [
      'in the details of a 400',
      raw(400, {
        error: 'Validation failed',
        details: [{ path: ['personaConfig', ANAM_KEY], message: ANAM_KEY }],
        summary: ANAM_KEY,
      }),
    ],
    ['in a text instead of a path', raw(400, { details: [{ path: ANAM_KEY, message: 'x' }] })],
    ['where the message is cut', raw(400, { error: 'x'.repeat(MESSAGE_LIMIT - 20) + ANAM_KEY })],
    ['in an HTML page', raw(502, page(ANAM_KEY))],
    ['in a redirect', raw(302, '', { location: `https://example.test/?key=${ANAM_KEY}` })],
    ['in its headers', raw(429, '{}', { 'x-debug': ANAM_KEY, 'ratelimit-reset': ANAM_KEY })],
    ['in a 200 without a token', raw(200, { apiKey: ANAM_KEY })],
    ['in a 200 that is not JSON', raw(200, ANAM_KEY)],
    ['in more than we read', raw(200, ANAM_KEY.repeat(10_000))],
  ])("%s is in no answer and no log line, for our persona and the client's", async (_, fault) => {
    const app = await startWatched();
    app.setFaults(fault, [ANAM_KEY]);
    await app.mint();
    await app.mint({ personaConfig: { personaId: 'theirs' } });
    expect(app.said()).toContain('"msg":"attempt"');
    app.expectSilence();
  });
});

describe('a key that Anam echoes in another form', () => {
  const written: Record<string, string> = {
    'for a URL': encodeURIComponent(ANAM_KEY),
    'in base64': Buffer.from(ANAM_KEY).toString('base64'),
    'in hexadecimal': Buffer.from(ANAM_KEY).toString('hex'),
    'without its beginning': ANAM_KEY.slice(9),
    'without its beginning and its end': `x${ANAM_KEY.slice(4, 16)}y`,
    'with escaped slashes': ANAM_KEY.replaceAll('/', '\\/'),
    'for a page': ANAM_KEY.replaceAll('=', '&#61;'),
  };
  it.each(Object.entries(written))('%s is in no answer and no log line', async (_, form) => {
    const app = await startWatched();
    for (const body of [{ error: `bad ?key=${form}` }, `bad ?key=${form}`]) {
      app.setFaults(raw(400, body), [ANAM_KEY]);
      await app.mint({ personaConfig: { personaId: 'theirs' } });
    }
    for (const piece of piecesOf([form])) expect(app.said()).not.toContain(piece);
    app.expectSilence();
  });
});

describe('when the connection fails', () => {
  it.each<[string, Fault]>([
    ['reset', { kind: 'reset' }],
    ['empty', { kind: 'empty_body' }],
    ['hanging', { kind: 'hang' }],
  ])('(%s), no error of axios or the SDK has the key', async (_, fault) => {
    const app = await startWatched();
    app.setFaults(fault, [KEY, NEW_KEY, ANAM_KEY]);
    expect((await app.chat()).status).toBeGreaterThanOrEqual(502);
    expect((await app.mint()).status).toBeGreaterThanOrEqual(502);
    app.expectSilence();
  });

  it.each<[string, Fault]>([
    ['cut', { kind: 'cut_mid_stream' }],
    ['stopped', { kind: 'hang_mid_stream' }],
    ['spoiled by an error', { kind: 'error_mid_stream' }],
    ['spoiled by a bare error', { kind: 'bare_error_mid_stream' }],
    ['malformed', streamed(`${piece}data: {"candidates": [}\r\n\r\n`)],
    ['not UTF-8', streamed(`${piece}data: \u{fffd}\r\n\r\n`)],
  ])('and a stream is %s, no error of the SDK has the key', async (_, fault) => {
    const app = await startWatched();
    app.setFaults(fault, [KEY, NEW_KEY]);
    expect((await app.chat()).status).toBeGreaterThanOrEqual(502);
    app.expectSilence();
  });

  it('for want of a listener, no error has the key', async () => {
    const nobody = `http://127.0.0.1:${await closedPort()}`;
    const app = await startWatched({ ANAM_BASE_URL: nobody, GOOGLE_BASE_URL: nobody });
    expect((await app.mint()).status).toBe(502);
    expect((await app.chat()).status).toBe(502);
    expect(app.said()).toContain('ECONNREFUSED');
    app.expectSilence();
  });

  it('for an unknown host, no error has the key', async () => {
    const nowhere = 'http://understudy.invalid';
    const app = await startWatched({ ANAM_BASE_URL: nowhere, GOOGLE_BASE_URL: nowhere });
    expect((await app.mint()).status).toBeGreaterThanOrEqual(502);
    expect((await app.chat()).status).toBeGreaterThanOrEqual(502);
    app.expectSilence();
  });
});

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

describe('a key that a client sends', () => {
  it('is not in the log', async () => {
    const app = await startWatched();
    await app.post(`/api/${KEY}`, {});
    await app.post(`/api/chat?key=${KEY}`, { message: '' });
    await app.post('/nowhere', {}, { authorization: `Bearer ${ANAM_KEY}`, 'x-goog-api-key': KEY });
    await app.post('/api/chat', { message: '' }, { referer: `http://x.test/?key=${KEY}` });
    app.expectSilence();
    expect(app.said()).toContain('"msg":"request"');
  });

  const MODEL = 'gemini-flash-latest';
  it.each<[string, Record<string, unknown>]>([
    ['/api/keys/check', {}],
    ['/api/clients', { name: 'shop' }],
    ['/api/chat', { message: 'Hi' }],
    ['/api/chat', { messages: [{ id: '1', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }] }],
    ['/api/session-token', {}],
    ['/v1/chat/completions', { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] }],
    ['/v1/messages', { model: MODEL, max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] }],
    ['/v1/responses', { model: MODEL, input: 'Hi' }],
  ])('as the name of a field or a model is not in the answer of %s', async (path, body) => {
    const app = await startWatched({ CLIENT_TOKENS: CLIENT_TOKEN, ADMIN_TOKEN });
    const token = path.startsWith('/v1') ? CLIENT_TOKEN : ADMIN_TOKEN;
    const ask = (more: object) =>
      app.post(path, { ...body, ...more }, { authorization: `Bearer ${token}` });
    expect(await ask({ [KEY]: 1 })).toMatchObject({
      status: 400,
      text: expect.stringContaining('[redacted]'),
    });
    await ask({ model: NEW_KEY });
    await ask({ name: { [NEW_KEY]: ANAM_KEY }, [ANAM_KEY]: NEW_KEY });
    app.expectSilence();
  });

  it.each([
    ['a key', KEY],
    ['a part of a key', NEW_KEY.slice(5, 25)],
    ['a token of the settings', CLIENT_TOKEN],
    ['a token made at run time', `us-${'Ab3_-'.repeat(9).slice(0, 43)}`],
  ])('as the id of its request is not accepted: %s', async (_, id) => {
    const app = await startWatched({ CLIENT_TOKENS: CLIENT_TOKEN });
    expect((await app.post('/api/chat', { message: 'Hi' }, { 'x-request-id': id })).status).toBe(
      200,
    );
    expect(app.said()).not.toContain(id);
    expect(app.said()).toMatch(/"x-request-id","[0-9a-f-]{36}"/);
    expect(app.said()).not.toContain('[redacted]');
  });
});

describe('a log line', () => {
  it.each<[string, (log: Awaited<ReturnType<typeof startWatched>>['log']) => void]>([
    ['an error that quotes a key', (log) => log.error({ err: new Error(`with ${KEY}`) }, 'x')],
    [
      'a cause that quotes a key',
      (log) => log.fatal({ err: new Error('x', { cause: new Error(ANAM_KEY) }) }, 'x'),
    ],
    [
      'headers with a key',
      (log) => log.trace({ headers: { authorization: `Bearer ${ANAM_KEY}` } }),
    ],
    ['a sentence', (log) => log.debug(`${NEW_KEY}`)],
    ['a child logger', (log) => log.child({ key: KEY }).warn('x')],
    ['a name of a field', (log) => log.info({ [KEY]: 1 }, 'x')],
  ])('with %s has no key', async (_, write) => {
    const app = await startWatched();
    write(app.log);
    expect(app.said()).toContain('[redacted]');
    app.expectSilence();
  });
});

describe('the console', () => {
  it('gets nothing, whatever fails', async () => {
    const written: string[] = [];
    const spies = [process.stdout, process.stderr].map((stream) =>
      vi.spyOn(stream, 'write').mockImplementation((chunk) => {
        written.push(String(chunk));
        return true;
      }),
    );
    try {
      const app = await startWatched();
      app.setFaults({ kind: 'suspended' }, [KEY, NEW_KEY]);
      app.setFaults({ kind: 'reset' }, [ANAM_KEY]);
      await app.chat();
      await app.mint();
      await app.post('/api/chat', { message: 1 });
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    expect(written).toEqual([]);
  });
});
