import { request as httpRequest } from 'node:http';
import { describe, expect, it, vi } from 'vitest';
import { type App, flow, shareApp, startApp } from '../support/start-app.ts';

const MINUTE = 60_000;
const HOUR = 3_600_000;
const ROUTE = '/api/anam/session-token';
const ONE_KEY = { ANAM_API_KEY: 'a-one' };
const TWO_KEYS = { ANAM_API_KEY: 'a-one', ANAM_API_KEY_2: 'a-two' };
const anam = (key: string, more = {}) => ({ key, service: 'anam' as const, ...more });
const bothWith = (more: object) => ({ keys: [anam('a-one', more), anam('a-two', more)] });

const mint = (app: App, body: unknown = {}, path = ROUTE) => app.post(path, body);
const personasAskedFor = (app: App) =>
  app.standin.calls.map(({ body }) => (body as { personaConfig?: unknown }).personaConfig);
const keysAsked = (app: App) => app.standin.calls.map(({ key }) => key);

const shared = shareApp({ environment: ONE_KEY });
const allowing = shareApp({ environment: { ...ONE_KEY, ALLOW_CLIENT_PERSONA: 'true' } });

describe('a session token', () => {
  it.each([ROUTE, '/api/session-token'])('is minted at %s, uncached', async (path) => {
    const app = shared();
    const { status, body, headers } = await mint(app, {}, path);
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(body).toEqual({ sessionToken: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/) });
    const claims = JSON.parse(Buffer.from(body.sessionToken.split('.')[1], 'base64url').toString());
    expect(claims).toMatchObject({ type: 'stateful', accountId: expect.stringMatching(/./) });
  });

  it('is new each time, from the keys in rotation', async () => {
    const app = await startApp({ environment: TWO_KEYS });
    const tokens = new Set<string>();
    for (let turn = 0; turn < 4; turn += 1) tokens.add((await mint(app)).body.sessionToken);
    expect(tokens.size).toBe(4);
    expect(keysAsked(app)).toEqual(['a-one', 'a-two', 'a-one', 'a-two']);
  });

  it.each([
    ['an empty object', { body: '{}', headers: { 'content-type': 'application/json' } }],
    ['no body and no content type', {}],
    ['no body as JSON', { headers: { 'content-type': 'application/json' } }],
    ['an empty body as JSON', { body: '', headers: { 'content-type': 'application/json' } }],
  ])('needs no body: %s is accepted', async (_, init) => {
    const app = shared();
    const response = await fetch(`${app.url}${ROUTE}`, { method: 'POST', ...init });
    expect([response.status, await response.json()]).toEqual([
      200,
      { sessionToken: expect.any(String) },
    ]);
  });

  it.each([
    ['nothing else', {}],
    ['a content type', { 'content-type': 'application/json' }],
  ])('needs no content-length, with %s', async (_, headers) => {
    const app = shared();
    expect(await postWithoutLength(`${app.url}${ROUTE}`, headers)).toBe(200);
  });
});

