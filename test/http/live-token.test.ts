import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { GoogleGenAI } from '@google/genai';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const ROUTE = '/api/live/token';
const MODEL = 'gemini-3.8-live';
const MINUTE = 60_000;
const TOKEN = /^auth_tokens\/[\da-f]{64}$/;
const KEYS = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };

const startLive = (fault: Fault | null = null, environment: Record<string, string> = {}) =>
  startApp({
    environment: { ...KEYS, GOOGLE_LIVE_MODEL: MODEL, ...environment },
    standin: {
      keys: [
        { key: 'g-one', service: 'google', ...(fault === null ? {} : { fault }) },
        { key: 'g-two', service: 'google' },
      ],
    },
  });

const mint = (app: App, body: unknown = {}) => flow(app.clock, app.post(ROUTE, body));
const keysAsked = (app: App) => app.standin.calls.map(({ key }) => key);

describe('a token for a Live session', () => {
  it('is minted for the model and the prompt of the server, which are locked, and is uncached', async () => {
    const app = await startLive(null, { SYSTEM_PROMPT: 'You sell shoes.' });
    const { status, body, headers } = await app.post(ROUTE, {});
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    const now = app.clock.now();
    const times = {
      newSessionExpiresAt: new Date(now + MINUTE).toISOString(),
      expiresAt: new Date(now + 30 * MINUTE).toISOString(),
    };
    expect(body).toEqual({
      token: expect.stringMatching(TOKEN),
      model: MODEL,
      apiVersion: 'v1alpha',
      ...times,
      requestId: headers.get('x-request-id'),
    });
    expect(app.standin.calls).toMatchObject([
      {
        path: '/v1alpha/auth_tokens',
        body: {
          uses: 1,
          newSessionExpireTime: times.newSessionExpiresAt,
          expireTime: times.expiresAt,
          bidiGenerateContentSetup: {
            model: `models/${MODEL}`,
            systemInstruction: { parts: [{ text: 'You sell shoes.' }] },
          },
          fieldMask: 'model,systemInstruction,tools',
        },
      },
    ]);
  });

  it('locks the session to no prompt where the server has none', async () => {
    const app = await startLive();
    await mint(app);
    expect(app.standin.calls[0]?.body).toMatchObject({
      bidiGenerateContentSetup: { model: `models/${MODEL}` },
      fieldMask: 'model,systemInstruction,tools',
    });
  });

  it("has the same form as that of Google's own client", async () => {
    const app = await startLive(null, { SYSTEM_PROMPT: 'Hi' });
    await mint(app);
    const client = new GoogleGenAI({
      apiKey: 'g-two',
      httpOptions: { baseUrl: app.standin.url, apiVersion: 'v1alpha' },
    });
    const [ours] = app.standin.calls.map(({ body }) => body as Record<string, unknown>);
    const token = await client.authTokens.create({
      config: {
        uses: 1,
        expireTime: String(ours?.expireTime),
        newSessionExpireTime: String(ours?.newSessionExpireTime),
        liveConnectConstraints: { model: MODEL, config: { systemInstruction: 'Hi' } },
        lockAdditionalFields: ['tools'],
      },
    });
    expect(token.name).toMatch(TOKEN);
    const theirs = app.standin.calls[1]?.body as Record<string, unknown>;
    expect(Object.keys(theirs).toSorted()).toEqual(Object.keys(ours ?? {}).toSorted());
    expect(theirs).toMatchObject({
      ...ours,
      fieldMask: 'model,systemInstruction.parts,systemInstruction.role,tools',
    });
  });

  it("opens the session of Google's own client", async () => {
    const app = await startLive();
    const { body } = await mint(app);
    const live = await serveLive();
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const client = new GoogleGenAI({
      apiKey: body.token,
      httpOptions: { apiVersion: body.apiVersion, baseUrl: live.url },
    });
    const session = await client.live.connect({
      model: body.model,
      callbacks: { onmessage() {} },
    });
    expect(await live.opened).toEqual({
      path: '/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained',
      token: body.token,
      setup: { setup: expect.objectContaining({ model: `models/${MODEL}` }) },
    });
    session.close();
    warned.mockRestore();
  });

  it('is new each time, from the keys in rotation', async () => {
    const app = await startLive();
    const tokens = new Set<string>();
    for (let turn = 0; turn < 4; turn += 1) tokens.add((await mint(app)).body.token);
    expect(tokens.size).toBe(4);
    expect(keysAsked(app)).toEqual(['g-one', 'g-two', 'g-one', 'g-two']);
  });

  it('is in no log line, metric or overview', async () => {
    const app = await startLive(null, { ADMIN_TOKEN, GOOGLE_API_KEY_3: 'g-unknown' });
    const secrets = [];
    for (let turn = 0; turn < 3; turn += 1) secrets.push((await mint(app)).body.token);
    const said = [
      app.logText(),
      (await app.get('/metrics', AS_ADMIN)).text,
      (await app.get('/api/overview', AS_ADMIN)).text,
    ].join('\n');
    for (const secret of secrets) expect(said).not.toContain(secret.slice('auth_tokens/'.length));
    expect(said).toContain('gen_ai_operation_name="live_token"');
    expect(app.logs).toContainEqual(
      expect.objectContaining({ path: ROUTE, status: 200, model: MODEL }),
    );
  });
});

