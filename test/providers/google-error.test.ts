import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGoogleError } from '../../src/providers/gemini/google-error.ts';

const error = { code: 429, message: 'Spent', status: 'RESOURCE_EXHAUSTED' };
const parsed = { ...error, details: [], isGoogles: true, isHtml: false };
const wrap = (inner: unknown) => ({
  error: { message: JSON.stringify(inner, null, 2), code: 400, status: 'Bad Request' },
});
const parse = (body: unknown) =>
  parseGoogleError(typeof body === 'string' ? body : JSON.stringify(body));
const detailsOf = (...details: unknown[]) => parse({ error: { ...error, details } }).details;

describe('the shapes of an error', () => {
  it.each([
    ['the ordinary one', { error }],
    ['within an array', [{ error }]],
    ['last in the array of a stream', [{ candidates: [] }, { error }]],
    ['wrapped as JSON in the message of another', wrap({ error })],
    ['wrapped in an array in the message of another', wrap([{ error }])],
    ['wrapped twice', wrap(wrap({ error }))],
    ['encoded as one string', JSON.stringify(JSON.stringify({ error }))],
    ['code and status beside the error', { ...error, error: { message: 'Spent' } }],
    ['the error a plain string, with its code beside it', { ...error, error: 'Spent' }],
    ['the bare inner object', error],
    ['the code as text', { error: { ...error, code: '429' } }],
    ['an event of a stream', `data: ${JSON.stringify({ error })}\r\n\r\n`],
    ['an event over several lines', `data: {"error":\ndata: ${JSON.stringify(error)}}\n\n`],
    [
      'an event after good ones',
      `data: {"candidates":[]}\r\n\r\ndata: ${JSON.stringify({ error })}`,
    ],
    ['bare JSON after good events', `data: {"candidates":[]}\n\n${JSON.stringify({ error })}\n`],
  ])('%s', (_title, body) => {
    expect(parse(body)).toEqual(parsed);
  });

  it('takes a name that stands where the code should for the status', () => {
    const body = { error: { code: 'RESOURCE_EXHAUSTED', message: 'Spent' } };
    expect(parse(body)).toEqual({ ...parsed, code: undefined });
  });

  it('takes a number that stands where the status should for the code', () => {
    const body = { error: { status: 429, message: 'Spent' } };
    expect(parse(body)).toEqual({ ...parsed, status: undefined });
  });

  it("keeps the wrapping's code where the inner error has none", () => {
    expect(parse(wrap({ error: 'Spent' }))).toMatchObject({
      code: 400,
      status: 'Bad Request',
      message: 'Spent',
    });
  });

  it('never mixes the two: an inner code silences the name around it', () => {
    expect(parse(wrap({ error: { code: 429, message: 'Spent' } }))).toEqual({
      ...parsed,
      status: undefined,
    });
  });

  it.each(['code', 'status'])('knows a bare error by its message and a %s', (field) => {
    expect(parse({ message: 'Spent', [field]: 429 })).toMatchObject({ isGoogles: true, code: 429 });
  });

  it('stops unwrapping somewhere', () => {
    const nested = Array.from({ length: 8 }).reduce((inner) => wrap(inner), { error });
    expect(parse(nested)).toMatchObject({ code: 400, status: 'Bad Request' });
  });

  it('takes a message that is JSON but no error for a message', () => {
    expect(parse({ error: { ...error, message: '{"a":1}' } }).message).toBe('{"a":1}');
  });
});

describe("what is no error of Google's", () => {
  it.each([
    ['a page, of which the title is kept', '<!DOCTYPE html><title>No</title><p>x', 'No', true],
    ['a page without a title', '\n<html><body>Bad <b>Gateway</b></body>', 'Bad  Gateway', true],
    ['XML', '<?xml version="1.0"?><Code>No</Code>', 'No', true],
    ['nothing', '', '', false],
    ['a text', ' upstream connect error ', 'upstream connect error', false],
    ['a text that looks like a number', '429', '429', false],
    ['an answer', '{"candidates":[]}', '{"candidates":[]}', false],
    ['a message alone', '{"message":"no route"}', '{"message":"no route"}', false],
    ['an empty array', '[]', '[]', false],
    ['an error that is null', '{"error":null}', '{"error":null}', false],
  ])('%s', (_title, body, message, isHtml) => {
    const error = parse(body);
    expect({ ...error, message: error.message.trim() }).toEqual({
      message,
      details: [],
      isGoogles: false,
      isHtml,
    });
  });
});

describe('details', () => {
  it('are known by their shape, with or without a type', () => {
    const details = detailsOf(
      {
        violations: [
          { quotaId: 'A', quotaValue: '20', quotaDimensions: { model: 'm', location: 'global' } },
          { quotaMetric: 'b' },
          { subject: 'c' },
        ],
      },
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '41s' },
      { reason: 'API_KEY_INVALID' },
      { fieldViolations: [{ field: 'contents' }] },
    );
    expect(details).toEqual([
      {
        type: 'QuotaFailure',
        violations: [
          { quotaId: 'A', quotaMetric: '', quotaValue: '20', model: 'm' },
          { quotaId: '', quotaMetric: 'b' },
        ],
      },
      { type: 'RetryInfo', retryDelayMs: 41_000 },
      { type: 'ErrorInfo', reason: 'API_KEY_INVALID', metadata: {} },
      { type: 'BadRequest' },
    ]);
  });

  it('that decide nothing are left out', () => {
    const help = { '@type': 'type.googleapis.com/google.rpc.Help', links: [{ url: 'x' }] };
    expect(detailsOf({ violations: [] }, { retryDelay: 'soon' }, help, null, 7, 'x')).toEqual([]);
  });

  it('may be no list at all', () => {
    expect(parse({ error: { ...error, details: 'none' } }).details).toEqual([]);
  });
});

it('reads whatever comes without a throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(typeof parseGoogleError(text).message).toBe('string');
      expect(typeof parseGoogleError(`{"error":${text}}`).message).toBe('string');
    }),
    { numRuns: 1000 },
  );
});
