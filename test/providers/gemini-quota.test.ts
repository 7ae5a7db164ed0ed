import { describe, expect, it } from 'vitest';
import {
  answerOf,
  bare,
  classify,
  DAY,
  errorInfo,
  exhausted,
  HTML,
  MINUTE,
  NOW,
  quotaFailure,
  retryInfo,
  violation,
} from './gemini-answers.ts';

const CHECK_PLAN = 'You exceeded your current quota, please check your plan and billing details.';
const NO_CAPACITY = { kind: 'upstream_down', timedOut: false };
const NO_QUOTA = { kind: 'model_unavailable', whose: 'project' };
const limitedFor = (retryAfterMs: number) => ({ kind: 'rate_limited', retryAfterMs });
const unexplained = (finding: object) => ({ ...finding, isUnexplained: true });
const UNEXPLAINED = unexplained({ kind: 'rate_limited' });
const ofTokens = (inputTokenLimit: number, finding: object) => ({ ...finding, inputTokenLimit });
const withHeader = (value: string | string[]) =>
  answerOf(429, 'slow down', { 'retry-after': value });

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
      ofTokens(250_000, limitedFor(12_300)),
    ],
    [
      'a spent minute, whose message names the longer wait',
      exhausted(
        `${CHECK_PLAN}\nPlease retry in 45.81s.`,
        quotaFailure(violation(MINUTE, '15')),
        retryInfo('41s'),
      ),
      ofTokens(15, limitedFor(45_810)),
    ],
    [
      'a spent minute, whose RetryInfo names the longer wait',
      exhausted('Please retry in 812ms.', quotaFailure(violation(MINUTE, '15')), retryInfo('1s')),
      ofTokens(15, limitedFor(1000)),
    ],
    [
      'a spent minute with nothing said about when',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, '15'))),
      ofTokens(15, { kind: 'rate_limited' }),
    ],
    [
      'a limit on input tokens that is no number',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, 'many'))),
      { kind: 'rate_limited' },
    ],
    [
      'two limits on input tokens: the smaller one governs',
      exhausted(CHECK_PLAN, quotaFailure(violation(MINUTE, '900'), violation(MINUTE, '600'))),
      ofTokens(600, { kind: 'rate_limited' }),
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
      NO_CAPACITY,
    ],
    [
      'details against the message: the details win',
      exhausted('limit: 0, spending cap', quotaFailure(violation(MINUTE, '15')), retryInfo('9s')),
      ofTokens(15, limitedFor(9000)),
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
    ['No capacity available for model x on the server', NO_CAPACITY],
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
    expect(bare(classify(answerOf(429, page)))).toEqual(NO_CAPACITY);
    expect(bare(classify(answerOf(429, HTML)))).toEqual(NO_CAPACITY);
  });

  it.each([
    ['seconds', withHeader('7'), limitedFor(7000)],
    ['seconds in a list', withHeader(['7', '9']), limitedFor(7000)],
    ['an HTTP date', withHeader(new Date(NOW + 90_000).toUTCString()), limitedFor(90_000)],
    ['a date gone by', withHeader(new Date(NOW - 90_000).toUTCString()), limitedFor(1000)],
    ['zero', withHeader('0'), limitedFor(1000)],
    ['less than zero', withHeader('-5'), limitedFor(1000)],
    ['a word', withHeader('soon 5'), { kind: 'rate_limited' }],
    ['nothing', answerOf(429, ''), { kind: 'rate_limited' }],
  ])("believes a proxy's Retry-After in %s", (_title, answer, expected) => {
    expect(bare(classify(answer))).toEqual(unexplained(expected));
  });

  it("prefers Google's hint to a proxy's", () => {
    const answer = { ...exhausted('Slow down', retryInfo('3s')), headers: { 'retry-after': '99' } };
    expect(bare(classify(answer))).toEqual(limitedFor(3000));
  });

  it('never passes on a hint of zero', () => {
    const answer = exhausted('', quotaFailure(violation(MINUTE, '15')), retryInfo('0s'));
    expect(bare(classify(answer))).toEqual(ofTokens(15, limitedFor(1000)));
  });
});
