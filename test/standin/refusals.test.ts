import { expect, test } from 'vitest';
import type { Fault, Standin } from '../../standin/standin.ts';
import { ask, type Json, post, read, whole, withStandin } from './with-standin.ts';

const GOOGLE = { key: 'g1', service: 'google' } as const;
const ANAM = { key: 'a1', service: 'anam' } as const;

async function askUnder(fault: Fault) {
  const { standin } = await withStandin({ keys: [{ ...GOOGLE, fault }] });
  const { status, headers, text } = await whole(await ask(standin));
  const isJson = headers.get('content-type')?.includes('json') === true;
  return { status, text, error: isJson ? JSON.parse(text).error : undefined };
}

const reasonOf = (error: Json) => error?.details?.find((one: Json) => one.reason)?.reason;

/** HTTP status, Google's status, the reason in the details, and a part of the text. */
test.each<[Fault['kind'], number, string | undefined, string | undefined, string]>([
  ['bad_key', 400, 'INVALID_ARGUMENT', 'API_KEY_INVALID', 'API key not valid'],
  ['expired_key', 400, 'INVALID_ARGUMENT', 'API_KEY_INVALID', 'API key expired'],
  ['leaked', 403, 'PERMISSION_DENIED', undefined, 'reported as leaked'],
  ['suspended', 403, 'PERMISSION_DENIED', 'CONSUMER_SUSPENDED', "'api_key:g1' has been suspended"],
  ['service_disabled', 403, 'PERMISSION_DENIED', 'SERVICE_DISABLED', 'it is disabled'],
  ['key_blocked', 403, 'PERMISSION_DENIED', 'API_KEY_SERVICE_BLOCKED', 'GenerateContent are'],
  ['unauthenticated', 401, 'UNAUTHENTICATED', 'ACCESS_TOKEN_TYPE_UNSUPPORTED', 'had invalid auth'],
  ['model_forbidden', 403, 'PERMISSION_DENIED', undefined, 'The caller does not have permission'],
  ['model_gone', 404, 'NOT_FOUND', undefined, 'no longer available to new users'],
  ['location', 400, 'FAILED_PRECONDITION', undefined, 'User location is not supported'],
  ['free_tier_country', 400, 'FAILED_PRECONDITION', undefined, 'not available in your country'],
  ['limit_zero', 429, 'RESOURCE_EXHAUSTED', undefined, 'limit: 0'],
  ['quota_zero', 429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED', 'Quota exceeded'],
  ['minute_spent', 429, 'RESOURCE_EXHAUSTED', undefined, 'Please retry in 60s'],
  ['tokens_per_minute_spent', 429, 'RESOURCE_EXHAUSTED', undefined, 'input_token_count'],
  ['day_spent', 429, 'RESOURCE_EXHAUSTED', undefined, 'limit: 20'],
  ['both_spent', 429, 'RESOURCE_EXHAUSTED', undefined, 'limit: 10'],
  ['exhausted_no_details', 429, 'RESOURCE_EXHAUSTED', undefined, '(e.g. check quota)'],
  ['spend_rate', 429, 'RESOURCE_EXHAUSTED', undefined, 'spend-based rate limit'],
  ['prepay_empty', 429, 'RESOURCE_EXHAUSTED', undefined, 'prepayment credits'],
  ['spend_cap', 429, 'RESOURCE_EXHAUSTED', undefined, 'Spend cap'],
  ['capacity', 429, 'RESOURCE_EXHAUSTED', 'MODEL_CAPACITY_EXHAUSTED', 'No capacity available'],
  ['html_429', 429, undefined, undefined, '<!DOCTYPE html>'],
  ['overloaded', 503, 'UNAVAILABLE', undefined, 'overloaded'],
  ['internal', 500, 'INTERNAL', undefined, 'internal error'],
  ['bad_gateway_html', 502, undefined, undefined, '<!DOCTYPE html>'],
  ['gateway_timeout', 504, 'DEADLINE_EXCEEDED', undefined, 'Deadline expired'],
  ['request_fault', 400, 'INVALID_ARGUMENT', undefined, 'invalid argument'],
  ['html_404', 404, undefined, undefined, '<!DOCTYPE html>'],
  ['cached_content', 403, 'PERMISSION_DENIED', undefined, 'CachedContent'],
  ['file_gone', 403, 'PERMISSION_DENIED', undefined, 'access the File'],
])('Google’s %s is a %d %s', async (kind, code, status, reason, part) => {
  const answer = await askUnder({ kind } as Fault);
  const { error } = answer;
  expect([answer.status, error?.status, reasonOf(error)]).toEqual([code, status, reason]);
  expect(error?.code).toBe(error === undefined ? undefined : code);
  expect(error?.message ?? answer.text).toContain(part);
});

test('the delay of a spent quota can be chosen', async () => {
  const { error } = await askUnder({ kind: 'minute_spent', retryAfterMs: 2_500 });
  expect(error.message).toContain('Please retry in 2.5s.');
  expect(error.details.at(-1).retryDelay).toBe('2s');
});

test('odd shapes wrap an error, by default that of a spent day', async () => {
  const wrapped = await askUnder({ kind: 'array_wrapped' });
  expect(JSON.parse(wrapped.text)[0].error.message).toContain('limit: 20');
  const encoded = await askUnder({ kind: 'double_encoded', fault: { kind: 'leaked' } });
  expect(encoded.error).toMatchObject({ code: 403, status: 'Forbidden' });
  expect(JSON.parse(encoded.error.message).error.message).toContain('leaked');
  const quoted = await askUnder({ kind: 'string_code', fault: { kind: 'leaked' } });
  expect(quoted.error.code).toBe('403');
  const bare = await askUnder({ kind: 'bare_details', fault: { kind: 'bad_key' } });
  expect(Object.keys(bare.error.details[0])).toEqual(['reason', 'metadata']);
  const none = await askUnder({ kind: 'no_violations' });
  expect(none.error.details[0].violations).toEqual([]);
});

test('a refusal that a fault makes counts against no quota', async () => {
  const key = { ...GOOGLE, limits: { rpm: 1 }, fault: { kind: 'overloaded' } } as const;
  const { standin } = await withStandin({ keys: [key] });
  await ask(standin);
  standin.setFault('g1', null);
  expect((await ask(standin)).status).toBe(200);
  expect((await ask(standin)).status).toBe(429);
});

test.each(['google_search', 'googleSearch', 'googleSearchRetrieval'])(
  'a key without search refuses %s before any quota, and counts nothing against it',
  async (tool) => {
    const key = { ...GOOGLE, limits: { rpm: 1 }, refusesSearch: true };
    const { standin } = await withStandin({ keys: [key] });
    const search = () => ask(standin, { body: { tools: [{ [tool]: {} }] } });
    expect((await search()).status).toBe(429);
    expect((await ask(standin, { body: { tools: [{ codeExecution: {} }] } })).status).toBe(200);
    const { status, text } = await whole(await search());
    expect(status).toBe(429);
    expect(JSON.parse(text).error).toEqual({
      code: 429,
      message: 'Resource has been exhausted (e.g. check quota).',
      status: 'RESOURCE_EXHAUSTED',
    });
  },
);

const mint = (standin: Standin) =>
  post(standin, '/v1/auth/session-token', 'a1', { personaConfig: { personaId: 'p1' } });

const start = (standin: Standin, token: string) => post(standin, '/v1/engine/session', token, {});

/** The status of minting, that of starting with a token from before the fault, and a sentence. */
test.each<[Fault['kind'], number, number, string]>([
  ['bad_key', 401, 200, 'Invalid API key'],
  ['forbidden', 403, 200, 'You do not have permission to use this persona'],
  ['persona_missing', 404, 200, 'Persona not found'],
  ['rate_limited', 429, 200, 'Too many requests, please try again later.'],
  ['server_error', 500, 500, 'Internal server error'],
  ['no_plan', 200, 402, 'An active plan is required to start a session'],
  ['spend_cap', 200, 429, 'Spend cap reached'],
  ['usage_limit', 200, 429, 'Usage limit reached'],
  ['slots_busy', 200, 429, 'Concurrent session limit reached'],
  ['no_engines', 200, 503, 'No engines available'],
  ['not_entitled', 200, 403, 'Your plan does not include this feature'],
  ['token_expired', 200, 401, 'Session token is invalid or has expired'],
])(
  'Anam’s %s answers minting with %d and starting with %d',
  async (kind, minting, starting, error) => {
    const { standin } = await withStandin({ keys: [ANAM] });
    const before = await read(mint(standin));
    standin.setFault('a1', { kind } as Fault);
    const minted = await read(mint(standin));
    const started = await read(start(standin, before.body.sessionToken));
    expect([minted.status, started.status]).toEqual([minting, starting]);
    expect(minted.body.error ?? started.body.error).toBe(error);
  },
);

test('the fault rate_limited names the rest of the minute', async () => {
  const { standin, clock } = await withStandin({
    keys: [{ ...ANAM, fault: { kind: 'rate_limited' } }],
  });
  clock.advance(17_500);
  const { headers } = await mint(standin);
  expect(headers.get('ratelimit-reset')).toBe('43');
  expect(headers.get('ratelimit-remaining')).toBe('0');
});

test('the fault slots_busy shows in the free slots, with the wait that was chosen', async () => {
  const fault = { kind: 'slots_busy', estimatedWaitSeconds: 12 } as const;
  const { standin } = await withStandin({ keys: [{ ...ANAM, fault }] });
  const headers = { authorization: 'Bearer a1' };
  const { body } = await read(fetch(`${standin.url}/v1/sessions/concurrency`, { headers }));
  const busy = { limit: 1, active: 1, canStartSession: false, estimatedWaitSeconds: 12 };
  expect(body).toEqual(busy);
});

test('a fault of the connection may be limited to one of Anam’s steps', async () => {
  const { standin, clock } = await withStandin({ keys: [ANAM] });
  standin.setFault('a1', { kind: 'reset', step: 'start' });
  const { body } = await read(mint(standin));
  await expect(start(standin, body.sessionToken)).rejects.toThrow('fetch failed');
  standin.setFault('a1', { kind: 'raw', status: 403, body: { message: 'no' }, step: 'mint' });
  expect((await mint(standin)).status).toBe(403);
  standin.setFault('a1', { kind: 'slow', ms: 1_000, step: 'start' });
  expect((await mint(standin)).status).toBe(200);
  const started = start(standin, body.sessionToken);
  await expect.poll(clock.pendingTimers, { interval: 1 }).toBe(1);
  clock.advance(1_000);
  expect((await started).status).toBe(200);
});

test('a flaky key fails every n-th call, counted from when the fault was set', async () => {
  const { standin } = await withStandin({ keys: [GOOGLE] });
  await ask(standin);
  standin.setFault('g1', { kind: 'flaky', every: 3, fault: { kind: 'internal' } });
  const statuses: number[] = [];
  for (let call = 0; call < 6; call += 1) statuses.push((await ask(standin)).status);
  expect(statuses).toEqual([200, 200, 500, 200, 200, 500]);
});

test('raw answers exactly what it was given', async () => {
  const { standin } = await withStandin({ keys: [GOOGLE] });
  const headers = { 'retry-after': '7' };
  standin.setFault('g1', { kind: 'raw', status: 418, headers, body: 'tea' });
  const text = await whole(await ask(standin));
  expect([text.status, text.headers.get('retry-after'), text.text]).toEqual([418, '7', 'tea']);
  standin.setFault('g1', { kind: 'raw', status: 200, body: { some: 'json' } });
  expect((await read(ask(standin))).body).toEqual({ some: 'json' });
});

test('a fault of another provider, or for an unknown key, is a TypeError', async () => {
  const { standin } = await withStandin({ keys: [GOOGLE, ANAM] });
  const flaky: Fault = { kind: 'flaky', every: 2, fault: { kind: 'no_plan' } };
  expect(() => standin.setFault('g1', flaky)).toThrow('"no_plan" is no fault of google');
  expect(() => standin.setFault('a1', { kind: 'overloaded' })).toThrow('no fault of anam');
  expect(() => standin.setFault('other', null)).toThrow(TypeError);
  const keys = [{ ...GOOGLE, fault: { kind: 'forbidden' } }] as const;
  await expect(withStandin({ keys })).rejects.toThrow(TypeError);
});
