import { expect, test } from 'vitest';
import type { AnamAccountShape, Standin } from '../../standin/standin.ts';
import { type Json, post, read, withStandin } from './with-standin.ts';

const HOUR_MS = 3_600_000;

const keyWith = (account: AnamAccountShape) => ({ key: 'a1', service: 'anam', account }) as const;

const mint = (standin: Standin, key = 'a1', personaConfig: Json = { personaId: 'p1' }) =>
  read(post(standin, '/v1/auth/session-token', key, { personaConfig }));

const start = (standin: Standin, token: string) =>
  read(post(standin, '/v1/engine/session', token, { clientMetadata: {} }));

async function mintAndStart(standin: Standin, key = 'a1') {
  const minted = await mint(standin, key);
  return start(standin, minted.body.sessionToken);
}

const concurrency = (standin: Standin, key = 'a1') =>
  read(
    fetch(`${standin.url}/v1/sessions/concurrency`, {
      headers: { authorization: `Bearer ${key}` },
    }),
  );

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

test('a token is a JWT that names its kind and account and is good for an hour', async () => {
  const key = 'key-of-an-account';
  const { standin, clock } = await withStandin({ keys: [{ ...keyWith({}), key }] });
  const { status, body } = await mint(standin, key);
  expect(status).toBe(200);
  expect(Object.keys(body)).toEqual(['sessionToken']);
  const iat = clock.now() / 1_000;
  expect(claimsOf(body.sessionToken)).toMatchObject({ type: 'stateful', iat, exp: iat + 3_600 });
  expect(claimsOf(body.sessionToken).accountId).toMatch(/^[0-9a-f-]{36}$/);
  expect(body.sessionToken).not.toContain(key);
});

test('a persona without an id makes an ephemeral token', async () => {
  const { standin } = await withStandin({ keys: [keyWith({ personas: [] })] });
  const { body } = await mint(standin, 'a1', { name: 'Cara', avatarId: 'av', voiceId: 'vo' });
  expect(claimsOf(body.sessionToken).type).toBe('ephemeral');
});

test.each([
  ['without personaConfig', undefined, ['personaConfig']],
  [
    'with an empty personaConfig',
    {},
    ['personaConfig.name', 'personaConfig.avatarId', 'personaConfig.voiceId'],
  ],
  ['with a persona that lacks a voice', { name: 'n', avatarId: 'a' }, ['personaConfig.voiceId']],
])('a body %s is refused fault by fault', async (_what, personaConfig, paths) => {
  const { standin } = await withStandin({ keys: [keyWith({})] });
  const answer = await read(post(standin, '/v1/auth/session-token', 'a1', { personaConfig }));
  expect(answer.status).toBe(400);
  expect(answer.body.details.map((fault: Json) => fault.path)).toEqual(paths);
  expect(answer.body.details[0]).toMatchObject({ message: 'Required', code: 'invalid_type' });
  expect(answer.body.summary).toContain(`${paths[0]}: Required`);
});

test('an unknown API key is refused', async () => {
  const { standin } = await withStandin({ keys: [keyWith({})] });
  const { status, body } = await mint(standin, 'other');
  expect([status, body]).toEqual([401, { error: 'Invalid API key' }]);
  expect((await concurrency(standin, 'other')).status).toBe(401);
});

test('a saved persona is found only in the account that owns it', async () => {
  const { standin } = await withStandin({
    keys: [
      keyWith({ personas: ['p1'] }),
      { key: 'a2', service: 'anam', account: { personas: ['p2'] } },
    ],
  });
  expect((await mint(standin, 'a1')).status).toBe(200);
  expect((await mint(standin, 'a2')).status).toBe(404);
});

test('minting more than a minute allows is refused until the next minute', async () => {
  const { standin, clock } = await withStandin({ keys: [keyWith({ sessionsPerMinute: 2 })] });
  const first = await mint(standin);
  expect(first.headers.get('ratelimit-remaining')).toBe('1');
  await mint(standin);
  clock.advance(59_500);
  const refused = await mint(standin);
  expect(refused.status).toBe(429);
  expect(Object.fromEntries(refused.headers)).toMatchObject({
    'ratelimit-limit': '2',
    'ratelimit-remaining': '0',
    'ratelimit-reset': '1',
  });
  clock.advance(499);
  expect((await mint(standin)).status).toBe(429);
  clock.advance(1);
  expect((await mint(standin)).status).toBe(200);
});