/** What `curl -X POST` sends: neither a body nor a content length. */
function postWithoutLength(url: string, headers: Record<string, string>) {
  return new Promise<number | undefined>((resolve, reject) => {
    const request = httpRequest(url, { method: 'POST', headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.removeHeader('content-length');
    request.removeHeader('transfer-encoding');
    request.once('error', reject);
    request.end();
  });
}

describe('a refusal of a token', () => {
  it.each([
    ['an unknown field', { personaId: 'p' }, 400, 'personaId'],
    ['a persona config that is a text', { personaConfig: 'p' }, 400, 'personaConfig'],
    ['an empty persona config', { personaConfig: {} }, 400, 'personaConfig'],
    ['a list', [], 400, ''],
    ['null', null, 400, ''],
  ])('names the field of %s, and is uncached', async (_, body, status, path) => {
    const app = allowing();
    const answer = await mint(app, body);
    expect([answer.status, answer.body.error.code]).toEqual([status, 'invalid_request']);
    expect(answer.body.error.details[0].path).toBe(path);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(app.standin.calls).toEqual([]);
  });

  it('by Anam is uncached', async () => {
    const app = await startApp({
      environment: ONE_KEY,
      standin: { keys: [anam('a-one', { fault: { kind: 'bad_key' } })] },
    });
    const { status, headers } = await mint(app);
    expect([status, headers.get('cache-control')]).toEqual([503, 'no-store']);
  });

  it.each([
    ['broken JSON', '{', {}, 400],
    ['another content type', 'Hi', { 'content-type': 'text/plain' }, 415],
  ])('of %s is uncached', async (_, body, headers, status) => {
    const app = shared();
    const answer = await app.post(ROUTE, body, headers);
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([status, 'no-store']);
    expect(app.standin.calls).toEqual([]);
  });

  it('by the rate limit is uncached', async () => {
    const app = await startApp({ environment: { ...ONE_KEY, RATE_LIMIT_SESSIONS: '1' } });
    expect((await mint(app)).status).toBe(200);
    const { status, headers } = await mint(app);
    expect([status, headers.get('cache-control')]).toEqual([429, 'no-store']);
  });
});

describe('the persona', () => {
  it('is that of the settings', async () => {
    const app = await startApp({ environment: { ...ONE_KEY, ANAM_PERSONA_ID: 'saved' } });
    await mint(app);
    expect(personasAskedFor(app)).toEqual([{ personaId: 'saved' }]);
  });

  it("is the key's own if it has one", async () => {
    const app = await startApp({ environment: { ...TWO_KEYS, ANAM_API_KEY_2_PERSONA_ID: 'own' } });
    await mint(app);
    await mint(app);
    expect(personasAskedFor(app)).toEqual([{ personaId: 'persona-1' }, { personaId: 'own' }]);
  });

  it('may be a configuration, which goes on to Anam as it is', async () => {
    const config = {
      name: 'Ada',
      avatarId: 'a',
      voiceId: 'v',
      languageCode: 'en',
      deep: { a: [1] },
    };
    const app = await startApp({
      environment: {
        ...ONE_KEY,
        ANAM_PERSONA_ID: '',
        ANAM_PERSONA_CONFIG: JSON.stringify(config),
      },
    });
    expect((await mint(app)).status).toBe(200);
    expect(personasAskedFor(app)).toEqual([config]);
  });

  it('of the client is refused unless the settings allow it', async () => {
    const app = shared();
    const { status, body } = await mint(app, { personaConfig: { personaId: 'theirs' } });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(/^personaConfig: .*ALLOW_CLIENT_PERSONA/),
      details: [{ path: 'personaConfig', message: expect.any(String) }],
    });
    expect(app.standin.calls).toEqual([]);
  });

  it('of the client comes first when the settings allow it', async () => {
    const app = await startApp({
      environment: {
        ...ONE_KEY,
        ANAM_API_KEY_PERSONA_ID: 'own',
        ALLOW_CLIENT_PERSONA: 'true',
      },
    });
    const personaConfig = { name: 'Eve', avatarId: 'a', voiceId: 'v', systemPrompt: 'Be brief.' };
    expect((await mint(app, { personaConfig })).status).toBe(200);
    expect((await mint(app)).status).toBe(200);
    expect(personasAskedFor(app)).toEqual([personaConfig, { personaId: 'own' }]);
  });

  it('of the client may have half a surrogate pair, which becomes U+FFFD', async () => {
    const app = allowing();
    const personaConfig = { personaId: 'p', deep: [{ 'key\ud83d': 'value\ude00' }] };
    expect((await mint(app, { personaConfig })).status).toBe(200);
    expect(personasAskedFor(app)).toEqual([
      { personaId: 'p', deep: [{ 'key\ufffd': 'value\ufffd' }] },
    ]);
  });

  it('of the client cannot set other fields of the request', async () => {
    const app = allowing();
    const { status } = await mint(app, {
      personaConfig: { personaId: 'theirs' },
      sessionOptions: { region: 'x' },
      clientLabel: 'x',
    });
    expect([status, app.standin.calls.length]).toEqual([400, 0]);
  });

  it('of the client is refused if it is too deep', async () => {
    const app = allowing();
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const { status, body } = await flow(app.clock, mint(app, `{"personaConfig":{"name":${deep}}}`));
    expect([status, body.error?.code]).toEqual([400, 'invalid_request']);
    expect(app.logs.filter(({ level }) => level >= 50)).toEqual([]);
    expect((await app.counts('anam')).available).toBe(1);
  });
});

