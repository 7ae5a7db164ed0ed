import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { createClient } from '@anam-ai/js-sdk';
import { describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import type { StandinKey } from '../../standin/standin-key.ts';
import { type App, flow, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = '/api/anam/v1/engine/session';
const STARTED = { sessionId: expect.stringMatching(/^[\w-]{36}$/), engineHost: expect.any(String) };

/** Two accounts; of the first, whatever is given. */
const startWith = (first: Partial<StandinKey>, environment = {}) =>
  startApp({
    environment: { ANAM_API_KEY: 'a-one', ANAM_API_KEY_2: 'a-two', ...environment },
    standin: {
      keys: [
        { key: 'a-one', service: 'anam', ...first },
        { key: 'a-two', service: 'anam' },
      ],
    },
  });

async function mint(app: App, body = {}): Promise<string> {
  const answer = await flow(app.clock, app.post('/api/anam/session-token', body));
  return answer.body.sessionToken;
}

const start = (app: App, token: string, body: unknown = {}) =>
  flow(app.clock, app.post(START, body, { authorization: `Bearer ${token}` }));

const callsTo = (app: App, path: string) =>
  app.standin.calls.filter((call) => call.path.endsWith(path)).map(({ key }) => key);
const starts = (app: App) => callsTo(app, '/engine/session');

describe("the avatar's own SDK", () => {
  it('starts its session with another account when the first has no slot', async () => {
    const app = await startWith({ account: { slots: 0 } });
    const token = await mint(app);
    const client = createClient(token, {
      api: { baseUrl: `${app.url}/api/anam` },
    });
    // What follows needs a browser: it fails, and says so, once its session has started.
    const complaints = vi.spyOn(console, 'error').mockImplementation(() => {});
    client.stream().catch(() => {});
    const started = vi.waitFor(() => expect(client.getActiveSessionId()).toMatch(/^[\w-]{36}$/));
    await whileTimePasses(app.clock, started);
    await client.stopStreaming();
    const metrics = app.logs.filter(({ path }) => path === '/api/anam/v1/metrics/client');
    expect(metrics.map(({ status }) => status)).toEqual(metrics.map(() => 200));
    complaints.mockRestore();
    expect(starts(app)).toEqual(['a-one', 'a-two']);
    expect(await app.counts('anam')).toMatchObject({ available: 1, cooling_down: 1 });
    await mint(app);
    expect(callsTo(app, '/session-token')).toEqual(['a-one', 'a-two', 'a-two']);
  });
});

describe('a session start that the browser has shaped', () => {
  it.each<[string, object, object]>([
    [
      'options of its own',
      {},
      { sessionOptions: { voiceDetection: { endOfSpeechSensitivity: 9 } } },
    ],
    ['a persona of its own', { personaConfig: { personaId: 'mine' } }, {}],
  ])('parks no account when it is refused without a cause: %s', async (_, persona, body) => {
    const environment = {
      ALLOW_CLIENT_PERSONA: 'true',
      ANAM_API_KEY_3: 'a-three',
      ANAM_API_KEY_4: 'a-four',
    };
    const fault = { kind: 'usage_limit' } as const;
    const app = await startApp({
      environment: { ANAM_API_KEY: 'a-one', ANAM_API_KEY_2: 'a-two', ...environment },
      standin: {
        keys: ['a-one', 'a-two', 'a-three', 'a-four'].map((key) => ({
          key,
          service: 'anam' as const,
          fault,
        })),
      },
    });
    const answer = await start(app, await mint(app, persona), body);
    expect([answer.status, answer.body.error]).toEqual([429, 'Usage limit reached']);
    expect(starts(app)).toHaveLength(3);
    expect(await app.counts('anam')).toMatchObject({ available: 4 });
  });
});

describe('a session start on a used-up account', () => {
  it.each<[Fault['kind'], object]>([
    ['usage_limit', { available: 1, exhausted: 1 }],
    ['spend_cap', { available: 1, exhausted: 1 }],
    ['no_plan', { available: 1, exhausted: 1 }],
    ['slots_busy', { available: 1, cooling_down: 1 }],
    ['not_entitled', { available: 1, cooling_down: 1 }],
  ])('uses another account (%s), and parks the first', async (kind, counts) => {
    const app = await startWith({ fault: { kind } as Fault });
    const { status, body, headers } = await start(app, await mint(app));
    expect([status, body, headers.get('cache-control')]).toEqual([
      200,
      expect.objectContaining(STARTED),
      'no-store',
    ]);
    expect(starts(app)).toEqual(['a-one', 'a-two']);
    expect(await app.counts('anam')).toMatchObject(counts);
  });

  it('sends the same request and persona', async () => {
    const app = await startWith(
      { fault: { kind: 'usage_limit' } },
      { ALLOW_CLIENT_PERSONA: 'true' },
    );
    const personaConfig = { name: 'Ada', avatarId: 'a', voiceId: 'v', llmId: 'l' };
    const token = await mint(app, { personaConfig });
    const request = { sessionOptions: { videoQuality: 'high' }, clientMetadata: { client: 'x' } };
    await start(app, token, request);
    const bodies = app.standin.calls.map(({ body }) => body);
    expect(bodies).toEqual([{ personaConfig }, request, { personaConfig }, request]);
  });

  it('sends each account its own persona', async () => {
    const app = await startWith(
      { fault: { kind: 'usage_limit' }, account: { personas: ['one'] } },
      { ANAM_API_KEY_PERSONA_ID: 'one', ANAM_API_KEY_2_PERSONA_ID: 'two' },
    );
    expect((await start(app, await mint(app))).status).toBe(200);
    const minted = app.standin.calls.filter(({ path }) => path.endsWith('/session-token'));
    expect(minted.map(({ body }) => body)).toEqual([
      { personaConfig: { personaId: 'one' } },
      { personaConfig: { personaId: 'two' } },
    ]);
  });

  it('is a 429 when no other account has the persona', async () => {
    const app = await startWith({ fault: { kind: 'usage_limit' } });
    const token = await mint(app);
    app.standin.setFault('a-two', {
      kind: 'raw',
      status: 400,
      body: { error: 'No such voice' },
      step: 'mint',
    });
    const { status, body } = await start(app, token);
    expect([status, body.error]).toEqual([429, 'Usage limit reached']);
    expect(await app.counts('anam')).toMatchObject({ available: 1, exhausted: 1 });
  });

  it('ejects an account whose engines fail although it mints tokens', async () => {
    const app = await startWith({ fault: { kind: 'no_engines' } });
    for (let turn = 0; turn < 6; turn += 1) await start(app, await mint(app));
    expect(await app.counts('anam')).toMatchObject({ available: 1, cooling_down: 1 });
  });

  it('has time for another account when the first hangs', async () => {
    const app = await startWith({});
    const token = await mint(app);
    app.standin.setFault('a-one', { kind: 'hang', step: 'start' });
    const startedAt = app.clock.now();
    expect((await start(app, token)).status).toBe(200);
    expect(app.clock.now() - startedAt).toBeLessThan(9500);
    expect(starts(app)).toEqual(['a-one', 'a-two']);
  });

  it('is a provider failure when the new token is refused', async () => {
    const app = await startWith({ fault: { kind: 'usage_limit' } });
    app.standin.setFault('a-two', { kind: 'token_expired' });
    expect((await start(app, await mint(app))).status).toBe(502);
  });

  it('is not tried while the account is parked', async () => {
    const app = await startWith({ fault: { kind: 'usage_limit' } });
    const tokens = [await mint(app), await mint(app), await mint(app)];
    for (const token of tokens) expect((await start(app, token)).status).toBe(200);
    expect(starts(app)).toEqual(['a-one', 'a-two', 'a-two', 'a-two']);
  });

  it.each([
    ['Concurrent session limit reached', { kind: 'slots_busy', estimatedWaitSeconds: 90 }, 90],
    ['Spend cap reached', { kind: 'spend_cap' }, 3600],
    ['Usage limit reached', { kind: 'usage_limit' }, 3600],
  ] as const)('on every account is a 429 that says so: %s', async (error, fault, seconds) => {
    const app = await startWith({ fault });
    app.standin.setFault('a-two', fault);
    const { status, body, headers } = await start(app, await mint(app));
    expect([status, body.error, headers.get('retry-after')]).toEqual([429, error, String(seconds)]);
  });

  it('is a 429 without a call when every account is parked', async () => {
    const app = await startWith({ fault: { kind: 'usage_limit' } });
    app.standin.setFault('a-two', { kind: 'usage_limit' });
    const [one, two] = [await mint(app), await mint(app)];
    await start(app, one);
    const { status, body } = await start(app, two);
    expect([status, body.error]).toEqual([
      429,
      'All Anam API keys exhausted. Please try again later.',
    ]);
    expect(starts(app)).toHaveLength(2);
  });
});

describe('the state of an account', () => {
  it('a busy slot cools down for exactly the time that Anam says', async () => {
    const app = await startWith({ fault: { kind: 'slots_busy', estimatedWaitSeconds: 90 } });
    await start(app, await mint(app));
    const parkedUntil = app.clock.now() + 90_000;
    app.standin.setFault('a-one', null);
    app.clock.set(parkedUntil - 1000);
    expect(await app.counts('anam')).toMatchObject({ available: 1 });
    app.clock.set(parkedUntil);
    expect(await app.counts('anam')).toMatchObject({ available: 2 });
  });

  it('a busy slot without a time cools down for a minute', async () => {
    const app = await startWith({ account: { slots: 0 } });
    await start(app, await mint(app));
    const parked = app.logs.find(({ parks }) => parks === 'project');
    expect(Date.parse(String(parked?.until)) - app.clock.now()).toBeLessThanOrEqual(MINUTE);
  });

  it('used-up minutes need action until a session starts, although tokens are minted', async () => {
    const app = await startWith({ fault: { kind: 'usage_limit' } });
    app.standin.setFault('a-two', { kind: 'usage_limit' });
    await start(app, await mint(app));
    expect(await app.counts('anam')).toMatchObject({ exhausted: 2 });
    app.clock.advance(HOUR);
    const token = await mint(app);
    expect(token).toEqual(expect.any(String));
    expect(await app.counts('anam')).toMatchObject({ exhausted: 2 });
    app.standin.setFault('a-one', null);
    app.standin.setFault('a-two', null);
    expect((await start(app, token)).status).toBe(200);
    expect(await app.counts('anam')).toMatchObject({ available: 1, exhausted: 1 });
  });

  it.each<[string, (app: App) => Promise<string>, Fault | null]>([
    ['an expired token', mint, { kind: 'token_expired' }],
    [
      'a request that Anam cannot read',
      mint,
      { kind: 'raw', status: 400, body: { error: 'No' }, step: 'start' },
    ],
  ])('%s opens and parks nothing, and gets the answer of Anam', async (_, token, fault) => {
    const app = await startWith({});
    const given = await token(app);
    app.standin.setFault('a-one', fault);
    const { status, body } = await start(app, given);
    expect([status < 500, body.error]).toEqual([true, expect.any(String)]);
    expect(await app.counts('anam')).toMatchObject({ available: 2 });
    expect(starts(app)).toHaveLength(1);
  });
});

describe('a token', () => {
  it('is valid for one session, on any account', async () => {
    const app = await startWith({ account: { slots: 0 } });
    const token = await mint(app);
    expect((await start(app, token)).status).toBe(200);
    const { status, body } = await start(app, token);
    expect([status, body.error]).toEqual([401, 'Session token has already been used.']);
    expect(starts(app)).toEqual(['a-one', 'a-two']);
  });

  it('starts one session for several concurrent requests', async () => {
    const app = await startWith({ account: { slots: 0 } });
    const token = await mint(app);
    const answers = await Promise.all([start(app, token), start(app, token), start(app, token)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401]);
    expect(starts(app)).toEqual(['a-one', 'a-two']);
  });

  it.each(['a=1', '  ', '"text"', '{"a":'])('is sent with any body: %s', async (body) => {
    const app = await startWith({});
    const heard: string[] = [];
    const anam = createHttpServer((request, response) => {
      let text = '';
      request.on('data', (bytes: Buffer) => {
        text += bytes;
      });
      request.on('end', () => {
        heard.push(text);
        response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"No"}');
      });
    }).listen(0, '127.0.0.1');
    await once(anam, 'listening');
    const { port } = anam.address() as AddressInfo;
    const other = await startApp({
      clock: app.clock,
      environment: { ANAM_API_KEY: 'a-one', ANAM_BASE_URL: `http://127.0.0.1:${port}` },
    });
    expect((await start(other, 'a.b.c', body)).body).toEqual({ error: 'No' });
    expect(heard).toEqual([body]);
    anam.close();
  });

  it('of another server is passed on as it is, and so is the answer', async () => {
    const app = await startWith({});
    const { status, body } = await start(app, 'a.b.c', { clientMetadata: { client: 'x' } });
    expect([status, body.error]).toEqual([401, 'Session token is invalid or has expired']);
    expect(app.standin.calls).toMatchObject([
      { key: '', body: { clientMetadata: { client: 'x' } } },
    ]);
    expect(await app.counts('anam')).toMatchObject({ available: 2 });
  });

  it('is remembered for an hour, then passed on', async () => {
    const app = await startWith({ account: { slots: 0 } });
    const token = await mint(app);
    app.clock.advance(HOUR);
    expect((await start(app, token)).status).toBe(401);
    expect(starts(app)).toHaveLength(1);
  });

  it('may be used again after a refusal', async () => {
    const app = await startWith({ fault: { kind: 'no_engines' } });
    app.standin.setFault('a-two', { kind: 'no_engines' });
    const token = await mint(app);
    expect((await start(app, token)).status).toBe(502);
    app.standin.setFault('a-one', null);
    expect((await start(app, token)).status).toBe(200);
  });

  it.each<[string, Record<string, string>]>([
    ['is missing', {}],
    ['is not a bearer', { authorization: 'Basic abc' }],
    ['is empty', { authorization: 'Bearer ' }],
  ])("that %s is refused in Anam's form", async (_, headers) => {
    const app = await startWith({});
    const { status, body } = await app.post(START, {}, headers);
    expect([status, body.error]).toEqual([401, 'Session token is missing.']);
    expect(app.standin.calls).toEqual([]);
  });
});

describe("the SDK's metrics", () => {
  it('have a rate limit per address', async () => {
    const app = await startWith({}, { RATE_LIMIT_SESSIONS: '1' });
    const statuses: number[] = [];
    for (let turn = 0; turn < 21; turn += 1) {
      statuses.push((await app.post('/api/anam/v1/metrics/client', {})).status);
    }
    expect(statuses).toEqual([...Array(20).fill(200), 429]);
  });

  it('are passed on to Anam', async () => {
    const app = await startWith({});
    const metric = { name: 'client_session_attempt', value: 1 };
    const { status, body } = await app.post('/api/anam/v1/metrics/client', metric);
    expect([status, body]).toEqual([200, { success: true }]);
    expect(app.standin.calls).toMatchObject([{ path: '/v1/metrics/client', body: metric }]);
  });
});

describe('the route of session starts', () => {
  it('answers before the SDK gives up', async () => {
    const app = await startWith({});
    const token = await mint(app);
    for (const key of ['a-one', 'a-two'])
      app.standin.setFault(key, { kind: 'hang', step: 'start' });
    const startedAt = app.clock.now();
    const { status, body } = await start(app, token);
    expect([status, body.error]).toEqual([504, expect.stringMatching(/in time/)]);
    expect(app.clock.now() - startedAt).toBeLessThan(10_000);
    const unknown = await start(app, 'a.b.c').catch(() => null);
    expect(unknown?.status).toBe(401);
    expect(app.clock.pendingTimers()).toBe(0);
  });

  it('has the same time limit for an unknown token', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const app = await startWith({}, { ANAM_BASE_URL: `http://127.0.0.1:${port}` });
    const startedAt = app.clock.now();
    expect((await start(app, 'a.b.c')).status).toBe(504);
    expect(app.clock.now() - startedAt).toBeLessThan(10_000);
    silent.close();
  });

  it('aborts the call when the client disconnects, and parks nothing', async () => {
    const app = await startWith({});
    const token = await mint(app);
    app.standin.setFault('a-one', { kind: 'hang', step: 'start' });
    const leaving = new AbortController();
    const asked = fetch(`${app.url}${START}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      signal: leaving.signal,
    });
    await vi.waitFor(() => expect(starts(app)).toHaveLength(1));
    leaving.abort();
    await expect(asked).rejects.toThrow();
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
    expect(await app.counts('anam')).toMatchObject({ available: 2 });
  });

  it('refuses if no key is configured', async () => {
    const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
    const { status, body } = await start(app, 'a.b.c');
    expect([status, body.error]).toEqual([503, expect.stringMatching(/Set ANAM_API_KEY/)]);
  });

  it("limits an address in Anam's form", async () => {
    const app = await startWith({}, { RATE_LIMIT_SESSIONS: '1' });
    await start(app, 'a.b.c');
    const { status, body } = await start(app, 'a.b.c');
    expect([status, body.error]).toEqual([429, expect.stringMatching(/^Too many requests/)]);
  });

  it('keeps tokens and keys out of the log', async () => {
    const app = await startWith({ fault: { kind: 'usage_limit' } });
    const token = await mint(app);
    await start(app, token);
    for (const secret of [token, 'a-one', 'a-two']) expect(app.logText()).not.toContain(secret);
  });
});
