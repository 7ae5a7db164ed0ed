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
  exhausted,
  googleAnswer,
  HTML,
  KEY,
  MINUTE,
  NOW,
  quotaFailure,
  retryInfo,
  violation,
} from './gemini-answers.ts';

const FAULT = { kind: 'request_fault' };
const OURS = { kind: 'misconfigured' };
const DOWN = { kind: 'upstream_down', timedOut: false };
const TIMED_OUT = { kind: 'upstream_down', timedOut: true };

const CHECK_PLAN = 'You exceeded your current quota, please check your plan and billing details.';
const NO_QUOTA = { kind: 'model_unavailable', whose: 'project' };
const limitedFor = (retryAfterMs: number) => ({ kind: 'rate_limited', retryAfterMs });
const hintedFor = (retryAfterMs: number) => ({ ...UNEXPLAINED, retryAfterMs });
const UNEXPLAINED = { kind: 'quota_unexplained' };
const withHeader = (value: string | string[]) =>
  answerOf(429, 'slow down', { 'retry-after': value });

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

describe('the effective status', () => {
  const spentDay = { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Spent' };

  it.each([
    ['an error inside a 200 stream', 200, spentDay, 'quota_unexplained', 429],
    [
      'the name against the number and HTTP',
      500,
      { ...spentDay, code: 400 },
      'quota_unexplained',
      500,
    ],
    ['the number against HTTP', 500, { code: 429, message: '' }, 'quota_unexplained', 500],
    ['a name that is no refusal against HTTP', 429, { status: 'OK' }, 'quota_unexplained', 429],
    [
      "HTTP's own phrase as the name",
      200,
      { status: 'Too Many Requests' },
      'quota_unexplained',
      429,
    ],
    [
      'HTTP where name and number mean nothing',
      403,
      { code: 7, status: 'X' },
      'model_unavailable',
      403,
    ],
  ])('%s', (_title, status, error, kind, reported) => {
    expect(classify(answerOf(status, { error }))).toMatchObject({ kind, status: reported });
  });
});

describe("each of Google's names, alone in a 200", () => {
  it.each([
    ['INVALID_ARGUMENT', FAULT, 400],
    ['FAILED_PRECONDITION', FAULT, 400],
    ['OUT_OF_RANGE', FAULT, 400],
    ['UNAUTHENTICATED', { kind: 'key_rejected' }, 401],
    ['PERMISSION_DENIED', { kind: 'model_unavailable', whose: 'key' }, 403],
    ['NOT_FOUND', { kind: 'model_unavailable', whose: 'key' }, 404],
    ['ALREADY_EXISTS', FAULT, 409],
    ['RESOURCE_EXHAUSTED', UNEXPLAINED, 429],
    ['CANCELLED', DOWN, 499],
    ['UNKNOWN', DOWN, 500],
    ['INTERNAL', DOWN, 500],
    ['DATA_LOSS', DOWN, 500],
    ['UNIMPLEMENTED', DOWN, 501],
    ['ABORTED', DOWN, 503],
    ['UNAVAILABLE', DOWN, 503],
    ['DEADLINE_EXCEEDED', TIMED_OUT, 504],
  ])('%s', (name, expected, status) => {
    const failure = classify(answerOf(200, { error: { status: name } }));
    expect(bare(failure)).toEqual(expected);
    expect(failure.status).toBe(status);
  });
});

describe('a 429 whose details say why', () => {
  it.each([
    [
      'a spent day, whose short RetryInfo is ignored',
      exhausted(CHECK_PLAN, quotaFailure(violation(DAY, '250')), retryInfo('22s')),
      { kind: 'quota_exhausted' },
    ],
    [
      'a spent minute, with an honest RetryInfo',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, '250000')), retryInfo('12.3s')),
      limitedFor(12_300),
    ],
    [
      'a spent minute, whose message names the longer wait',
      exhausted(
        `${CHECK_PLAN}\nPlease retry in 45.81s.`,
        quotaFailure(violation(MINUTE, '15')),
        retryInfo('41s'),
      ),
      limitedFor(45_810),
    ],
    [
      'a spent minute, whose RetryInfo names the longer wait',
      exhausted('Please retry in 812ms.', quotaFailure(violation(MINUTE, '15')), retryInfo('1s')),
      limitedFor(1000),
    ],
    [
      'a spent minute with nothing said about when',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, '15'))),
      { kind: 'rate_limited' },
    ],
    [
      'a limit on input tokens that is no number',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, 'many'))),
      { kind: 'rate_limited' },
    ],
    [
      'two limits on input tokens: the smaller one governs',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, '900'), violation(MINUTE, '600'))),
      { kind: 'rate_limited' },
    ],
    [
      'a limit on input tokens beside one on requests',
      exhausted(
        CHECK_PLAN,
        quotaFailure(violation(MINUTE, '900'), violation('RequestsPerMinute', '9')),
      ),
      { kind: 'rate_limited' },
    ],
    [
      'both a minute and a day: the longer period governs',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, '15'), violation(DAY, '250'))),
      { kind: 'quota_exhausted' },
    ],
    [
      'both periods in two QuotaFailures',
      exhausted(
        CHECK_PLAN,
        quotaFailure(violation(MINUTE, '1')),
        quotaFailure(violation(DAY, '2')),
      ),
      { kind: 'quota_exhausted' },
    ],
    [
      'no quotaValue at all: no quota for this model',
      exhausted(CHECK_PLAN, quotaFailure(violation(DAY), violation(MINUTE)), retryInfo('10s')),
      NO_QUOTA,
    ],
    [
      'one quota of several that is zero',
      exhausted(CHECK_PLAN, quotaFailure(violation(DAY, '250'), violation(MINUTE, '0'))),
      NO_QUOTA,
    ],
    [
      'a violation that has only a metric, and no value',
      exhausted(CHECK_PLAN, quotaFailure({ quotaMetric: 'requests' })),
      NO_QUOTA,
    ],
    [
      'no quota for any model',
      exhausted('Quota exceeded', errorInfo('RATE_LIMIT_EXCEEDED', { quota_limit_value: '0' })),
      { kind: 'key_rejected' },
    ],
    [
      'a rate limit that is more than zero',
      exhausted('Quota exceeded', errorInfo('RATE_LIMIT_EXCEEDED', { quota_limit_value: '10' })),
      { kind: 'rate_limited' },
    ],
    [
      'no capacity on their side',
      exhausted('Overloaded', errorInfo('MODEL_CAPACITY_EXHAUSTED'), retryInfo('40s')),
      DOWN,
    ],
    [
      'details against the message: the details win',
      exhausted('limit: 0, spending cap', quotaFailure(violation(MINUTE, '15')), retryInfo('9s')),
      limitedFor(9000),
    ],
  ])('%s', (_title, answer, expected) => {
    expect(bare(classify(answer))).toEqual(expected);
  });
});