describe('a key that cannot mint a token', () => {
  it.each<[Fault['kind'], object]>([
    ['bad_key', { available: 1, exhausted: 1 }],
    ['prepay_empty', { available: 1, exhausted: 1 }],
    ['minute_spent', { available: 2 }],
    ['day_spent', { available: 2 }],
    ['exhausted_no_details', { available: 2 }],
    ['model_forbidden', { available: 2 }],
  ])(
    'is passed over until its time has come (%s), and answers chats as before',
    async (kind, counts) => {
      const app = await startLive({ kind } as Fault);
      for (let turn = 0; turn < 3; turn += 1) {
        expect((await mint(app)).body.token).toMatch(TOKEN);
      }
      expect(keysAsked(app)).toEqual(['g-one', 'g-two', 'g-two', 'g-two']);
      expect(await app.counts()).toMatchObject(counts);
    },
  );

  it.each<Fault['kind']>(['overloaded', 'reset', 'empty_body'])(
    'for trouble upstream is replaced, and nothing is parked: %s',
    async (kind) => {
      const app = await startLive({ kind } as Fault);
      expect((await mint(app)).body.token).toMatch(TOKEN);
      expect(keysAsked(app)).toEqual(['g-one', 'g-two']);
      expect(await app.counts()).toMatchObject({ available: 2 });
    },
  );

  it('hangs for 20 seconds at most', async () => {
    const app = await startLive({ kind: 'hang' });
    const startedAt = app.clock.now();
    expect((await mint(app)).body.token).toMatch(TOKEN);
    const ms = app.clock.now() - startedAt;
    expect([ms >= 20_000, ms < 22_000]).toEqual([true, true]);
  });

  it('leaves parked what a chat has found, when a later mint succeeds', async () => {
    const app = await startLive({ kind: 'prepay_empty' }, { GOOGLE_API_KEY_2: '' });
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(503);
    app.clock.advance(60 * MINUTE);
    app.standin.setFault('g-one', null);
    expect((await mint(app)).status).toBe(200);
    expect(await app.counts()).toMatchObject({ exhausted: 1 });
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    expect(await app.counts()).toMatchObject({ exhausted: 0 });
  });
});

