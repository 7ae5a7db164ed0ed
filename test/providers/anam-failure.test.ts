import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  classifyAnamSessionAnswer,
  classifyAnamTokenAnswer,
} from '../../src/providers/anam/anam-failure.ts';
import type { ProviderAnswer } from '../../src/providers/provider.ts';
import { answerOf, bare, context, HTML, KEY, NOW } from './gemini-answers.ts';

const OURS = { kind: 'misconfigured' };
const FAULT = { kind: 'request_fault' };
const REJECTED = { kind: 'key_rejected' };
const NO_CREDIT = { kind: 'out_of_credit' };
const DOWN = { kind: 'upstream_down', timedOut: false };
const TIMED_OUT = { kind: 'upstream_down', timedOut: true };
const NOT_OWNED = { kind: 'not_owned' };
const lacks = (whose: string) => ({ kind: 'model_unavailable', whose });
const FAULT_OF_TOKEN = {
  kind: 'request_fault',
  provesNothing: true,
  about: 'session_token',
};
const FAULT_BEFORE_ALL = { kind: 'request_fault', provesNothing: true };
const noSlotFor = (retryAfterMs: number) => ({ ...limitedFor(retryAfterMs), of: 'project' });
const limitedFor = (retryAfterMs: number) => ({ kind: 'rate_limited', retryAfterMs });

const token = (answer: ProviderAnswer, persona: 'ours' | 'callers' = 'ours') =>
  classifyAnamTokenAnswer(answer, persona, context);
const session = (answer: ProviderAnswer, estimatedWaitSeconds?: number) =>
  classifyAnamSessionAnswer(answer, 'ours', { ...context, estimatedWaitSeconds });

const INVALID = {
  error: 'Validation failed',
  details: [
    { path: 'personaConfig.avatarId', message: 'Required', code: 'invalid_type' },
    { path: ['personaConfig', 'voices', 0], message: 'Unknown voice' },
  ],
};

describe('the token route', () => {
  it.each([
    ['a 400 about our persona', 400, INVALID, OURS, FAULT],
    ['a bad key', 401, { error: 'Invalid API key' }, REJECTED, REJECTED],
    ['no plan', 402, { error: 'Payment required' }, NO_CREDIT, NO_CREDIT],
    ['a plan without the option', 403, { error: 'Forbidden' }, lacks('key'), NOT_OWNED],
    ['a persona of another account', 404, { message: 'No' }, lacks('key'), NOT_OWNED],
    ['a page at 404: a wrong base URL', 404, HTML, OURS, OURS],
    ['a page at 403', 403, HTML, OURS, OURS],
    ['a page at 429: our address is refused, not the key', 429, HTML, DOWN, DOWN],
    ['a 404 that is no JSON', 404, 'Not Found', OURS, OURS],
    ['a 404 without a body', 404, '', OURS, OURS],
    ['a 403 that is no JSON', 403, 'Access denied', OURS, OURS],
    ['a redirect', 308, '', OURS, OURS],
    ['a server error', 500, { error: 'Internal' }, DOWN, DOWN],
    ['a bad gateway', 502, HTML, DOWN, DOWN],
    ['a gateway that waited too long', 504, '', TIMED_OUT, TIMED_OUT],
    ['a request that took too long', 408, '', TIMED_OUT, TIMED_OUT],
    ['a 200 without a token', 200, {}, DOWN, DOWN],
    ['a 201 that is a page', 201, HTML, DOWN, DOWN],
    ['the unheard of', 418, '', DOWN, DOWN],
  ])('%s', (_title, status, body, whenOurs, whenCallers) => {
    expect(bare(token(answerOf(status, body), 'ours'))).toEqual(whenOurs);
    expect(bare(token(answerOf(status, body), 'callers'))).toEqual(whenCallers);
  });

  it.each<[ProviderAnswer['headers'], object]>([
    [{ 'ratelimit-reset': '30' }, limitedFor(30_000)],
    [{ 'ratelimit-reset': '0' }, limitedFor(1000)],
    [{ 'ratelimit-reset': '30', 'retry-after': '60' }, limitedFor(30_000)],
    [{ ratelimit: '"token";r=0;t=12' }, limitedFor(12_000)],
    [{ ratelimit: '"hour";r=9;t=900, "minute";r=0; t=30' }, limitedFor(30_000)],
    [{ ratelimit: 'limit=6, remaining=0, reset=15' }, limitedFor(15_000)],
    [{ ratelimit: 'r=0; t=30', 'ratelimit-reset': 'soon' }, limitedFor(30_000)],
    [{ 'retry-after': '60' }, limitedFor(60_000)],
    [{ 'retry-after': new Date(NOW + 5000).toUTCString() }, limitedFor(5000)],
    [{ 'ratelimit-limit': '6' }, { kind: 'rate_limited' }],
    [{}, { kind: 'rate_limited' }],
  ])('a 429 with the headers %j', (headers, expected) => {
    const answer = answerOf(429, { error: 'Too many requests' }, headers);
    expect(bare(token(answer))).toEqual(expected);
  });

  it('tells which fields a validation error is about', () => {
    expect(token(answerOf(400, INVALID))).toMatchObject({
      status: 400,
      message:
        'Validation failed; personaConfig.avatarId: Required; personaConfig.voices.0: Unknown voice',
    });
  });

  it.each([
    [{ message: 'Under message' }, 'Under message'],
    [{ error: { message: 'Nested' } }, 'Nested'],
    [{ summary: 'In short' }, 'In short'],
    ['just words', 'just words'],
    [HTML, 'Error (Not Found)!!1'],
    ['', 'HTTP 500'],
    [{}, 'HTTP 500'],
  ])('finds the sentence of %j', (body, message) => {
    expect(token(answerOf(500, body)).message).toBe(message);
  });
});

