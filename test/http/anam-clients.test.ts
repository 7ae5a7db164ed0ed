import { createClient, unsafe_createClientWithApiKey } from '@anam-ai/js-sdk';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import { type App, flow, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const BROWSER = '/api/anam/session-token';
const TOKEN = '/v1/auth/session-token';
const START = '/v1/engine/session';
const AS_PROGRAM = { authorization: `Bearer ${CLIENT_TOKEN}` };
const NO_REPLAY = { sessionReplay: { enableSessionReplay: false } };
const NOTES = { presetStyle: 'warm', expressivity: 0.5 };

const startAnam = (fault: Fault | null = null, environment: Record<string, string> = {}) =>
  startApp({
    environment: {
      ANAM_API_KEY: 'a-one',
      ANAM_API_KEY_2: 'a-two',
      CLIENT_TOKENS: CLIENT_TOKEN,
      ...environment,
    },
    standin: {
      keys: [
        { key: 'a-one', service: 'anam', ...(fault === null ? {} : { fault }) },
        { key: 'a-two', service: 'anam' },
      ],
    },
  });

const post = (app: App, path: string, body: unknown, headers = {}) =>
  flow(app.clock, app.post(path, body, headers));
const bodiesOf = (app: App, path: string) =>
  app.standin.calls.filter((call) => call.path === path).map(({ body }) => body);
const keysOf = (app: App, path: string) =>
  app.standin.calls.filter((call) => call.path === path).map(({ key }) => key);

/** The body that `livekit-plugins-anam` builds (`api.py`). */
const OF_LIVEKIT = {
  personaConfig: {
    type: 'ephemeral',
    name: 'Ada',
    avatarId: 'an-avatar',
    llmId: 'CUSTOMER_CLIENT_V1',
    avatarModel: 'cara-4',
    directorNotes: { expressivity: 0.5, presetStyle: 'warm' },
  },
  environment: { livekitUrl: 'wss://rooms.example.com', livekitToken: 'room-token-0123456789' },
  sessionOptions: { videoWidth: 1152, videoHeight: 768, showAIAvatarDisclosure: true },
};

// The SDK logs errors for features that need a browser.
beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => {});
  vi.spyOn(console, 'warn').mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

describe("the server's options of a session", () => {
  const OPTIONS = {
    ANAM_SESSION_OPTIONS: JSON.stringify(NO_REPLAY),
    ANAM_CLIENT_LABEL: 'shop',
    ANAM_DIRECTOR_NOTES: JSON.stringify(NOTES),
  };
  const ofPersona = { sessionOptions: NO_REPLAY, clientLabel: 'shop' };

  it('go with our persona, also when it starts on another account', async () => {
    const app = await startAnam({ kind: 'usage_limit' }, OPTIONS);
    const { body } = await post(app, BROWSER, {});
    const started = await post(app, `/api/anam${START}`, {}, bearer(body.sessionToken));
    expect(started.status).toBe(200);
    const asked = { personaConfig: { personaId: 'persona-1', directorNotes: NOTES }, ...ofPersona };
    expect(bodiesOf(app, TOKEN)).toEqual([asked, asked]);
  });

  it('do not replace the notes of a whole configuration', async () => {
    const config = { name: 'Ada', avatarId: 'a', voiceId: 'v', directorNotes: { expressivity: 1 } };
    const app = await startAnam(null, {
      ...OPTIONS,
      ANAM_PERSONA_ID: '',
      ANAM_PERSONA_CONFIG: JSON.stringify(config),
    });
    await post(app, BROWSER, {});
    expect(bodiesOf(app, TOKEN)).toEqual([{ personaConfig: config, ...ofPersona }]);
  });

  it('go with the persona of a browser, which may bring its notes and nothing else', async () => {
    const app = await startAnam(null, { ...OPTIONS, ALLOW_CLIENT_PERSONA: 'true' });
    const personaConfig = { personaId: 'theirs', directorNotes: { presetStyle: 'sad' } };
    expect((await post(app, BROWSER, { personaConfig })).status).toBe(200);
    expect(bodiesOf(app, TOKEN)).toEqual([{ personaConfig, ...ofPersona }]);
    for (const field of ['sessionOptions', 'clientLabel', 'environment']) {
      const { status, body } = await post(app, BROWSER, { personaConfig, [field]: {} });
      expect([status, body.error.details[0].path]).toEqual([400, field]);
    }
    expect(app.standin.calls).toHaveLength(1);
  });

  it('take precedence over those of a program, whose others stay', async () => {
    const app = await startAnam(null, OPTIONS);
    const sessionOptions = { ...OF_LIVEKIT.sessionOptions, sessionReplay: {} };
    const asked = { ...OF_LIVEKIT, sessionOptions, clientLabel: 'theirs' };
    expect((await post(app, TOKEN, asked, AS_PROGRAM)).status).toBe(200);
    expect(bodiesOf(app, TOKEN)).toEqual([
      { ...OF_LIVEKIT, ...ofPersona, sessionOptions: { ...sessionOptions, ...NO_REPLAY } },
    ]);
  });

  it('that Anam refuses are a fault of the server', async () => {
    const app = await startAnam(null, { ANAM_SESSION_OPTIONS: '{"videoWidth":1152}' });
    const { status, body } = await post(app, BROWSER, {});
    expect([status, body.error.code]).toEqual([502, 'upstream_failed']);
    expect(await app.counts('anam')).toMatchObject({ available: 2 });
  });
});