describe('a refusal of a Live token', () => {
  it('names the missing setting, and no provider is called', async () => {
    const app = await startLive(null, { GOOGLE_LIVE_MODEL: '' });
    const { status, body, headers } = await mint(app);
    expect([status, body.error.code]).toEqual([404, 'not_found']);
    expect(body.error.message).toContain('GOOGLE_LIVE_MODEL');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(app.standin.calls).toEqual([]);
  });

  it.each([
    ['a model', { model: 'another' }, 'model'],
    ['a prompt', { systemPrompt: 'Obey.' }, 'systemPrompt'],
    ['constraints', { liveConnectConstraints: {} }, 'liveConnectConstraints'],
    ['a list', [], ''],
  ])('names the field of a browser that brings %s', async (_, sent, path) => {
    const app = await startLive();
    const { status, body } = await mint(app, sent);
    expect([status, body.error.code]).toEqual([400, 'invalid_request']);
    expect(body.error.details[0].path).toBe(path);
    expect(app.standin.calls).toEqual([]);
  });

  it('without any key names the variable', async () => {
    const app = await startApp({ environment: { GOOGLE_LIVE_MODEL: MODEL } });
    const { status, body } = await mint(app);
    expect([status, body.error.code]).toEqual([503, 'no_keys_configured']);
    expect(body.error.message).toContain('GOOGLE_API_KEY');
  });

  it('says when the first key returns', async () => {
    const app = await startLive(
      { kind: 'minute_spent', retryAfterMs: 40_000 },
      { GOOGLE_API_KEY_2: '' },
    );
    const { status, body, headers } = await mint(app);
    expect([status, body.error.code, headers.get('retry-after')]).toEqual([
      503,
      'all_keys_exhausted',
      '40',
    ]);
    expect((await app.chat('Hi')).status).toBe(503);
  });

  it.each<Fault['kind']>(['request_fault', 'html_404', 'location'])(
    'is ours to mend where Google finds fault with what we ask for: %s',
    async (kind) => {
      const app = await startLive({ kind } as Fault);
      const { status, body } = await mint(app);
      expect([status, body.error.code]).toEqual([502, 'upstream_failed']);
      expect(keysAsked(app)).toEqual(['g-one']);
      expect(app.logs).toContainEqual(
        expect.objectContaining({ msg: 'attempt', outcome: 'misconfigured', model: MODEL }),
      );
      expect(await app.counts()).toMatchObject({ available: 2 });
    },
  );

  it('names the setting where no key may use its model', async () => {
    const app = await startLive({ kind: 'model_gone' });
    app.standin.setFault('g-two', { kind: 'model_gone' });
    const { status, body } = await mint(app);
    expect([status, body.error.code]).toEqual([404, 'model_unavailable']);
    expect(body.error.message).toContain('GOOGLE_LIVE_MODEL');
    expect((await app.chat('Hi')).status).toBe(404);
  });

  it('by the rate limit counts Live tokens apart from those of avatars', async () => {
    const app = await startLive(null, { RATE_LIMIT_SESSIONS: '1', ANAM_API_KEY: 'a-one' });
    expect((await mint(app)).status).toBe(200);
    const { status, headers } = await mint(app);
    expect([status, headers.get('cache-control')]).toEqual([429, 'no-store']);
    expect((await app.post('/api/anam/session-token', {})).status).not.toBe(429);
  });
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A server for Live sessions. It reports the address, the token and the first message of the next session. */
async function serveLive() {
  const sockets = new Set<Socket>();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const opened = new Promise<{ path: string; token: string | null; setup: unknown }>((resolve) => {
    server.on('upgrade', (request, socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      const { pathname, searchParams } = new URL(`http://live${request.url}`);
      const accept = createHash('sha1')
        .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
      );
      socket.once('data', (frame) => {
        socket.write(frameOf('{"setupComplete":{}}'));
        resolve({
          path: pathname.replace('//', '/'),
          token: searchParams.get('access_token'),
          setup: JSON.parse(textOf(frame)),
        });
      });
    });
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, opened };
}

/** One short text, as a server sends it. */
const frameOf = (text: string) =>
  Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]);

/** The text of one masked WebSocket frame (RFC 6455, 5.2). */
function textOf(frame: Buffer): string {
  const maskAt = ((frame[1] ?? 0) & 127) === 126 ? 4 : 2;
  const mask = frame.subarray(maskAt, maskAt + 4);
  return Buffer.from(
    frame.subarray(maskAt + 4).map((byte, index) => byte ^ (mask[index % 4] ?? 0)),
  ).toString();
}
