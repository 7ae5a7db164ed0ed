import { expect, test } from 'vitest';
import type { Fault, Standin } from '../../standin/standin.ts';
import { post, read, withStandin } from './with-standin.ts';

const KEYS = [{ key: 'a1', service: 'anam' }] as const;

const mint = (standin: Standin) =>
  post(standin, '/v1/auth/session-token', 'a1', { personaConfig: { personaId: 'p1' } });

const start = (standin: Standin, token: string) => post(standin, '/v1/engine/session', token, {});

const slots = (standin: Standin) =>
  fetch(`${standin.url}/v1/sessions/concurrency`, { headers: { authorization: 'Bearer a1' } });

/** What minting and starting answer under a fault, with a token from before it. */
async function statusesUnder(fault: Fault) {
  const { standin } = await withStandin({ keys: KEYS });
  const before = await read(mint(standin));
  standin.setFault('a1', fault);
  const minted = await mint(standin);
  const started = await read(start(standin, before.body.sessionToken));
  return { minted: minted.status, started: started.status, error: started.body.error };
}

test.each<[Fault['kind'], number]>([
  ['bad_key', 401],
  ['forbidden', 403],
  ['persona_missing', 404],
  ['rate_limited', 429],
])('%s is answered by minting with %d, and starting is not touched', async (kind, status) => {
  expect(await statusesUnder({ kind } as Fault)).toMatchObject({ minted: status, started: 200 });
});

test.each<[Fault['kind'], number, string]>([
  ['no_plan', 402, 'An active plan is required to start a session'],
  ['spend_cap', 429, 'Spend cap reached'],
  ['usage_limit', 429, 'Usage limit reached'],
  ['slots_busy', 429, 'Concurrent session limit reached'],
  ['no_engines', 503, 'No engines available'],
  ['not_entitled', 403, 'Your plan does not include this feature'],
  ['token_expired', 401, 'Session token is invalid or has expired'],
])('%s lets minting pass and answers the start with %d', async (kind, started, error) => {
  expect(await statusesUnder({ kind } as Fault)).toEqual({ minted: 200, started, error });
});

test('a server error strikes everywhere', async () => {
  expect(await statusesUnder({ kind: 'server_error' })).toMatchObject({
    minted: 500,
    started: 500,
  });
});

test('the fault rate_limited names the rest of the minute', async () => {
  const { standin, clock } = await withStandin({
    keys: [{ ...KEYS[0], fault: { kind: 'rate_limited' } }],
  });
  clock.advance(17_500);
  const { headers } = await mint(standin);
  expect(headers.get('ratelimit-reset')).toBe('43');
  expect(headers.get('ratelimit-remaining')).toBe('0');
});

test('busy slots are told to whoever asks for them, with the wait that was chosen', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  standin.setFault('a1', { kind: 'slots_busy', estimatedWaitSeconds: 12 });
  expect((await read(slots(standin))).body).toEqual({
    limit: 1,
    active: 1,
    canStartSession: false,
    estimatedWaitSeconds: 12,
  });
});

test('a fault of the connection may strike one step alone', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  standin.setFault('a1', { kind: 'reset', step: 'start' });
  const { body } = await read(mint(standin));
  await expect(start(standin, body.sessionToken)).rejects.toThrow('fetch failed');
  standin.setFault('a1', { kind: 'raw', status: 403, body: { message: 'no' }, step: 'mint' });
  expect((await mint(standin)).status).toBe(403);
  expect((await start(standin, body.sessionToken)).status).toBe(200);
});

test('a slow start begins when its time has come', async () => {
  const { standin, clock } = await withStandin({ keys: KEYS });
  standin.setFault('a1', { kind: 'slow', ms: 1_000, step: 'start' });
  const { body } = await read(mint(standin));
  const asked = start(standin, body.sessionToken);
  await expect.poll(clock.pendingTimers, { interval: 1 }).toBe(1);
  clock.advance(999);
  expect(clock.pendingTimers()).toBe(1);
  clock.advance(1);
  expect((await asked).status).toBe(200);
});

test('a flaky account refuses every second call', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  standin.setFault('a1', { kind: 'flaky', every: 2, fault: { kind: 'server_error' } });
  const statuses = [await mint(standin), await mint(standin), await mint(standin)];
  expect(statuses.map(({ status }) => status)).toEqual([200, 500, 200]);
});

test('a fault that Anam cannot have is refused where it is set', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  expect(() => standin.setFault('a1', { kind: 'overloaded' })).toThrow(
    '"overloaded" is no fault of anam',
  );
});
