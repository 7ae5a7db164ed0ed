import { describe, expect, it } from 'vitest';
// @ts-expect-error tsconfig.pages.json checks the scripts of pages
import { headline } from '../../src/http/pages/dashboard/headline.js';
// @ts-expect-error the same
import { moment } from '../../src/http/pages/dashboard/labels.js';
// @ts-expect-error the same
import { countdown } from '../../src/http/pages/shared/page.js';

const NOW = '2026-11-24T18:00:00.000Z';

const model = (changed: object = {}) => ({
  model: 'flash',
  embeds: false,
  total: 2,
  available: 2,
  cooling_down: 0,
  exhausted: 0,
  causes: {},
  ...changed,
});
const out = (causes: object) => model({ available: 0, cooling_down: 2, causes });

const request = (changed: object = {}) => ({
  service: 'google',
  at: NOW,
  end: 'answered',
  code: null,
  attempts: [{ outcome: 'success' }],
  ...changed,
});
const failed = (outcome: string, changed: object = {}) =>
  request({ end: 'refused', code: 'upstream_failed', attempts: [{ outcome }], ...changed });

/** Without requests, but for the changes. */
const minute = (ago: number, changed: object = {}) => ({
  at: new Date(Date.parse(NOW) - ago * 60_000).toISOString(),
  refused: 0,
  brokenOff: 0,
  turnedAway: 0,
  ...changed,
});

const say = (
  google: object[],
  latest: object[] = [],
  anam: object[] = [model({ total: 0 })],
  changed: object = {},
) =>
  headline({
    now: NOW,
    latest,
    minutes: [],
    redis: null,
    unprovenKeys: [],
    services: [
      { service: 'google', models: google },
      { service: 'anam', models: anam },
    ],
    ...changed,
  });