describe('an invalid body', () => {
  it.each([
    ['__proto__', '{"personaConfig":{"personaId":"x","__proto__":{"admin":true}}}'],
    ['a nested __proto__', '{"personaConfig":{"a":[{"__proto__":{"admin":true}}]}}'],
    ['constructor', '{"personaConfig":{"constructor":{"prototype":{}}}}'],
    ['a list', '{"personaConfig":["x"]}'],
  ])('with %s in the persona is refused by field', async (_, body) => {
    const app = allowing();
    const { status, body: answer } = await app.post(ROUTE, body);
    expect([status, answer.error.details]).toEqual([
      400,
      [{ path: 'personaConfig', message: expect.any(String) }],
    ]);
    expect(app.standin.calls).toEqual([]);
  });

  it('of unknown length is accepted if it is empty', async () => {
    const app = shared();
    const empty = { method: 'POST', body: new Blob([]).stream(), duplex: 'half' } as const;
    expect((await fetch(`${app.url}${ROUTE}`, empty)).status).toBe(200);
  });
});

describe('when a key cannot mint', () => {
  const STAYS = { total: 2, available: 2, cooling_down: 0, exhausted: 0 };
  const COOLS = { total: 2, available: 1, cooling_down: 1, exhausted: 0 };
  const NEEDS_SOMEBODY = { total: 2, available: 1, cooling_down: 0, exhausted: 1 };
  const raw = (status: number, body: unknown = { error: 'no' }) =>
    ({ kind: 'raw', status, body }) as const;

  it.each([
    ['is unknown (401)', { kind: 'bad_key' } as const, NEEDS_SOMEBODY],
    ['has no plan (402)', raw(402), NEEDS_SOMEBODY],
    ['may not use the persona (403)', { kind: 'forbidden' } as const, COOLS],
    ['has no such persona (404)', { kind: 'persona_missing' } as const, COOLS],
    ['has spent its minute (429)', { kind: 'rate_limited' } as const, COOLS],
    ['meets an error (500)', { kind: 'server_error' } as const, STAYS],
    ['meets an error page (502)', raw(502, '<html><title>Bad Gateway</title></html>'), STAYS],
    ['gets no token in a 200', raw(200, { token: 'x' }), STAYS],
    ['gets an empty 200', { kind: 'empty_body' } as const, STAYS],
    ['loses its connection', { kind: 'reset' } as const, STAYS],
    ['hangs', { kind: 'hang' } as const, STAYS],
  ])('because it %s, the next one is used', async (_, fault, counts) => {
    const app = await startApp({
      environment: TWO_KEYS,
      standin: { keys: [anam('a-one', { fault }), anam('a-two')] },
    });
    const { status, body } = await flow(app.clock, mint(app));
    expect([status, body.sessionToken]).toEqual([200, expect.any(String)]);
    expect(keysAsked(app)).toEqual(['a-one', 'a-two']);
    expect(await app.counts('anam')).toEqual(counts);
    await vi.waitFor(() => expect(app.standin.openRequests()).toBe(0));
  });

  it('because it hangs, it is left after the attempt limit', async () => {
    const app = await startApp({
      environment: TWO_KEYS,
      standin: { keys: [anam('a-one', { fault: { kind: 'hang' } }), anam('a-two')] },
    });
    const answer = mint(app);
    await vi.waitFor(() => expect(app.standin.calls).toHaveLength(1));
    app.clock.advance(19_999);
    expect(app.standin.openRequests()).toBe(1);
    app.clock.advance(1);
    expect((await flow(app.clock, answer)).status).toBe(200);
    expect(app.standin.calls[0]?.aborted).toBe(true);
  });

  it('the other keys of the account are not tried', async () => {
    const project = { ANAM_API_KEY_PROJECT: 'team', ANAM_API_KEY_2_PROJECT: 'team' };
    const spent = { fault: { kind: 'rate_limited' } };
    const app = await startApp({
      environment: { ...TWO_KEYS, ...project, ANAM_API_KEY_3: 'a-three' },
      standin: { keys: [anam('a-one', spent), anam('a-two', spent), anam('a-three')] },
    });
    expect((await mint(app)).status).toBe(200);
    expect(keysAsked(app)).toEqual(['a-one', 'a-three']);
  });
});

