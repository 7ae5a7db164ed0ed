import { describe, expect, it } from 'vitest';
// @ts-expect-error a page's own script, whose types are checked where it lies
import { verdict } from '../../src/http/pages/dashboard/verdict.js';
// @ts-expect-error the same
import { moment } from '../../src/http/pages/dashboard/words.js';
// @ts-expect-error the same
import { countdown } from '../../src/http/pages/shared/countdown.js';

const NOW = '2026-11-24T18:00:00.000Z';

const model = (changed: object = {}) => ({
  model: 'flash',
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

/** A minute in which nothing happened, so many minutes ago, but for what is said otherwise. */
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
  verdict({
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

describe('the first line of the dashboard', () => {
  it.each<[string, object[], object[], string, string]>([
    ['every key is good', [model()], [], 'good', 'All is well: every key can be used.'],
    [
      'a key cools down',
      [model({ available: 1, cooling_down: 1 })],
      [request()],
      'good',
      'Some keys cool down; others are left.',
    ],
    [
      'the quota of all is spent',
      [out({ quota_exhausted: 1, rate_limited: 1 })],
      [],
      'bad',
      'The quota of every Google key is spent.',
    ],
    [
      'all were parked by hand',
      [out({ operator: 2 })],
      [],
      'bad',
      'Every Google key was taken out of use by hand.',
    ],
    [
      'the model is none',
      [out({ model_unavailable: 2 })],
      [],
      'bad',
      'No Google key may use what GOOGLE_MODELS names: a wrong name, or a model that is gone.',
    ],
    [
      'one is rejected and one spent',
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
      'No Google key can be used. 1 Google key needs somebody to act.',
    ],
    [
      'another model steps in',
      [out({ quota_exhausted: 2 }), model({ model: 'pro' })],
      [request()],
      'wait',
      'No Google key is left for flash; other models are.',
    ],
    [
      'the provider fails',
      [model()],
      [failed('upstream_down'), failed('upstream_down')],
      'bad',
      'Requests to Google fail: the provider or the network is in trouble, not the keys.',
    ],
    [
      'a setting is at fault',
      [model()],
      [failed('misconfigured')],
      'bad',
      'Requests to Google fail: a setting of this server is at fault; its log says which.',
    ],
    [
      'one failed among many',
      [model()],
      [failed('upstream_down'), request(), request()],
      'good',
      'All is well: every key can be used.',
    ],
    [
      'the failures are long past',
      [model()],
      [failed('upstream_down', { at: '2026-11-24T17:55:00.000Z' })],
      'good',
      'All is well: every key can be used.',
    ],
  ])('when %s', (_, google, latest, look, sentence) => {
    expect(say(google, latest)).toEqual({ look, sentence });
  });

  it.each<[string, object, string]>([
    [
      'one request was turned away by our own limit',
      { minutes: [minute(0, { turnedAway: 1 })] },
      '1 request was turned away by the limit for one address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY.',
    ],
    [
      'many were turned away, in several minutes',
      { minutes: [minute(15, { turnedAway: 30 }), minute(1, { turnedAway: 20 })] },
      '50 requests were turned away by the limit for one address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY.',
    ],
    [
      'Redis cannot be reached',
      { redis: 'unreachable' },
      'Redis cannot be reached: what this instance learns of keys is not shared.',
    ],
    [
      'Redis refuses commands',
      { redis: 'refusing' },
      'Redis refuses commands: what this instance learns of keys is not shared.',
    ],
    [
      'one request was refused',
      { minutes: [minute(14, { refused: 1 })] },
      '1 request was refused or broken off in the last 15 minutes.',
    ],
    [
      'some were refused and one broke off',
      { minutes: [minute(2, { refused: 2 }), minute(0, { brokenOff: 1 })] },
      '3 requests were refused or broken off in the last 15 minutes.',
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
      'several of these are so',
      {
        unprovenKeys: ['google-2'],
        minutes: [minute(0, { refused: 1, turnedAway: 1 })],
        redis: 'unreachable',
      },
      'google-2 was released and has not answered yet. 1 request was refused or broken off in the last 15 minutes. 1 request was turned away by the limit for one address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY. Redis cannot be reached: what this instance learns of keys is not shared.',
    ],
  ])('is amber although every key is good when %s', (_, changed, sentence) => {
    expect(say([model()], [], [], changed)).toEqual({ look: 'wait', sentence });
  });

  it.each([
    [10, '10 requests were'],
    [11, 'More than 10 requests were'],
    [99, 'More than 90 requests were'],
    [100, '100 requests were'],
    [12_345, 'More than 10000 requests were'],
  ])('counts %i in steps, so that it is not read out at each one', (turnedAway, beginning) => {
    const { sentence } = say([model()], [], [], { minutes: [minute(0, { turnedAway })] });
    expect(sentence).toMatch(new RegExp(`^${beginning} turned away`));
  });

  it.each([
    [
      'what was refused and turned away is long past',
      { minutes: [minute(16, { refused: 1, turnedAway: 1 })] },
    ],
    ['Redis is connected', { redis: 'connected' }],
    ['Redis is still being connected to', { redis: 'connecting' }],
  ])('is green when %s', (_, changed) => {
    expect(say([model()], [], [], changed)).toEqual({
      look: 'good',
      sentence: 'All is well: every key can be used.',
    });
  });

  it('does not count refusals beside what says more gravely that requests are refused', () => {
    const changed = { minutes: [minute(0, { refused: 7, turnedAway: 2 })] };
    const { look, sentence } = say([out({ quota_exhausted: 2 })], [], [], changed);
    expect(look).toBe('bad');
    expect(sentence).toMatch(
      /^The quota of every Google key is spent. 2 requests were turned away/,
    );
  });

  it('says which service has no key', () => {
    expect(say([model({ total: 0, available: 0 })], [], [model()])).toEqual({
      look: 'bad',
      sentence: 'Google has no key: every chat is refused.',
    });
    expect(say([model({ total: 0, available: 0 })]).sentence).toBe(
      'No key is set: nothing can be answered.',
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
  ])('%i ms are counted down as %s', (ms, text) => {
    expect(countdown(ms)).toBe(text);
  });

  it('are in UTC, with the day where it is not today', () => {
    expect(moment('2026-11-24T17:05:09.000Z', NOW)).toBe('17:05:09 UTC');
    expect(moment('2026-11-21T17:05:09.000Z', NOW)).toBe('2026-11-21 17:05:09 UTC');
  });
});
