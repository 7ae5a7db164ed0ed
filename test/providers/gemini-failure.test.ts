import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classifyGeminiAnswer } from '../../src/providers/gemini/gemini-failure.ts';
import {
  answerOf,
  badRequest,
  bare,
  classify,
  context,
  DAY,
  errorInfo,
  googleAnswer,
  HTML,
  KEY,
  quotaFailure,
  retryInfo,
  violation,
} from './gemini-answers.ts';

const FAULT = { kind: 'request_fault' };
const OURS = { kind: 'misconfigured' };
const DOWN = { kind: 'upstream_down', timedOut: false };
const TIMED_OUT = { kind: 'upstream_down', timedOut: true };

describe('upstream trouble', () => {
  it.each([
    [408, '', TIMED_OUT],
    [499, '', DOWN],
    [500, HTML, DOWN],
    [502, HTML, DOWN],
    [503, { error: { code: 503, message: 'Overloaded', status: 'UNAVAILABLE' } }, DOWN],
    [504, HTML, TIMED_OUT],
    [200, '', DOWN],
    [200, 'gibberish', DOWN],
    [200, { candidates: [] }, DOWN],
  ])('a %i with the body %j', (status, body, expected) => {
    expect(bare(classify(answerOf(status, body)))).toEqual(expected);
  });

  it.each([
    ['DEADLINE_EXCEEDED', TIMED_OUT],
    ['UNAVAILABLE', DOWN],
    ['INTERNAL', DOWN],
    ['ABORTED', DOWN],
    ['CANCELLED', DOWN],
    ['UNKNOWN', DOWN],
  ])('a body that says %s under a 400', (status, expected) => {
    expect(bare(classify(answerOf(400, { error: { status } })))).toEqual(expected);
  });
});

describe('any other status', () => {
  it.each([
    [301, '', OURS],
    [302, HTML, OURS],
    [405, HTML, OURS],
    [405, '', OURS],
    [409, { error: { code: 409, message: 'Exists', status: 'ALREADY_EXISTS' } }, FAULT],
    [413, { error: { code: 413, message: 'Too large' } }, FAULT],
    [0, '', DOWN],
    [700, '', DOWN],
  ])('a %i with the body %j', (status, body, expected) => {
    expect(bare(classify(answerOf(status, body)))).toEqual(expected);
  });
});

describe('the message', () => {
  it('hides a key that the body echoes', () => {
    const said = `Permission denied: Consumer 'api_key:${KEY}' has been suspended.`;
    const failure = classify(googleAnswer(403, 'PERMISSION_DENIED', said));
    expect(failure.message).toBe(said.replace(KEY, '[redacted]'));
  });

  it('leaves no half of a key where it is cut', () => {
    const { message } = classify(googleAnswer(400, 'INVALID_ARGUMENT', 'x'.repeat(280) + KEY));
    expect(message).not.toContain('AI');
    expect(message).toHaveLength(290);
  });

  it('is one line of at most 300 characters', () => {
    const { message } = classify(googleAnswer(400, '', `a\r\n\tb ${'c'.repeat(400)}`));
    expect(message).toMatch(/^a b c+…$/);
    expect(message).toHaveLength(300);
  });

  it('is the title of a page, and the status where nothing was said', () => {
    expect(classify(answerOf(404, HTML)).message).toBe('Error (Not Found)!!1');
    expect(classify(answerOf(503, '')).message).toBe('HTTP 503');
  });
});

describe('whatever comes', () => {
  const KINDS =
    /^(rate_limited|quota_exhausted|out_of_credit|key_rejected|model_unavailable|request_fault|upstream_down|misconfigured)$/;
  const status = fc.oneof(
    fc.integer(),
    fc.constantFrom(200, 302, 400, 401, 402, 403, 404, 429, 503),
  );
  const detail = fc.oneof(
    fc.constantFrom(
      quotaFailure(violation(DAY)),
      retryInfo('-1s'),
      errorInfo(KEY),
      badRequest(KEY),
    ),
    fc.anything(),
  );
  const error = fc.record(
    {
      code: fc.oneof(fc.integer(), fc.string(), fc.anything()),
      status: fc.oneof(fc.constantFrom('RESOURCE_EXHAUSTED', 'Forbidden'), fc.anything()),
      message: fc.oneof(
        fc.string().map((text) => `${text}${KEY}${text}`),
        fc.nat(600).map((length) => '<'.repeat(length) + KEY),
        fc.json(),
      ),
      details: fc.oneof(fc.array(detail), fc.anything()),
    },
    { requiredKeys: [] },
  );
  const body = fc.oneof(
    fc.string(),
    fc.json(),
    fc.string().map((text) => `<p>${text}${KEY}`),
    error.map((inner) => stringify({ error: inner })),
    error.map((inner) => `data: ${stringify([{ error: { message: stringify(inner) } }])}\r\n\r\n`),
  );
  const headers = fc.dictionary(
    fc.oneof(fc.constant('retry-after'), fc.string()),
    fc.oneof(fc.string(), fc.array(fc.string()), fc.constant(undefined)),
  );

  it('is sorted into a known kind, without a throw and without a secret', () => {
    fc.assert(
      fc.property(status, headers, body, (code, fields, text) => {
        const answer = { status: code, headers: fields, body: text };
        const failure = classifyGeminiAnswer(answer, context);
        expect(failure.kind).toMatch(KINDS);
        expect(failure.message).not.toContain(KEY);
        expect(failure.message.length).toBeLessThanOrEqual(300);
        expect(failure.message).not.toBe('');
        if (failure.kind === 'rate_limited') expect(failure.retryAfterMs ?? 1).toBeGreaterThan(0);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes no long time over a hostile megabyte', () => {
    for (const piece of [
      '<',
      '<title',
      'data:\n\n',
      '1h',
      'requests from ',
      '[',
      ' \n',
      '{"error":',
    ]) {
      const text = piece.repeat(1_000_000 / piece.length);
      const started = performance.now();
      classify(answerOf(429, text));
      classify(googleAnswer(403, 'PERMISSION_DENIED', `retry in ${text}`));
      expect(performance.now() - started).toBeLessThan(2000);
    }
  });
});

/** `fc.anything()` holds what JSON cannot: big integers become text. */
function stringify(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (typeof part === 'bigint' ? `${part}` : part));
}