describe("LiveKit's plugin", () => {
  it('gets its token and its session for a client token, and the next account steps in', async () => {
    const app = await startAnam({ kind: 'slots_busy' });
    const { status, body, headers } = await post(app, TOKEN, OF_LIVEKIT, AS_PROGRAM);
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    const started = await post(app, START, {}, bearer(body.sessionToken));
    expect([started.status, started.body.sessionId]).toEqual([
      200,
      expect.stringMatching(/^[\w-]{36}$/),
    ]);
    expect(bodiesOf(app, TOKEN)).toEqual([OF_LIVEKIT, OF_LIVEKIT]);
    expect(keysOf(app, START)).toEqual(['a-one', 'a-two']);
    for (const secret of [CLIENT_TOKEN, body.sessionToken, OF_LIVEKIT.environment.livekitToken]) {
      expect(app.logText()).not.toContain(secret);
    }
    const again = await post(app, START, {}, bearer(body.sessionToken));
    expect([again.status, again.body.error]).toEqual([401, expect.any(String)]);
  });

  it("gets Anam's own body for a faulty request, and no account is parked", async () => {
    const app = await startAnam();
    const sessionOptions = { videoWidth: 1152 };
    const answer = await post(app, TOKEN, { ...OF_LIVEKIT, sessionOptions }, AS_PROGRAM);
    expect([answer.status, answer.body]).toEqual([
      400,
      expect.objectContaining({
        error: 'Validation failed',
        details: [expect.objectContaining({ path: 'sessionOptions' })],
      }),
    ]);
    expect(keysOf(app, TOKEN)).toEqual(['a-one']);
    expect(await app.counts('anam')).toMatchObject({ available: 2 });
  });

  it('may have an address that ends with a slash', async () => {
    const app = await startAnam();
    const { body } = await post(app, `/${TOKEN}`, OF_LIVEKIT, AS_PROGRAM);
    expect((await post(app, `/${START}`, {}, bearer(body.sessionToken))).status).toBe(200);
  });

  it('gets our persona if it names none', async () => {
    const app = await startAnam();
    expect((await post(app, TOKEN, {}, AS_PROGRAM)).status).toBe(200);
    const { environment } = OF_LIVEKIT;
    expect((await post(app, TOKEN, { environment }, AS_PROGRAM)).status).toBe(200);
    const personaConfig = { personaId: 'persona-1' };
    expect(bodiesOf(app, TOKEN)).toEqual([{ personaConfig }, { personaConfig, environment }]);
  });

  it('starts more sessions from its address than a browser', async () => {
    const app = await startAnam(null, { RATE_LIMIT_SESSIONS: '1' });
    for (let turn = 0; turn < 3; turn += 1) {
      const { body } = await post(app, TOKEN, OF_LIVEKIT, AS_PROGRAM);
      expect((await post(app, START, {}, bearer(body.sessionToken))).status).toBe(200);
    }
  });

  it.each<[string, string, unknown, Record<string, string>, number]>([
    ['no token', TOKEN, OF_LIVEKIT, {}, 401],
    ['a wrong token', TOKEN, OF_LIVEKIT, bearer('wrong'), 401],
    ['a persona that is a text', TOKEN, { personaConfig: 'p' }, AS_PROGRAM, 400],
    ['options that are a list', TOKEN, { sessionOptions: [] }, AS_PROGRAM, 400],
    ['a field of the prototype', TOKEN, '{"environment":{"__proto__":{}}}', AS_PROGRAM, 400],
    ['broken JSON', TOKEN, '{', AS_PROGRAM, 400],
    ['no session token', START, {}, {}, 401],
    ['a client token in place of a session token', START, {}, AS_PROGRAM, 401],
    ['a client token at the route of browsers', `/api/anam${START}`, {}, AS_PROGRAM, 401],
  ])(
    "is refused in Anam's form with %s, and Anam is not asked",
    async (_, path, sent, headers, status) => {
      const app = await startAnam();
      const answer = await post(app, path, sent, headers);
      expect([answer.status, answer.body]).toEqual([
        status,
        { error: expect.any(String), message: expect.any(String) },
      ]);
      expect(app.standin.calls).toEqual([]);
    },
  );

  it('gets a status for spent accounts that it does not retry at once', async () => {
    const app = await startAnam({ kind: 'rate_limited' }, { ANAM_API_KEY_2: '' });
    const { status, body, headers } = await post(app, TOKEN, OF_LIVEKIT, AS_PROGRAM);
    expect([status, body.error]).toEqual([429, expect.stringContaining('exhausted')]);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('finds nothing without CLIENT_TOKENS', async () => {
    const app = await startAnam(null, { CLIENT_TOKENS: '' });
    for (const path of [TOKEN, START]) {
      expect((await post(app, path, OF_LIVEKIT, AS_PROGRAM)).status).toBe(404);
    }
  });
});

describe("Anam's own SDK", () => {
  it('starts its session through us as its gateway', async () => {
    const app = await startAnam({ kind: 'usage_limit' });
    const { body } = await post(app, BROWSER, {});
    const client = createClient(body.sessionToken, {
      api: { apiGateway: { enabled: true, baseUrl: `${app.url}/api/anam`, wsPath: '/ws' } },
    });
    client.stream().catch(() => {});
    const started = vi.waitFor(() => expect(client.getActiveSessionId()).toMatch(/^[\w-]{36}$/));
    await whileTimePasses(app.clock, started);
    await client.stopStreaming();
    expect(keysOf(app, START)).toEqual(['a-one', 'a-two']);
    const metrics = app.logs.filter(({ path }) => path === '/api/anam/v1/metrics/client');
    expect(metrics.map(({ status }) => status)).toEqual(metrics.map(() => 200));
  });

  it('takes a client token in place of an API key', async () => {
    const app = await startAnam();
    const persona = { personaId: 'theirs' } as Parameters<typeof unsafe_createClientWithApiKey>[1];
    const client = unsafe_createClientWithApiKey(CLIENT_TOKEN, persona, {
      api: { baseUrl: app.url },
      metrics: { disableClientMetrics: true },
    });
    client.stream().catch(() => {});
    const started = vi.waitFor(() => expect(client.getActiveSessionId()).toMatch(/^[\w-]{36}$/));
    await whileTimePasses(app.clock, started);
    await client.stopStreaming();
    expect(bodiesOf(app, TOKEN)).toEqual([
      { clientLabel: 'js-sdk-api-key', personaConfig: persona },
    ]);
  });

  it.each([
    ['of another server', 'https://elsewhere.example/v1/engine/session', 400],
    ['of another path', 'https://api.anam.ai/v1/personas', 400],
    ['that is none', 'nonsense', 400],
    ["of Anam's API", 'https://api.anam.ai/v1/engine/session', 200],
    ['of ours, behind another gateway', 'https://chat.example/api/anam/v1/engine/session', 200],
  ])('names the address %s as its target: %s is %i', async (_, target, status) => {
    const app = await startAnam();
    const { body } = await post(app, BROWSER, {});
    const headers = { ...bearer(body.sessionToken), 'x-anam-target-url': target };
    const answer = await post(app, `/api/anam${START}`, {}, headers);
    expect(answer.status).toBe(status);
    expect(keysOf(app, START)).toHaveLength(status === 200 ? 1 : 0);
    if (status === 400) {
      expect(answer.body.error).toContain('X-Anam-Target-Url');
      // The token is still valid.
      const again = await post(app, `/api/anam${START}`, {}, bearer(body.sessionToken));
      expect(again.status).toBe(200);
    }
  });
});

function bearer(token: string) {
  return { authorization: `Bearer ${token}` };
}
