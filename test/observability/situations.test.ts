import { describe, expect, it } from 'vitest';
import type { Situation } from '../../src/observability/reports.ts';
import type { ServiceFacts } from '../../src/observability/situation.ts';
import { type SituationFacts, verdictOn } from '../../src/observability/situations.ts';
import { createTroubles } from '../../src/observability/troubles.ts';
import type { KeyState } from '../../src/pool/inspection.ts';
import type { Failure, Rejection } from '../../src/shared/failure.ts';
import { embeddingTarget, modelTarget, personaTarget } from '../../src/shared/target.ts';
import { failed } from '../support/pool.ts';
import { attemptOf, requestOf } from '../support/records.ts';

const NOW = Date.UTC(2026, 10, 24, 18);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const key = (id: string, changed: Partial<KeyState> = {}): KeyState => ({
  id,
  state: 'available',
  ...changed,
});
const cooling = (id: string, changed: Partial<KeyState>): KeyState =>
  key(id, {
    ...{ state: 'cooling_down', since: NOW - MINUTE, until: NOW + HOUR, untilBy: 'rule' },
    ...changed,
  });
const day = (id: string) => cooling(id, { cause: 'quota_exhausted' });
const minute = (id: string, seconds = 40) =>
  cooling(id, {
    ...{ cause: 'rate_limited', untilBy: 'provider' },
    until: NOW + 1000 * seconds,
  });
const rejected = (id: string, rejection?: Rejection) =>
  cooling(id, { state: 'exhausted', cause: 'key_rejected', rejection, since: NOW - 5 * MINUTE });
const noModel = (id: string) => cooling(id, { cause: 'model_unavailable' });
const parkedByOperator = (id: string) =>
  cooling(id, { cause: 'operator', untilBy: 'operator', until: NOW + 2 * HOUR });

const model = (states: readonly KeyState[], label = 'flash') => ({
  target: modelTarget('google', label),
  states,
});
const embedder = (states: readonly KeyState[]) => ({
  target: embeddingTarget('google', 'embedder'),
  states,
});

const service = (changed: Partial<ServiceFacts> = {}): ServiceFacts => ({
  provider: {
    ...{ name: 'google', prefix: 'GOOGLE' },
    ...{ keysPage: 'https://keys.example', statusPage: 'https://status.example' },
  },
  hasOtherAddress: false,
  checkWorkedAt: 0,
  models: [model([key('google'), key('google-2')])],
  troubles: createTroubles(() => 0).of('google'),
  retiredCause: null,
  ...changed,
});
const keys = (...models: ServiceFacts['models']) => ({ services: [service({ models })] });

function verdict(changed: Partial<SituationFacts> = {}) {
  const troubles = createTroubles(() => 0);
  return verdictOn({
    now: NOW,
    services: [service()],
    unprovenKeys: [],
    redis: null,
    store: { kind: 'memory', fault: null },
    limiter: troubles.limiter(NOW),
    clients: [],
    bugs: troubles.bugs,
    otherModels: [],
    ...changed,
  });
}

/** Requests to Google that ended so long ago, oldest first: answered, or failed with this. */
function requests(...ended: readonly (readonly [ago: number, failure: Failure | null])[]) {
  let answers = 0;
  const troubles = createTroubles(() => answers);
  for (const [ago, outcome] of ended) {
    const startedAt = NOW - ago;
    if (outcome === null) answers += 1;
    else {
      const isOut = outcome.kind === 'quota_exhausted';
      const code = isOut ? 'all_keys_exhausted' : 'upstream_failed';
      const end = { kind: 'refused', code, retryAfterMs: null } as const;
      troubles.requestHadTrouble?.(
        requestOf({ startedAt, end, attempts: [attemptOf({ outcome })] }),
      );
    }
  }
  return troubles;
}
const calls = (
  changed: Partial<ServiceFacts>,
  ...ended: readonly (readonly [ago: number, failure: Failure | null])[]
) => ({ services: [service({ ...changed, troubles: requests(...ended).of('google') })] });