describe('when no key is available', () => {
  it('the refusal has one sentence and a Retry-After that proves right', async () => {
    const app = await startApp({
      environment: TWO_KEYS,
      standin: bothWith({ fault: { kind: 'rate_limited' } }),
    });
    const { status, body, headers } = await mint(app);
    expect(status).toBe(503);
    expect(body.error).toEqual({
      code: 'all_keys_exhausted',
      message: 'All Anam API keys exhausted. Please try again later.',
      requestId: headers.get('x-request-id'),
      retryAfterSeconds: 60,
    });
    expect(headers.get('retry-after')).toBe('60');
    expect((await app.get('/api/keys/status')).body.status).toBe('degraded');

    app.standin.setFault('a-one', null);
    app.clock.advance(MINUTE - 5001);
    expect((await mint(app)).status).toBe(503);
    expect(app.standin.calls).toHaveLength(2);
    app.clock.advance(5001);
    expect((await mint(app)).status).toBe(200);
  });

  it('rejected keys are probed after the hour, not before', async () => {
    const app = await startApp({
      environment: TWO_KEYS,
      standin: bothWith({ fault: { kind: 'bad_key' } }),
    });
    const { status, headers } = await mint(app);
    expect([status, headers.get('retry-after')]).toEqual([503, '3600']);
    app.clock.advance(HOUR - 5001);
    await mint(app);
    expect(app.standin.calls).toHaveLength(2);
    app.standin.setFault('a-two', null);
    app.clock.advance(5001);
    expect((await mint(app)).status).toBe(200);
  });

  it('a request waits for a key that returns within KEY_WAIT_SECONDS', async () => {
    const app = await startApp({
      environment: ONE_KEY,
      standin: { keys: [anam('a-one', { fault: { kind: 'rate_limited' } })] },
    });
    app.clock.advance(MINUTE - 3000);
    const waiting = mint(app);
    await vi.waitFor(() => expect(app.standin.calls).toHaveLength(1));
    app.standin.setFault('a-one', null);
    expect((await flow(app.clock, waiting)).status).toBe(200);
  });

  it.each([
    ['fails', { kind: 'server_error' } as const, 502, 'upstream_failed'],
    ['hangs', { kind: 'hang' } as const, 504, 'upstream_timeout'],
  ])('no key is parked when every key %s', async (_, fault, status, code) => {
    const app = await startApp({ environment: TWO_KEYS, standin: bothWith({ fault }) });
    const answer = await flow(app.clock, mint(app));
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
    expect((await app.counts('anam')).available).toBe(2);
  });

  it('the refusal names the setting if no key is configured', async () => {
    const app = await startApp({ environment: {} });
    const { status, body } = await mint(app);
    expect([status, body.error.code, body.error.message]).toEqual([
      503,
      'no_keys_configured',
      'No API keys available. Set ANAM_API_KEY.',
    ]);
  });

  it('the refusal names the key first if the persona is missing too', async () => {
    const app = await startApp({ environment: { ANAM_PERSONA_ID: '' } });
    const { status, body } = await mint(app);
    expect([status, body.error.code]).toEqual([503, 'no_keys_configured']);
  });
});

