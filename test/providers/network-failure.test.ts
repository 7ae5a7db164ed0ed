import axios, { AxiosError } from 'axios';
import fc from 'fast-check';
import { request } from 'undici';
import { describe, expect, it } from 'vitest';
import { classifyNetworkError } from '../../src/providers/network-failure.ts';
import { bare, context, KEY } from './gemini-answers.ts';

const DOWN = { kind: 'upstream_down', timedOut: false };
const TIMED_OUT = { kind: 'upstream_down', timedOut: true };
const OURS = { kind: 'misconfigured' };

/** A port where nothing listens. */
const HERE = 'http://127.0.0.1:1';

const classify = (error: unknown) => classifyNetworkError(error, context.redact);
const coded = (code: string, message = 'no') => Object.assign(new Error(message), { code });
const fetchFailed = (cause: unknown) => new TypeError('fetch failed', { cause });

describe('a network error', () => {
  it.each([
    'ECONNRESET',
    'ECONNREFUSED',
    'EPIPE',
    'EHOSTUNREACH',
    'ENOTFOUND',
    'EAI_AGAIN',
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'UND_ERR_SOCKET',
    'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
    'ERR_NETWORK',
    'ECONNABORTED',
    'ERR_BAD_RESPONSE',
  ])('%s is upstream trouble, alone and as the cause', (code) => {
    expect(bare(classify(coded(code)))).toEqual(DOWN);
    expect(bare(classify(fetchFailed(coded(code))))).toEqual(DOWN);
  });

  it.each([
    'ETIMEDOUT',
    'ESOCKETTIMEDOUT',
    'UND_ERR_CONNECT_TIMEOUT',
    'UND_ERR_HEADERS_TIMEOUT',
    'UND_ERR_BODY_TIMEOUT',
  ])('%s is a timeout, alone and as the cause', (code) => {
    expect(bare(classify(coded(code)))).toEqual(TIMED_OUT);
    expect(bare(classify(fetchFailed(coded(code))))).toEqual(TIMED_OUT);
  });

  it.each([
    ["axios's own timeout", new AxiosError('timeout of 20 ms exceeded', 'ECONNABORTED'), TIMED_OUT],
    ["axios's abort", new AxiosError('Request aborted', 'ECONNABORTED'), DOWN],
    ['the signal of a timeout', new DOMException('It took too long', 'TimeoutError'), TIMED_OUT],
    [
      'the message alone',
      new Error('Error fetching from x: connect ETIMEDOUT 192.0.2.1'),
      TIMED_OUT,
    ],
    ['a timeout in words', new Error('Connect Timeout Error'), TIMED_OUT],
    ['a message without a reason', new Error('Error fetching from x: fetch failed'), DOWN],
    ['one attempt for each address', new AggregateError([coded('ECONNREFUSED')]), DOWN],
    ['a timeout among them', new AggregateError([coded('EPIPE'), coded('ETIMEDOUT')]), TIMED_OUT],
    ['a text', 'it broke', DOWN],
    ['nothing', undefined, DOWN],
  ])('%s', (_title, error, expected) => {
    expect(bare(classify(error))).toEqual(expected);
  });
});

describe('an address or a header that cannot be used', () => {
  it.each([
    'ERR_INVALID_URL',
    'ERR_INVALID_PROTOCOL',
    'ERR_INVALID_CHAR',
    'ERR_INVALID_HTTP_TOKEN',
    'ERR_UNESCAPED_CHARACTERS',
  ])('%s is ours to mend', (code) => {
    expect(bare(classify(fetchFailed(coded(code))))).toEqual(OURS);
  });

  it.each([
    ['fetch, no URL', () => fetch('nowhere')],
    ['fetch, an unknown scheme', () => fetch('gopher://127.0.0.1/')],
    ['fetch, a forbidden port', () => fetch('http://127.0.0.1:6000/')],
    [
      'fetch, a line break in a header',
      async () =>
        new Headers({
          'x-key': `a\n${KEY}`,
        }),
    ],
    ['fetch, a letter no header takes', async () => new Headers({ 'x-key': `€${KEY}` })],
    [
      'undici, a line break in a header',
      () =>
        request(HERE, {
          headers: {
            'x-key': `a\n${KEY}`,
          },
        }),
    ],
    ['undici, an unknown scheme', async () => request('gopher://127.0.0.1/')],
    ['axios, no URL', () => axios.get('nowhere', { adapter: 'http' })],
    ['axios, an unknown scheme', () => axios.get('gopher://127.0.0.1/', { adapter: 'http' })],
  ])('as %s really throws it', async (_title, call) => {
    const error = await call().catch((reason: unknown) => reason);
    const failure = classify(error);
    expect(bare(failure)).toEqual(OURS);
    expect(failure.message).not.toContain(KEY);
  });
});

describe('the message', () => {
  it('tells the whole chain, each thing once', () => {
    const refused = coded('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1');
    const error = fetchFailed(fetchFailed(refused));
    expect(classify(error).message).toBe('fetch failed: connect ECONNREFUSED 127.0.0.1:1');
  });

  it('adds a code that no message has', () => {
    expect(classify(coded('EPIPE', 'write failed')).message).toBe('write failed: EPIPE');
  });

  it('hides a key, and is never empty', () => {
    expect(classify(new Error(`header ${KEY}`)).message).toBe('header [redacted]');
    expect(classify(null).message).toBe('network error without a message');
  });

  it('has no HTTP status beside it', () => {
    expect(classify(coded('EPIPE'))).not.toHaveProperty('status');
  });
});

describe('whatever is thrown', () => {
  it('comes to an end where causes go in a circle', () => {
    const error = new Error('around');
    error.cause = new Error('and around', { cause: error });
    expect(classify(error)).toEqual({ ...DOWN, message: 'around: and around' });
  });

  it('is sorted without a throw and without a secret', () => {
    const part = fc.oneof(
      fc.string().map((text) => `${text.repeat(20)}${KEY}`),
      fc.anything({ withNullPrototype: true }),
    );
    const thing = fc.record({ name: part, code: part, message: part, cause: part, errors: part });
    fc.assert(
      fc.property(fc.oneof(thing, part), (error) => {
        const { kind, message } = classify(error);
        expect(['upstream_down', 'misconfigured']).toContain(kind);
        expect(message).not.toContain(KEY);
        expect(message).not.toBe('');
        expect(message.length).toBeLessThanOrEqual(300);
      }),
      { numRuns: 1000 },
    );
  });
});