describe('a 429 whose message alone says why', () => {
  it.each([
    ['Resource has been exhausted (e.g. check quota).', UNEXPLAINED],
    [`${CHECK_PLAN} For more information, see the rate limits.`, UNEXPLAINED],
    ['Please retry in 1m2.5s.', limitedFor(62_500)],
    ['* Quota exceeded for metric: requests, limit: 0, model: x\nPlease retry in 10s.', NO_QUOTA],
    ['Quota exceeded for metric: requests, limit: 0', NO_QUOTA],
    ['Quota exceeded for metric: requests, Limit: 0.', NO_QUOTA],
    ['Quota exceeded for metric: requests, limit: 0.5', { kind: 'rate_limited' }],
    ['Quota exceeded for metric: requests, limit: 05', { kind: 'rate_limited' }],
    ['Quota exceeded for metric: requests, limit: 20', { kind: 'rate_limited' }],
    ['Your prepayment credits are depleted.', { kind: 'out_of_credit' }],
    ['Spend cap reached', { kind: 'out_of_credit' }],
    ['Your project has exceeded its monthly spending cap.', { kind: 'out_of_credit' }],
    ['You hit the spend-based rate limit.', limitedFor(600_000)],
    ['You hit the spend-based rate limit. Please retry in 30s.', limitedFor(30_000)],
    ['You hit the spend-based rate limit; see #project-spend-caps.', limitedFor(600_000)],
    ['No capacity available for model x on the server', DOWN],
  ])('%s', (message, expected) => {
    expect(bare(classify(exhausted(message)))).toEqual(expected);
  });

  it('takes the word of the message for money, whatever RetryInfo stands beside it', () => {
    const answer = exhausted('Your prepayment credits are depleted.', retryInfo('5s'));
    expect(bare(classify(answer))).toEqual({ kind: 'out_of_credit' });
  });

  it('reads the message where violations are an empty list', () => {
    const answer = exhausted('limit: 0', quotaFailure());
    expect(bare(classify(answer))).toEqual(NO_QUOTA);
  });

  it('reads the message where the violations are those of a PreconditionFailure', () => {
    const answer = exhausted('Slow down', { violations: [{ type: 'TOS', subject: 'x' }] });
    expect(bare(classify(answer))).toEqual(UNEXPLAINED);
  });
});

describe('a 429 that no Google service wrote', () => {
  it('is upstream trouble when it is a page: Google doubts our address', () => {
    const page =
      '<html><body>your network may be sending automated queries, limit: 0</body></html>';
    expect(bare(classify(answerOf(429, page)))).toEqual(DOWN);
    expect(bare(classify(answerOf(429, HTML)))).toEqual(DOWN);
  });

  it.each([
    ['seconds', withHeader('7'), hintedFor(7000)],
    ['seconds in a list', withHeader(['7', '9']), hintedFor(7000)],
    ['an HTTP date', withHeader(new Date(NOW + 90_000).toUTCString()), hintedFor(90_000)],
    ['a date gone by', withHeader(new Date(NOW - 90_000).toUTCString()), hintedFor(1000)],
    ['zero', withHeader('0'), hintedFor(1000)],
    ['less than zero', withHeader('-5'), hintedFor(1000)],
    ['a word', withHeader('soon 5'), UNEXPLAINED],
    ['nothing', answerOf(429, ''), UNEXPLAINED],
  ])("believes a proxy's Retry-After in %s", (_title, answer, expected) => {
    expect(bare(classify(answer))).toEqual(expected);
  });

  it("prefers Google's hint to a proxy's", () => {
    const answer = { ...exhausted('Slow down', retryInfo('3s')), headers: { 'retry-after': '99' } };
    expect(bare(classify(answer))).toEqual(limitedFor(3000));
  });

  it('never passes on a hint of zero', () => {
    const answer = exhausted('', quotaFailure(violation(MINUTE, '15')), retryInfo('0s'));
    expect(bare(classify(answer))).toEqual(limitedFor(1000));
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
    /^(rate_limited|quota_exhausted|quota_unexplained|out_of_credit|key_rejected|model_unavailable|request_fault|upstream_down|misconfigured)$/;
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