const down = (message: string): Failure => ({ kind: 'upstream_down', timedOut: false, message });
const wrong = (message: string, status?: number): Failure => ({
  ...{ kind: 'misconfigured', message },
  ...(status === undefined ? {} : { status }),
});
const twice = (failure: Failure, ago = 0) => [
  [ago + 2000, failure] as const,
  [ago + 1000, failure] as const,
];
const REFUSED = down('connect ECONNREFUSED 10.0.0.1:80');

type Expected = Partial<Record<keyof Situation, unknown>>;

describe('the verdict', () => {
  it.each<[string, Partial<SituationFacts>, string, Expected]>([
    [
      'every key is available',
      {},
      'good',
      { kind: 'all_well', fault: null, sentence: 'All keys are available.' },
    ],
    [
      'a key cools down',
      keys(model([key('google'), day('google-2')])),
      'good',
      { sentence: 'Some keys are cooling down; others are available.' },
    ],
    [
      "the day's quota is spent",
      keys(model([day('google'), day('google-2')])),
      'bad',
      {
        ...{ kind: 'keys_out', fault: 'quota', cause: 'quota_exhausted', keysInAll: 2 },
        sentence: 'Every Google key has used up its quota of the day.',
        until: '2026-11-25T08:00:00.000Z',
        untilText: '08:00 UTC, midnight Pacific',
        since: '2026-11-24T17:59:00.000Z',
        keys: ['google', 'google-2'],
      },
    ],
    [
      "the minute's quota is spent",
      keys(model([minute('google', 50), minute('google-2', 40)])),
      'bad',
      {
        ...{ fault: 'quota', until: '2026-11-24T18:00:40.000Z', untilText: '18:00:40 UTC' },
        sentence: 'Every Google key has used up its quota of the minute.',
      },
    ],
    [
      'the quotas are of both kinds',
      keys(model([day('google'), day('google-2'), minute('google-3')])),
      'bad',
      {
        ...{ fault: 'quota', untilText: '18:00:40 UTC', cause: 'mixed' },
        sentence:
          'Every Google key has used up its quota: 2 without quota for the day, 1 without quota for the minute.',
      },
    ],
    [
      'Google refuses without a reason',
      keys(model([cooling('google', { cause: 'quota_unexplained' })])),
      'bad',
      { until: null, untilText: 'the provider answers again; tried at 19:00 UTC' },
    ],
    [
      'all were parked by an operator',
      keys(model([parkedByOperator('google')])),
      'bad',
      {
        ...{ fault: 'us', untilText: '20:00 UTC, as the operator set' },
        sentence: 'Every Google key is parked by an operator.',
      },
    ],
    [
      'no key may use the model',
      keys(model([noModel('google')])),
      'bad',
      {
        ...{ kind: 'wrong_models', fault: 'us' },
        sentence:
          'No Google key may use the models in GOOGLE_MODELS: the names are wrong, the models are gone, or no project has a quota for them.',
        remedy: 'Correct GOOGLE_MODELS and restart.',
      },
    ],
    [
      'one key is rejected and one used up',
      keys(model([rejected('google'), day('google-2')])),
      'bad',
      {
        sentence: 'No Google key is available: 1 rejected, 1 without quota for the day.',
        untilText: '08:00 UTC, midnight Pacific',
      },
    ],
    [
      'every key is rejected',
      keys(model([rejected('google')])),
      'bad',
      { ...{ fault: 'key', cause: 'key_rejected', until: null, untilText: 'it is fixed' } },
    ],
    [
      'one key is rejected',
      keys(model([rejected('google'), key('google-2')])),
      'wait',
      {
        ...{ kind: 'key_needs_action', fault: 'key', keys: ['google'] },
        sentence:
          'google needs action: the provider rejects it as unknown, leaked, blocked or not allowed here. Other keys answer.',
        remedy: 'Fix that at Google, then release the key.',
        link: 'https://keys.example',
        since: '2026-11-24T17:55:00.000Z',
      },
    ],
    [
      'one key is leaked',
      keys(model([rejected('google', 'leaked'), key('google-2')])),
      'wait',
      {
        sentence:
          'google needs action: Google says that it was reported as leaked. Other keys answer.',
        title: 'google needs action: Google says that it was reported as leaked.',
        remedy: 'Make a new key at Google and replace this one.',
        untilText: 'it is replaced',
      },
    ],
    [
      'a key of a kind that the provider rejects as a whole is rejected',
      {
        services: [
          service({ models: [model([rejected('google'), key('google-2')])], retiredCause: 'Old' }),
        ],
      },
      'wait',
      { remedy: 'Make a new key at Google and replace this one.', untilText: 'it is replaced' },
    ],
    [
      'two keys are expired or unknown, and no key is left for a model',
      keys(
        model([rejected('google', 'expired'), rejected('google-2', 'unknown'), key('google-3')]),
        embedder([rejected('google', 'expired'), day('google-3')]),
      ),
      'wait',
      { kind: 'models_out', model: 'embedder' },
    ],
    [
      'every key has expired',
      keys(model([rejected('google', 'expired'), rejected('google-2', 'expired')])),
      'bad',
      { kind: 'keys_out', remedy: 'Make new keys at Google and replace these.' },
    ],
    [
      'every key is suspended',
      keys(model([rejected('google', 'suspended'), rejected('google-2', 'suspended')])),
      'bad',
      { kind: 'keys_out', remedy: 'Fix that at Google, then release each key.' },
    ],
    [
      'another model is available',
      keys(model([key('google')]), model([day('google')], 'pro')),
      'wait',
      {
        ...{ kind: 'models_out', model: 'pro', untilText: '08:00 UTC, midnight Pacific' },
        sentence:
          'No Google key is available for pro: every key has used up its quota of the day; other models answer.',
      },
    ],
    [
      'only the model for embeddings is available',
      keys(model([day('google')]), embedder([key('google')])),
      'bad',
      { kind: 'keys_out' },
    ],
    [
      'only the model for embeddings is not',
      keys(model([key('google')]), embedder([day('google')])),
      'wait',
      { kind: 'models_out', model: 'embedder' },
    ],
    [
      'no key is configured',
      keys(model([])),
      'bad',
      { kind: 'no_keys', sentence: 'No API key is configured: all requests are refused.' },
    ],
    [
      'no persona is there for any key',
      {
        services: [
          service({
            provider: { name: 'anam', prefix: 'ANAM', hasPersonas: true },
            models: [{ target: personaTarget('anam', 'ours'), states: [noModel('anam')] }],
          }),
        ],
      },
      'bad',
      { kind: 'wrong_persona', sentence: 'No Anam key has the persona in the settings.' },
    ],
    [
      'the provider fails',
      calls({}, ...twice(failed.down)),
      'bad',
      {
        ...{ kind: 'provider_down', fault: 'provider', requestsAffected: 2 },
        sentence:
          'Requests to Google fail. The fault is at Google or in the network, not in the keys.',
        link: 'https://status.example',
      },
    ],
    [
      'the provider is too slow',
      calls({}, ...twice({ kind: 'upstream_down', timedOut: true, message: 'late' })),
      'bad',
      { kind: 'provider_slow' },
    ],
    [
      'there is no way to the provider',
      calls({}, ...twice(down('getaddrinfo ENOTFOUND api.example'))),
      'bad',
      { kind: 'network', fault: 'network' },
    ],
    [
      'nothing answers at our own base URL',
      calls({ hasOtherAddress: true }, ...twice(REFUSED)),
      'bad',
      {
        ...{ kind: 'wrong_base_url', fault: 'us' },
        sentence: 'Nothing answers at GOOGLE_BASE_URL (ECONNREFUSED).',
      },
    ],
    [
      'the first request fails: nothing answers at our own base URL',
      calls({ hasOtherAddress: true }, [1000, REFUSED]),
      'bad',
      { kind: 'wrong_base_url', fault: 'us', requestsAffected: 1 },
    ],
    [
      'one connection to our own base URL fails after an answer',
      calls({ hasOtherAddress: true }, [2000, null], [1000, REFUSED]),
      'wait',
      { kind: 'refusals', fault: 'us' },
    ],
    [
      'a connection fails five minutes after others that nothing disproved',
      calls({}, ...twice(failed.down, 40 * MINUTE), [1000, failed.down]),
      'bad',
      { kind: 'provider_down', since: '2026-11-24T17:19:58.000Z', requestsAffected: 3 },
    ],
    [
      'something else answers at our own base URL',
      calls({ hasOtherAddress: true }, [1000, wrong('Welcome to nginx', 404)]),
      'bad',
      {
        kind: 'wrong_base_url',
        sentence: 'Something other than Google answers at GOOGLE_BASE_URL.',
      },
    ],
    [
      'the region is not supported',
      calls({}, [1000, wrong('User location is not supported for the API use.', 400)]),
      'bad',
      { kind: 'region', fault: 'us' },
    ],
    [
      'another setting is wrong',
      calls({}, [1000, wrong('odd', 404)]),
      'bad',
      {
        kind: 'misconfigured',
        sentence: 'Requests to Google fail: a setting of this server is wrong, see its log.',
      },
    ],
    [
      'one failed among many',
      calls({}, [3000, null], [2000, failed.down], [1000, null]),
      'wait',
      { kind: 'refusals', cause: 'upstream_failed' },
    ],
    [
      'one failed and nothing was asked since',
      calls({}, [3 * MINUTE, null], [2 * MINUTE, failed.down]),
      'wait',
      {
        ...{ kind: 'refusals', fault: 'provider', untilText: 'a request is answered' },
        sentence:
          '1 request to Google was refused or interrupted until 2 minutes ago; none was answered since.',
      },
    ],
    [
      'three in a row were answered after an outage',
      calls({}, ...twice(failed.down), [900, null], [800, null], [700, null]),
      'wait',
      { kind: 'refusals' },
    ],
    [
      'refusals go on although keys are available',
      calls({}, ...Array.from({ length: 98 }, () => [59_000, failed.day] as const)),
      'wait',
      {
        ...{ kind: 'refusals', fault: 'quota', requestsAffected: 98 },
        sentence: 'Requests to Google were refused or interrupted within the last 15 minutes.',
      },
    ],
    [
      'a released key has not answered',
      { unprovenKeys: ['google-2'] },
      'wait',
      {
        ...{ kind: 'unproven_keys', link: '#key=google-2' },
        sentence: 'google-2 was released and has not answered yet.',
      },
    ],
    [
      'many released keys have not answered',
      { unprovenKeys: ['google', 'google-2', 'google-3', 'anam', 'anam-2'] },
      'wait',
      { sentence: /^google, google-2, google-3, and 2 more were released and have not answered/ },
    ],
    [
      'Redis is unreachable',
      { redis: 'unreachable' },
      'wait',
      {
        ...{ kind: 'sharing_down', fault: 'us' },
        sentence:
          'Requests are still answered. Redis is unreachable. This instance does not share what it learns about keys.',
        remedy: 'Start Redis, or check REDIS_URL and the network to it.',
      },
    ],
    [
      'Redis is unreachable and was the store too',
      { redis: 'unreachable', store: { kind: 'redis', fault: 'It does not answer.' } },
      'wait',
      {
        kind: 'sharing_down',
        sentence: /What is kept in Redis cannot be changed now\. Usage waits/,
      },
    ],
    [
      'the file of the store cannot be written',
      { store: { kind: 'file', fault: 'The disk is full.' } },
      'wait',
      {
        kind: 'store_down',
        fault: 'us',
        sentence: /^The store in DATA_DIR cannot be written. The disk is full\. Changes/,
      },
    ],
    [
      'another model answers',
      {
        otherModels: [{ service: 'google', model: 'flash', answers: 'old-flash', at: NOW - HOUR }],
      },
      'wait',
      {
        ...{ kind: 'other_model', until: '2026-11-25T17:00:00.000Z' },
        sentence: 'flash was asked for, and old-flash answers: its quota and price count.',
      },
    ],
  ])('when %s', (_, facts, look, expected) => {
    const { look: found, situations } = verdict(facts);
    const [first] = situations;
    expect([found, first]).toEqual([look, expect.objectContaining(matching(expected))]);
    const ids = situations.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is good a minute after the last of many refusals when one was answered since, and still tells of them', () => {
    const refused = Array.from({ length: 98 }, () => [2 * MINUTE, failed.day] as const);
    const unproven = verdict(calls({}, ...refused));
    expect(unproven.look).toBe('good');
    expect(unproven.situations[1]).toMatchObject({
      ...{ look: 'info', until: null, untilText: 'a request is answered' },
      sentence:
        'Requests to Google were refused or interrupted until 2 minutes ago; none was answered since.',
      title: 'Requests to Google were refused or interrupted.',
    });
    const { look, situations } = verdict(calls({}, ...refused, [MINUTE, null]));
    expect([look, situations.map(({ kind }) => kind)]).toEqual(['good', ['all_well', 'refusals']]);
    expect(situations[1]).toMatchObject({
      look: 'info',
      sentence:
        '98 requests to Google were refused or interrupted until 2 minutes ago; it is over.',
      until: '2026-11-24T17:58:00.000Z',
    });
  });

  it('is over by answers, not by silence, and is forgotten after a day', () => {
    const silent = (ago: number, ...later: readonly (readonly [number, Failure | null])[]) =>
      verdict(calls({ hasOtherAddress: true }, ...twice(REFUSED, ago - 1000), ...later));
    const before = silent(5 * MINUTE - 1);
    expect(before).toMatchObject({ look: 'bad', situations: [{ kind: 'wrong_base_url' }] });
    const after = silent(5 * MINUTE);
    expect(after).toMatchObject({ look: 'wait', situations: [{ kind: 'wrong_base_url' }] });
    expect(after.situations).toHaveLength(1);
    expect(after.situations[0]).toMatchObject({
      ...{ id: before.situations[0]?.id, fault: 'us', requestsAffected: 2 },
      sentence:
        'Nothing answers at GOOGLE_BASE_URL (ECONNREFUSED). No request was answered since 17:55 UTC.',
      title: 'Nothing answers at GOOGLE_BASE_URL (ECONNREFUSED).',
      remedy:
        'Correct GOOGLE_BASE_URL and restart, or start what should answer there. Then press "Check all": it asks that address with each key, without using quota.',
    });
    const [atLast] = silent(24 * HOUR - 1).situations;
    expect(atLast).toMatchObject({ kind: 'wrong_base_url', requestsAffected: 2 });
    expect(silent(24 * HOUR)).toMatchObject({ look: 'good', situations: [{ kind: 'all_well' }] });
    expect(silent(5 * MINUTE - 1, [1000, null])).toMatchObject({ look: 'bad' });
    expect(silent(5 * MINUTE, [1000, null])).toMatchObject({
      look: 'good',
      situations: [
        { kind: 'all_well' },
        { kind: 'refusals', fault: 'us', sentence: /it is over/ },
      ].map((one) => expect.objectContaining(matching(one))),
    });
  });

  it.each([
    ['no connection came about', true, REFUSED, 'good'],
    ['the provider failed', false, failed.down, 'wait'],
    ['a setting was wrong', false, wrong('odd', 404), 'wait'],
  ])('a check of a key that works says whether it is over when %s', (_, other, failure, look) => {
    const facts = { hasOtherAddress: other };
    const checked = (checkWorkedAt: number) =>
      verdict(calls({ ...facts, checkWorkedAt }, ...twice(failure, 10 * MINUTE)));
    expect(checked(NOW - 10 * MINUTE - 1000).look).toBe('wait');
    expect(checked(NOW - 10 * MINUTE).look).toBe(look);
  });

  it('a check of a key that works does not say that keys have quota again', () => {
    const refused = [2 * MINUTE, failed.day] as const;
    const { situations } = verdict(calls({ checkWorkedAt: NOW }, [9 * MINUTE, REFUSED], refused));
    expect(situations[1]?.sentence).toMatch(/none was answered since\.$/);
  });

  it('says what proves it where a check of keys proves nothing', () => {
    expect(verdict(calls({}, ...twice(failed.down, 10 * MINUTE))).situations[0]).toMatchObject({
      sentence:
        'Requests to Google fail. The fault is at Google or in the network, not in the keys. No request was answered since 17:49 UTC.',
      remedy:
        'Look at the status page of Google, and wait. Further keys do not help. Then send a request: answers prove that it is over.',
    });
  });

  it('does not say that other keys answer while every call fails', () => {
    const models = [model([rejected('google', 'leaked'), key('google-2')])];
    const { situations } = verdict(calls({ models }, ...twice(failed.down)));
    expect(situations[1]).toMatchObject({
      kind: 'key_needs_action',
      sentence: 'google needs action: Google says that it was reported as leaked.',
    });
  });

  it('says what to do with several rejected keys', () => {
    const remedyFor = (...states: readonly KeyState[]) =>
      verdict(keys(model([...states, key('google-9')]))).situations[0]?.remedy;
    expect(remedyFor(rejected('google', 'leaked'), rejected('google-2', 'unknown'))).toBe(
      'Make new keys at Google and replace these.',
    );
    expect(remedyFor(rejected('google', 'blocked'), rejected('google-2', 'blocked'))).toBe(
      'Fix that at Google, then release each key.',
    );
    expect(remedyFor(rejected('google', 'leaked'), rejected('google-2', 'suspended'))).toBe(
      'Replace the keys that are leaked, expired or unknown by new ones. Fix the others at Google, then release them.',
    );
  });

  it('does not say that requests are answered while a service has no key left', () => {
    const { situations } = verdict({ ...keys(model([day('google')])), redis: 'refusing' });
    expect(situations[1]?.sentence).toMatch(/^Redis refuses commands\. This instance/);
  });

  it('forgets refusals after 15 minutes', () => {
    const { situations } = verdict(calls({}, [16 * MINUTE, failed.day]));
    expect(situations.map(({ kind }) => kind)).toEqual(['all_well']);
  });

  it('counts refusals with what explains them, not a second time', () => {
    const troubles = requests([2000, failed.day], [1000, failed.day]).of('google');
    const { situations } = verdict({
      services: [service({ models: [model([day('google')])], troubles })],
    });
    expect(situations.map(({ kind }) => kind)).toEqual(['keys_out']);
    expect(situations[0]?.requestsAffected).toBe(2);
  });

  it('lists the gravest first', () => {
    const { look, situations } = verdict({
      ...keys(model([rejected('google'), day('google-2')])),
      redis: 'refusing',
      unprovenKeys: ['google-3'],
    });
    expect(look).toBe('bad');
    expect(situations.map(({ kind }) => kind)).toEqual([
      'keys_out',
      'key_needs_action',
      'unproven_keys',
      'sharing_down',
    ]);
  });

  it('names ten of many keys, and counts all', () => {
    const all = Array.from({ length: 42 }, (_, index) => rejected(`google-${index}`));
    const { situations } = verdict(keys(model([...all, key('google')])));
    expect(situations[0]).toMatchObject({ keysInAll: 42 });
    expect(situations[0]?.keys).toHaveLength(10);
  });
});

