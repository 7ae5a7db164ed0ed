import { describe, expect, it } from 'vitest';
import { answerOf, bare, classify } from './gemini-answers.ts';

const FAULT = { kind: 'request_fault' };
const DOWN = { kind: 'upstream_down', timedOut: false };
const TIMED_OUT = { kind: 'upstream_down', timedOut: true };

describe('the effective status', () => {
  const spentDay = { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Spent' };

  it.each([
    ['an error inside a 200 stream', 200, spentDay, 'rate_limited', 429],
    ['the name against the number and HTTP', 500, { ...spentDay, code: 400 }, 'rate_limited', 500],
    ['the number against HTTP', 500, { code: 429, message: '' }, 'rate_limited', 500],
    ['a name that is no refusal against HTTP', 429, { status: 'OK' }, 'rate_limited', 429],
    ["HTTP's own phrase as the name", 200, { status: 'Too Many Requests' }, 'rate_limited', 429],
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
    ['PERMISSION_DENIED', { kind: 'model_unavailable', whose: 'key', isUnexplained: true }, 403],
    ['NOT_FOUND', { kind: 'model_unavailable', whose: 'key', isUnexplained: true }, 404],
    ['ALREADY_EXISTS', FAULT, 409],
    ['RESOURCE_EXHAUSTED', { kind: 'rate_limited', isUnexplained: true }, 429],
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