describe('the headline of the dashboard', () => {
  it.each<[string, object[], object[], string, string]>([
    ['every key is available', [model()], [], 'good', 'All keys are available.'],
    [
      'a key cools down',
      [model({ available: 1, cooling_down: 1 })],
      [request()],
      'good',
      'Some keys are cooling down; others are available.',
    ],
    [
      'all quotas are used up',
      [out({ quota_exhausted: 1, rate_limited: 1 })],
      [],
      'bad',
      'Every Google key has used up its quota.',
    ],
    [
      'all were parked by an operator',
      [out({ operator: 2 })],
      [],
      'bad',
      'Every Google key is parked by an operator.',
    ],
    [
      'no key may use the model',
      [out({ model_unavailable: 2 })],
      [],
      'bad',
      'No Google key may use the models in GOOGLE_MODELS: the names are wrong, or the models are gone.',
    ],
    [
      'one key is rejected and one used up',
      [
        model({
          available: 0,
          cooling_down: 1,
          exhausted: 1,
          causes: { key_rejected: 1, rate_limited: 1 },
        }),
      ],
      [],
      'bad',
      'No Google key is available. 1 Google key needs action.',
    ],
    [
      'another model is available',
      [out({ quota_exhausted: 2 }), model({ model: 'pro' })],
      [request()],
      'wait',
      'No Google key is available for flash; other models are available.',
    ],
    [
      'only the model for embeddings is available',
      [out({ quota_exhausted: 2 }), model({ model: 'embedder', embeds: true })],
      [],
      'bad',
      'Every Google key has used up its quota.',
    ],
    [
      'only the model for embeddings is not',
      [model(), out({ quota_exhausted: 2 }), model({ model: 'pro' })].map((one, index) => ({
        ...one,
        embeds: index === 1,
      })),
      [],
      'wait',
      'No Google key is available for embeddings by flash.',
    ],
    [
      'the provider fails',
      [model()],
      [failed('upstream_down'), failed('upstream_down')],
      'bad',
      'Requests to Google fail: the provider or the network has a fault, not the keys.',
    ],
    [
      'a setting is wrong',
      [model()],
      [failed('misconfigured')],
      'bad',
      'Requests to Google fail: a setting of this server is wrong, see its log.',
    ],
    [
      'one failed among many',
      [model()],
      [failed('upstream_down'), request(), request()],
      'good',
      'All keys are available.',
    ],
    [
      'the failures are five minutes old',
      [model()],
      [failed('upstream_down', { at: '2026-11-24T17:55:00.000Z' })],
      'good',
      'All keys are available.',
    ],
  ])('when %s', (_, google, latest, look, sentence) => {
    expect(say(google, latest)).toEqual({ look, sentence });
  });

  it.each<[string, object, string]>([
    [
      'our rate limit rejected one request',
      { minutes: [minute(0, { turnedAway: 1 })] },
      '1 request was rejected by the rate limit per address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY.',
    ],
    [
      'it rejected many, in several minutes',
      { minutes: [minute(15, { turnedAway: 30 }), minute(1, { turnedAway: 20 })] },
      '50 requests were rejected by the rate limit per address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY.',
    ],
    [
      'Redis is unreachable',
      { redis: 'unreachable' },
      'Redis is unreachable: this instance does not share what it learns about keys.',
    ],
    [
      'Redis refuses commands',
      { redis: 'refusing' },
      'Redis refuses commands: this instance does not share what it learns about keys.',
    ],
    [
      'one request was refused',
      { minutes: [minute(14, { refused: 1 })] },
      '1 request was refused or interrupted in the last 15 minutes.',
    ],
    [
      'some were refused and one was interrupted',
      { minutes: [minute(2, { refused: 2 }), minute(0, { brokenOff: 1 })] },
      '3 requests were refused or interrupted in the last 15 minutes.',
    ],
    [
      'a released key has not answered',
      { unprovenKeys: ['google-2'] },
      'google-2 was released and has not answered yet.',
    ],
    [
      'two released keys have not answered',
      { unprovenKeys: ['google-2', 'google-3'] },
      'google-2 and google-3 were released and have not answered yet.',
    ],
    [
      'many released keys have not answered',
      { unprovenKeys: ['google', 'google-2', 'google-3', 'anam', 'anam-2'] },
      'google, google-2, google-3, and 2 more were released and have not answered yet.',
    ],
    [
      'several of these hold',
      {
        unprovenKeys: ['google-2'],
        minutes: [minute(0, { refused: 1, turnedAway: 1 })],
        redis: 'unreachable',
      },
      'google-2 was released and has not answered yet. 1 request was refused or interrupted in the last 15 minutes. 1 request was rejected by the rate limit per address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY. Redis is unreachable: this instance does not share what it learns about keys.',
    ],
  ])('is amber although every key is available when %s', (_, changed, sentence) => {
    expect(say([model()], [], [], changed)).toEqual({ look: 'wait', sentence });
  });

  it.each([
    [10, '10 requests were'],
    [11, 'More than 10 requests were'],
    [99, 'More than 90 requests were'],
    [100, '100 requests were'],
    [12_345, 'More than 10000 requests were'],
  ])('rounds %i down, so that it changes rarely', (turnedAway, beginning) => {
    const { sentence } = say([model()], [], [], { minutes: [minute(0, { turnedAway })] });
    expect(sentence).toMatch(new RegExp(`^${beginning} rejected`));
  });

  it.each([
    [
      'refusals and rejections are older than 15 minutes',
      { minutes: [minute(16, { refused: 1, turnedAway: 1 })] },
    ],
    ['Redis is connected', { redis: 'connected' }],
    ['Redis is connecting', { redis: 'connecting' }],
  ])('is green when %s', (_, changed) => {
    expect(say([model()], [], [], changed)).toEqual({
      look: 'good',
      sentence: 'All keys are available.',
    });
  });

  it('does not count refusals when another sentence says that requests are refused', () => {
    const changed = { minutes: [minute(0, { refused: 7, turnedAway: 2 })] };
    const { look, sentence } = say([out({ quota_exhausted: 2 })], [], [], changed);
    expect(look).toBe('bad');
    expect(sentence).toMatch(/^Every Google key has used up its quota. 2 requests were rejected/);
  });

  it('names the service without a key', () => {
    expect(say([model({ total: 0, available: 0 })], [], [model()])).toEqual({
      look: 'bad',
      sentence: 'No Google key is configured: every chat is refused.',
    });
    expect(say([model({ total: 0, available: 0 })]).sentence).toBe(
      'No API key is configured: all requests are refused.',
    );
  });
});

describe('times on the dashboard', () => {
  it.each([
    [0, '00:00'],
    [252_000, '04:12'],
    [251_001, '04:12'],
    [3_840_000, '1:04:00'],
    [176_640_000, '2 d 1:04:00'],
  ])('%i ms left are shown as %s', (ms, text) => {
    expect(countdown(ms)).toBe(text);
  });

  it('are in UTC, with the date unless it is today', () => {
    expect(moment('2026-11-24T17:05:09.000Z', NOW)).toBe('17:05:09 UTC');
    expect(moment('2026-11-21T17:05:09.000Z', NOW)).toBe('2026-11-21 17:05:09 UTC');
  });
});