describe('a persona that Anam refuses', () => {
  it('of the client that no account has is 404, after a call with each key, and parks none', async () => {
    const app = await startApp({
      environment: { ...TWO_KEYS, ALLOW_CLIENT_PERSONA: 'true' },
      standin: bothWith({ account: { personas: ['persona-1'] } }),
    });
    const { status, body } = await mint(app, { personaConfig: { personaId: 'nobodys' } });
    expect([status, body.error.code]).toEqual([404, 'model_unavailable']);
    expect(keysAsked(app).toSorted()).toEqual(['a-one', 'a-two']);
    expect((await app.counts('anam')).available).toBe(2);
    expect((await mint(app)).status).toBe(200);
  });

  it('of the client that is invalid is 400, after one call, and names the field', async () => {
    const app = await startApp({ environment: { ...TWO_KEYS, ALLOW_CLIENT_PERSONA: 'true' } });
    const { status, body } = await mint(app, { personaConfig: { name: 'Eve' } });
    expect([status, body.error.code]).toEqual([400, 'invalid_request']);
    expect(body.error.message).toContain('personaConfig.avatarId');
    expect(body.error.details).toEqual([
      { path: 'personaConfig', message: expect.stringContaining('personaConfig.voiceId') },
    ]);
    expect(app.standin.calls).toHaveLength(1);
    expect((await app.counts('anam')).available).toBe(2);
  });

  it('of ours that is invalid is 502, after one call, and parks none', async () => {
    const app = await startApp({
      environment: { ...TWO_KEYS, ANAM_PERSONA_ID: '', ANAM_PERSONA_CONFIG: '{"name":"Ada"}' },
    });
    const { status, body } = await mint(app);
    expect([status, body.error.code]).toEqual([502, 'upstream_failed']);
    expect(app.standin.calls).toHaveLength(1);
    expect((await app.counts('anam')).available).toBe(2);
    expect(app.logs.filter(({ level }) => level === 50)).toEqual([
      expect.objectContaining({
        outcome: 'misconfigured',
        why: expect.stringContaining('avatarId'),
      }),
    ]);
    expect(body.error.message).not.toContain('avatarId');
  });

  it('of ours that no account has is 404, and each key is tried once an hour', async () => {
    const app = await startApp({
      environment: TWO_KEYS,
      standin: bothWith({ account: { personas: ['another'] } }),
    });
    expect((await mint(app)).status).toBe(404);
    expect((await mint(app)).status).toBe(404);
    expect(app.standin.calls).toHaveLength(2);
    expect((await app.counts('anam')).cooling_down).toBe(2);
    app.clock.advance(HOUR);
    await mint(app);
    expect(app.standin.calls).toHaveLength(4);
  });
});

describe('without any persona', () => {
  const NO_PERSONA = { ...TWO_KEYS, ANAM_PERSONA_ID: '' };

  it('the refusal names the setting, without a call to Anam', async () => {
    const app = await startApp({ environment: NO_PERSONA });
    const { status, body } = await mint(app);
    expect([status, body.error.code]).toEqual([502, 'upstream_failed']);
    expect(body.error.message).toContain('ANAM_PERSONA_ID');
    expect(app.standin.calls).toEqual([]);
    expect((await app.counts('anam')).available).toBe(2);
  });

  it('is logged as misconfiguration', async () => {
    const app = await startApp({ environment: NO_PERSONA });
    await mint(app);
    expect(app.logs.some(({ level }) => level === 50)).toBe(true);
  });

  it("a token for the client's own is minted, if that is allowed", async () => {
    const app = await startApp({ environment: { ...NO_PERSONA, ALLOW_CLIENT_PERSONA: 'true' } });
    expect((await mint(app, { personaConfig: { personaId: 'theirs' } })).status).toBe(200);
  });

  it('only the keys with their own are used', async () => {
    const app = await startApp({
      environment: { ...NO_PERSONA, ANAM_API_KEY_2_PERSONA_ID: 'own' },
    });
    for (let turn = 0; turn < 3; turn += 1) expect((await mint(app)).status).toBe(200);
    expect(keysAsked(app)).toEqual(['a-two', 'a-two', 'a-two']);
  });
});

it("tokens for clients' own personas are minted when no account has ours", async () => {
  const app = await startApp({
    environment: { ...ONE_KEY, ALLOW_CLIENT_PERSONA: 'true', ANAM_PERSONA_ID: 'stale' },
    standin: {
      keys: [{ key: ONE_KEY.ANAM_API_KEY, service: 'anam', account: { personas: ['theirs'] } }],
    },
  });
  expect((await mint(app)).status).toBe(404);
  expect((await mint(app, { personaConfig: { personaId: 'theirs' } })).status).toBe(200);
});