const matching = (expected: Expected) =>
  Object.fromEntries(
    Object.entries(expected).map(([name, value]) => [
      name,
      value instanceof RegExp ? expect.stringMatching(value) : value,
    ]),
  );

describe('requests that our own limit for one address has refused', () => {
  function limited(
    callers: readonly (readonly [address: string, forwardedFor: string | null])[],
    at = NOW - 1000,
  ) {
    const troubles = createTroubles(() => 0);
    for (const [address, forwardedFor] of callers) {
      troubles.turnedAway({ address, forwardedFor }, at);
    }
    return verdict({ limiter: troubles.limiter(NOW) });
  }
  const many = (address: string, ...forwarded: readonly (string | null)[]) =>
    Array.from(
      { length: 50 },
      (_, index) => [address, forwarded[index % forwarded.length] ?? null] as const,
    );

  it('are a busy caller of one address', () => {
    const { look, situations } = limited(many('203.0.113.7', null));
    expect(look).toBe('wait');
    expect(situations[0]).toMatchObject({
      ...{ kind: 'address_limit', fault: 'caller', requestsAffected: 50 },
      sentence:
        'Requests were turned away by our own rate limit per address within the last 15 minutes. They came from one address.',
      title:
        'Requests were turned away by our own rate limit per address. They came from one address.',
      remedy:
        'An address may ask again after a minute. If it is one busy caller, do nothing. If all callers share one address, check TRUST_PROXY. RATE_LIMIT_CHAT and RATE_LIMIT_SESSIONS set the limit.',
      untilText: 'fewer requests come',
    });
  });

  it.each([
    ['asks for several others', many('203.0.113.7', '198.51.100.1', '198.51.100.2')],
    ['is private and asks for another', many('10.1.2.3', '198.51.100.1')],
  ])('seem to be many callers behind a proxy when the address %s', (_, callers) => {
    const { situations } = limited(callers);
    expect(situations[0]).toMatchObject({ fault: 'us' });
    expect(situations[0]?.sentence).toMatch(
      /Many callers may share that address behind a proxy: check TRUST_PROXY/,
    );
    expect(situations[0]?.remedy).toMatch(
      /^If proxies stand in front of this server, set TRUST_PROXY/,
    );
  });

  it.each([
    ['is private, without a proxy', many('10.1.2.3', null)],
    ['asks for itself', many('203.0.113.7', '203.0.113.7')],
  ])('are a busy caller when the address %s', (_, callers) => {
    expect(limited(callers).situations[0]).toMatchObject({ fault: 'caller' });
  });

  it('are over after a minute', () => {
    const { look, situations } = limited(many('203.0.113.7', null), NOW - 4 * MINUTE);
    expect(look).toBe('good');
    expect(situations[1]?.sentence).toMatch(/^50 requests were .* until 4 minutes ago; it is over/);
  });
});