test('a started session names its engine’s address', async () => {
  const { standin } = await withStandin({ keys: [keyWith({})] });
  const { status, body, headers } = await mintAndStart(standin);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    sessionId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    engineHost: new URL(standin.url).host,
    engineProtocol: 'http',
    signallingEndpoint: '/ws',
    clientConfig: { iceServers: [] },
  });
  expect(headers.get('access-control-allow-origin')).toBe('*');
});

test('a token is good for one conversation, and only for an hour', async () => {
  const { standin, clock } = await withStandin({ keys: [keyWith({})] });
  const used = (await mint(standin)).body.sessionToken;
  expect((await start(standin, used)).status).toBe(200);
  expect((await start(standin, used)).status).toBe(401);
  const fresh = (await mint(standin)).body.sessionToken;
  const late = (await mint(standin)).body.sessionToken;
  clock.advance(HOUR_MS - 1);
  expect((await start(standin, fresh)).status).toBe(200);
  clock.advance(1);
  expect((await start(standin, late)).status).toBe(401);
});

test('a token that the stand-in did not sign is refused', async () => {
  const { standin } = await withStandin({ keys: [keyWith({})] });
  const [header, payload] = (await mint(standin)).body.sessionToken.split('.');
  for (const token of ['', 'nonsense', `${header}.${payload}.c2lnbmF0dXJl`]) {
    expect((await start(standin, token)).status).toBe(401);
  }
});

test('minting succeeds while every slot is taken, and the start waits for the slot', async () => {
  const account = { slots: 1, sessionSeconds: 90 };
  const { standin, clock } = await withStandin({ keys: [keyWith(account)] });
  expect((await mintAndStart(standin)).status).toBe(200);
  const { sessionToken } = (await mint(standin)).body;
  const busy = await start(standin, sessionToken);
  expect([busy.status, busy.body]).toEqual([429, { error: 'Concurrent session limit reached' }]);
  expect((await concurrency(standin)).body).toEqual({
    limit: 1,
    active: 1,
    canStartSession: false,
    estimatedWaitSeconds: 90,
  });
  clock.advance(89_999);
  expect((await start(standin, sessionToken)).status).toBe(429);
  clock.advance(1);
  expect((await concurrency(standin)).body).toMatchObject({ active: 0, canStartSession: true });
  expect((await start(standin, sessionToken)).status).toBe(200);
});

test('slots count for the account, whichever of its keys starts the session', async () => {
  const { standin } = await withStandin({
    keys: [
      { key: 'a1', service: 'anam', project: 'one', account: { slots: 1 } },
      { key: 'a2', service: 'anam', project: 'one' },
      { key: 'a3', service: 'anam', project: 'two', account: { slots: 1 } },
    ],
  });
  expect((await mintAndStart(standin, 'a1')).status).toBe(200);
  expect((await mintAndStart(standin, 'a2')).status).toBe(429);
  expect((await mintAndStart(standin, 'a3')).status).toBe(200);
});

test('spent minutes are refused at the start and never come back', async () => {
  const { standin, clock } = await withStandin({ keys: [keyWith({ minutes: 2 })] });
  expect((await mintAndStart(standin)).status).toBe(200);
  expect((await mintAndStart(standin)).status).toBe(200);
  const refused = await mintAndStart(standin);
  expect([refused.status, refused.body]).toEqual([429, { error: 'Usage limit reached' }]);
  clock.advance(24 * HOUR_MS);
  expect((await mintAndStart(standin)).status).toBe(429);
});

test('at speed 60 a session of a minute holds its slot for a second', async () => {
  const { standin, clock } = await withStandin({ keys: [keyWith({ slots: 1 })], speed: 60 });
  await mintAndStart(standin);
  clock.advance(999);
  expect((await mintAndStart(standin)).status).toBe(429);
  clock.advance(1);
  expect((await mintAndStart(standin)).status).toBe(200);
});

test('a session start counts as a call of the key that minted its token', async () => {
  const { standin } = await withStandin({ keys: [keyWith({})] });
  await mintAndStart(standin);
  expect(standin.callsOf('a1')).toBe(2);
  expect(standin.calls.map(({ key, path }) => [key, path])).toEqual([
    ['a1', '/v1/auth/session-token'],
    ['a1', '/v1/engine/session'],
  ]);
});