describe('the session route', () => {
  const busy = answerOf(429, { error: 'Concurrent session limit reached' });

  it.each([
    ['no slot, with an estimate', busy, 12, noSlotFor(12_000)],
    ['no slot, with an estimate of nothing', busy, 0, noSlotFor(1000)],
    ['no slot, with an estimate that is none', busy, Number.NaN, noSlotFor(60_000)],
    ['no slot, without an estimate', busy, undefined, noSlotFor(60_000)],
  ])('%s', (_title, answer, wait, expected) => {
    expect(bare(session(answer, wait))).toEqual(expected);
  });

  it.each([403, 404])(
    'of a persona that its caller brought says nothing of the key: %i',
    (status) => {
      const answer = answerOf(status, { error: 'No' });
      expect(bare(classifyAnamSessionAnswer(answer, 'callers', context))).toEqual(NOT_OWNED);
    },
  );

  it.each([
    [
      'no slot, said under message',
      429,
      { message: 'Concurrent session limit reached' },
      noSlotFor(60_000),
    ],
    ['the spend cap', 429, { error: 'Spend cap reached' }, NO_CREDIT],
    ['spent minutes', 429, { error: 'Usage limit reached' }, NO_CREDIT],
    ['a 429 without a word', 429, '', NO_CREDIT],
    ['a page at 429: our address, not the account', 429, HTML, DOWN],
    ['no plan', 402, '', NO_CREDIT],
    ['a used token', 401, { error: 'Token expired' }, FAULT_OF_TOKEN],
    ['a bad request', 400, INVALID, FAULT_BEFORE_ALL],
    ['not entitled', 403, { error: 'Forbidden' }, lacks('key')],
    ['no such persona', 404, { error: 'Not found' }, lacks('key')],
    ['a page at 404', 404, HTML, OURS],
    ['no engines', 503, { error: 'No engines available' }, DOWN],
    ['a server error', 500, '', DOWN],
    ['a gateway that waited too long', 504, HTML, TIMED_OUT],
    ['a 200 without a session', 200, '{}', DOWN],
  ])('%s', (_title, status, body, expected) => {
    expect(bare(session(answerOf(status, body)))).toEqual(expected);
  });
});

describe('whatever comes', () => {
  const KINDS =
    /^(rate_limited|out_of_credit|key_rejected|model_unavailable|not_owned|request_fault|upstream_down|misconfigured)$/;
  const status = fc.oneof(fc.integer(), fc.constantFrom(200, 400, 401, 402, 403, 404, 429, 503));
  const secretText = fc.string().map((text) => `${text.repeat(30)}${KEY}`);
  const body = fc.oneof(
    fc.string(),
    fc.json(),
    secretText,
    fc
      .record({ error: secretText, details: fc.array(fc.record({ path: secretText })) })
      .map(toJson),
    fc.json().map((details) => `{"message":"x","details":[${details}]}`),
  );
  const headers = fc.dictionary(
    fc.constantFrom('retry-after', 'ratelimit', 'ratelimit-reset'),
    fc.oneof(fc.string(), fc.integer().map(String), fc.array(fc.string()), fc.constant(undefined)),
  );

  it('is sorted into a known kind, without a throw and without a secret', () => {
    fc.assert(
      fc.property(status, headers, body, fc.double(), (code, fields, text, wait) => {
        const answer = { status: code, headers: fields, body: text };
        for (const failure of [token(answer), token(answer, 'callers'), session(answer, wait)]) {
          expect(failure.kind).toMatch(KINDS);
          expect(failure.message).not.toContain(KEY);
          expect(failure.message.length).toBeLessThanOrEqual(300);
          if (failure.kind === 'rate_limited') {
            expect(failure.retryAfterMs ?? 1).toBeGreaterThan(0);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

function toJson(value: unknown): string {
  return JSON.stringify(value);
}