it('a client that is over its budget is named and linked', () => {
  const troubles = createTroubles(() => 0);
  troubles.overBudget('shop', 'requests_per_day', NOW - 1000);
  const { look, situations } = verdict({ clients: troubles.clients(NOW) });
  expect(look).toBe('wait');
  expect(situations[0]).toMatchObject({
    ...{ kind: 'client_limit', client: 'shop', fault: 'caller', link: '#client=shop' },
    untilText: '00:00 UTC',
    sentence:
      'The client shop has used up its requests of this day. 1 request was refused within the last 15 minutes.',
  });
});

it('an internal error is a situation until a minute has passed', () => {
  const troubles = createTroubles(() => 0);
  troubles.requestHadTrouble?.(
    requestOf({ startedAt: NOW - MINUTE + 1, end: { kind: 'internal_error' } }),
  );
  expect(verdict({ bugs: troubles.bugs })).toMatchObject({ look: 'wait' });
  expect(verdict({ bugs: troubles.bugs, now: NOW + 1 })).toMatchObject({ look: 'good' });
});

it('another model is a situation for a day, a version of the same model is none', () => {
  const troubles = createTroubles(() => 0);
  const target = modelTarget('google', 'flash');
  troubles.otherModelAnswers?.(target, 'flash-001');
  expect(troubles.otherModels(NOW)).toEqual([]);
  troubles.otherModelAnswers?.(target, 'pro');
  expect(troubles.otherModels(NOW)).toMatchObject([{ model: 'flash', answers: 'pro', at: NOW }]);
  expect(troubles.otherModels(NOW + 24 * HOUR - 1)).toHaveLength(1);
  expect(troubles.otherModels(NOW + 24 * HOUR)).toEqual([]);
});
