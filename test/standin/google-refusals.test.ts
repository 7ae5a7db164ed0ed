import { expect, test } from 'vitest';
import type { Fault } from '../../standin/standin.ts';
import { ask, type Json, read, whole, withStandin } from './with-standin.ts';

const KEYS = [{ key: 'g1', service: 'google' }] as const;

async function askUnder(fault: Fault) {
  const { standin } = await withStandin({ keys: [{ ...KEYS[0], fault }] });
  return read(ask(standin));
}

const reasonOf = ({ error }: Json) => error.details?.find((one: Json) => one.reason)?.reason;

test.each<[Fault['kind'], number, string, string | undefined, string]>([
  ['bad_key', 400, 'INVALID_ARGUMENT', 'API_KEY_INVALID', 'API key not valid'],
  ['expired_key', 400, 'INVALID_ARGUMENT', 'API_KEY_INVALID', 'API key expired'],
  ['leaked', 403, 'PERMISSION_DENIED', undefined, 'reported as leaked'],
  ['suspended', 403, 'PERMISSION_DENIED', 'CONSUMER_SUSPENDED', 'has been suspended'],
  ['service_disabled', 403, 'PERMISSION_DENIED', 'SERVICE_DISABLED', 'it is disabled'],
  [
    'key_blocked',
    403,
    'PERMISSION_DENIED',
    'API_KEY_SERVICE_BLOCKED',
    'GenerateContent are blocked',
  ],
  [
    'unauthenticated',
    401,
    'UNAUTHENTICATED',
    'ACCESS_TOKEN_TYPE_UNSUPPORTED',
    'invalid authentication',
  ],
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
  ['overloaded', 503, 'UNAVAILABLE', undefined, 'overloaded'],
  ['internal', 500, 'INTERNAL', undefined, 'internal error'],
  ['gateway_timeout', 504, 'DEADLINE_EXCEEDED', undefined, 'Deadline expired'],
  ['request_fault', 400, 'INVALID_ARGUMENT', undefined, 'invalid argument'],
  ['cached_content', 403, 'PERMISSION_DENIED', undefined, 'CachedContent'],
  ['file_gone', 403, 'PERMISSION_DENIED', undefined, 'access the File'],
])('%s is answered with %d %s', async (kind, code, status, reason, sentence) => {
  const answer = await askUnder({ kind } as Fault);
  expect(answer.status).toBe(code);
  expect(answer.body.error).toMatchObject({ code, status });
  expect(answer.body.error.message).toContain(sentence);
  expect(reasonOf(answer.body)).toBe(reason);
});

test.each<[Fault['kind'], number]>([
  ['html_404', 404],
  ['html_429', 429],
  ['bad_gateway_html', 502],
])('%s is an HTML page with status %d', async (kind, status) => {
  const { standin } = await withStandin({ keys: [{ ...KEYS[0], fault: { kind } as Fault }] });
  const answer = await whole(await ask(standin));
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toContain('text/html');
  expect(answer.text).toMatch(/^<!DOCTYPE html>/);
});

test('a suspended key is echoed in the message and in containerInfo', async () => {
  const { body } = await askUnder({ kind: 'suspended' });
  expect(body.error.message).toContain('api_key:g1');
  expect(body.error.details[0].metadata.containerInfo).toBe('api_key:g1');
});

test('the delay of a spent quota can be chosen', async () => {
  const { body } = await askUnder({ kind: 'minute_spent', retryAfterMs: 2_500 });
  expect(body.error.message).toContain('Please retry in 2.5s.');
  expect(body.error.details.at(-1).retryDelay).toBe('2s');
});

test('odd shapes wrap an error, by default that of a spent day', async () => {
  const wrapped = await askUnder({ kind: 'array_wrapped' });
  expect(wrapped.body[0].error.message).toContain('limit: 20');
  const fault: Fault = { kind: 'leaked' };
  const encoded = await askUnder({ kind: 'double_encoded', fault });
  expect(encoded.body.error).toMatchObject({ code: 403, status: 'Forbidden' });
  expect(JSON.parse(encoded.body.error.message).error.message).toContain('leaked');
  const quoted = await askUnder({ kind: 'string_code', fault });
  expect(quoted.body.error.code).toBe('403');
  const bare = await askUnder({ kind: 'bare_details', fault: { kind: 'bad_key' } });
  expect(Object.keys(bare.body.error.details[0])).toEqual(['reason', 'metadata']);
  const none = await askUnder({ kind: 'no_violations' });
  expect(none.body.error.details[0].violations).toEqual([]);
});

test('a refusal that a fault makes counts against no quota', async () => {
  const key = { ...KEYS[0], limits: { rpm: 1 }, fault: { kind: 'overloaded' } } as const;
  const { standin } = await withStandin({ keys: [key] });
  await ask(standin);
  standin.setFault('g1', null);
  expect((await ask(standin)).status).toBe(200);
  expect((await ask(standin)).status).toBe(429);
});

test('a flaky key fails every n-th call, counted from when the fault was set', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  await ask(standin);
  standin.setFault('g1', { kind: 'flaky', every: 3, fault: { kind: 'internal' } });
  const statuses: number[] = [];
  for (let call = 0; call < 6; call += 1) statuses.push((await ask(standin)).status);
  expect(statuses).toEqual([200, 200, 500, 200, 200, 500]);
});

test('raw answers exactly what it was given', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  standin.setFault('g1', {
    kind: 'raw',
    status: 418,
    headers: { 'retry-after': '7' },
    body: 'tea',
  });
  const text = await whole(await ask(standin));
  expect([text.status, text.headers.get('retry-after'), text.text]).toEqual([418, '7', 'tea']);
  standin.setFault('g1', { kind: 'raw', status: 200, body: { some: 'json' } });
  expect((await read(ask(standin))).body).toEqual({ some: 'json' });
});

test('a fault that Google cannot have is refused where it is set', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  expect(() => standin.setFault('g1', { kind: 'slots_busy' })).toThrow(TypeError);
  const fault: Fault = { kind: 'flaky', every: 2, fault: { kind: 'no_plan' } };
  expect(() => standin.setFault('g1', fault)).toThrow('"no_plan" is no fault of google');
  await expect(
    withStandin({ keys: [{ ...KEYS[0], fault: { kind: 'forbidden' } }] }),
  ).rejects.toThrow(TypeError);
});
