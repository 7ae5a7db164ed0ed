import { describe, expect, it } from 'vitest';
import { keysPage } from '../../../src/observability/reports.ts';
import type { StandinOptions } from '../../../standin/standin.ts';
import { ADMIN_TOKEN, AS_ADMIN, logIn } from '../../support/admin.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';

const MINUTE = 60_000;

const start = (environment: Record<string, string>, keys?: StandinOptions['keys']) =>
  startApp({
    environment: { ADMIN_TOKEN, ...environment },
    ...(keys === undefined ? {} : { standin: { keys } }),
  });

const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };
const firstIs = (fault: object): StandinOptions['keys'] => [
  { key: 'g-one', service: 'google', ...fault },
  { key: 'g-two', service: 'google' },
];

async function list(app: App, query = '') {
  const { body } = await app.get(`/api/keys${query}`, AS_ADMIN);
  keysPage.parse(body);
  return body;
}
const act = (app: App, path: string, body: unknown = {}, as: Record<string, string> = AS_ADMIN) =>
  app.post(`/api/keys/${path}`, body, as);

describe('the list of keys', () => {
  it('reports of a key whose day is spent the cause, its source, its start, and when the key is tried again', async () => {
    const app = await start(TWO, firstIs({ limits: { rpd: 1 } }));
    for (let i = 0; i < 3; i += 1) await app.chat('Hi');
    const { total, keys, next } = await list(app);
    expect([total, next]).toEqual([2, null]);
    expect(keys[0]).toMatchObject({
      id: 'google',
      service: 'google',
      project: 'google',
      model: 'gemini-flash-latest',
      state: 'cooling_down',
      cause: 'quota_exhausted',
      explanation:
        "the day's quota of gemini-flash-latest is spent for its project; tried again at 19:00 UTC; resets at midnight Pacific, 08:00 UTC",
      source: 'provider',
      since: '2026-11-24T18:00:00.000Z',
      until: '2026-11-24T19:00:00.000Z',
      inFlight: 0,
      calls: 2,
      successes: 1,
      failures: { quota_exhausted: 1 },
      lastError: { kind: 'quota_exhausted', status: 429, model: 'gemini-flash-latest' },
      lastAction: null,
    });
    expect(keys[0].scopes).toHaveLength(1);
    expect(keys[1]).toMatchObject({ state: 'available', cause: null, explanation: null, calls: 2 });
  });

  it.each([
    [
      { fault: { kind: 'leaked' } },
      'key_rejected',
      /^Google says that the key was reported as leaked; needs action/,
    ],
    [
      { limits: { rpm: 1 } },
      'rate_limited',
      /^a rate limit of gemini-flash-latest .* the provider says until 18:0\d:\d\d UTC$/,
    ],
    [{ fault: { kind: 'prepay_empty' } }, 'out_of_credit', /no credit left.*needs action/],
  ])('explains %o in plain words', async (fault, cause, sentence) => {
    const app = await start(TWO, firstIs(fault));
    for (let i = 0; i < 3; i += 1) await app.chat('Hi');
    const [key] = (await list(app)).keys;
    expect(key).toMatchObject({ cause, source: 'provider' });
    expect(key.explanation).toMatch(sentence);
  });

  it('reports the latency of the first chunk over the last five minutes', async () => {
    const app = await startApp({
      environment: { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one' },
      standin: { answer: { chunks: 2, firstChunkMs: 200, chunkMs: 10 } },
    });
    for (let i = 0; i < 3; i += 1) await flow(app.clock, app.chat('Hi'));
    const [key] = (await list(app)).keys;
    expect(key.latency.answers).toBe(3);
    expect(key.latency.p50Ms).toBeGreaterThanOrEqual(200);
    expect(key.latency.p95Ms).toBeLessThan(400);
    app.clock.advance(5 * MINUTE);
    expect((await list(app)).keys[0].latency).toBeNull();
  });

  it('has a fingerprint of each key that survives a restart and does not reveal the key', async () => {
    const first = (await list(await start(TWO))).keys;
    const second = (await list(await start({ GOOGLE_API_KEY_9: 'g-one' }))).keys;
    expect(first[0].fingerprint).toMatch(/^[0-9a-f]{10}$/);
    expect(second[0].fingerprint).toBe(first[0].fingerprint);
    expect(first[1].fingerprint).not.toBe(first[0].fingerprint);
    expect(JSON.stringify([first, second])).not.toMatch(/g-one|g-two/);
  });

  it('comes in pages, with each key once', async () => {
    const names = Array.from({ length: 7 }, (_, index) => [
      `GOOGLE_API_KEY_${index + 1}`,
      `g-${index}`,
    ]);
    const app = await start({ ...Object.fromEntries(names), ANAM_API_KEY: 'a-one' });
    const ids: string[] = [];
    for (let next: string | null = ''; next !== null; ) {
      const page: Awaited<ReturnType<typeof list>> = await list(app, `?limit=3${next}`);
      expect(page.total).toBe(8);
      ids.push(...page.keys.map(({ id }: { id: string }) => id));
      next = page.next === null ? null : `&after=${page.next}`;
    }
    expect(ids).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `google-${n}`).concat('anam'));
    expect(await list(app, '?limit=8')).toMatchObject({ total: 8, next: null });
  });

  it('filters by service, model and state', async () => {
    const app = await start(
      { ...TWO, ANAM_API_KEY: 'a-one', GOOGLE_MODELS: 'gemini-flash-latest,gemini-2.5-pro' },
      [...(firstIs({ limits: { rpd: 0 } }) ?? []), { key: 'a-one', service: 'anam' }],
    );
    await app.chat('Hi');
    const ids = async (query: string) =>
      (await list(app, query)).keys.map(({ id }: { id: string }) => id);
    expect(await ids('?service=anam')).toEqual(['anam']);
    expect(await ids('?state=cooling_down')).toEqual(['google']);
    expect(await ids('?state=available')).toEqual(['google-2', 'anam']);
    expect(await ids('?model=gemini-2.5-pro&state=available')).toEqual(['google', 'google-2']);
  });

  it('is searched by id, project, billing label and fingerprint', async () => {
    const app = await start({
      ...{ GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ANAM_API_KEY: 'a-one' },
      ...{ GOOGLE_API_KEY_2_PROJECT: 'shop', GOOGLE_API_KEY_2_BILLING: 'Acme' },
    });
    const ids = async (query: string) => {
      const { keys, total } = await list(app, query);
      expect(total).toBe(keys.length);
      return keys.map(({ id }: { id: string }) => id);
    };
    const [, second] = (await list(app, '')).keys;
    expect(await ids('?search=GOOGLE')).toEqual(['google', 'google-2']);
    expect(await ids('?search=sho')).toEqual(['google-2']);
    expect(await ids('?search=acme')).toEqual(['google-2']);
    expect(await ids(`?search=${second.fingerprint.slice(0, 8)}`)).toEqual(['google-2']);
    expect(await ids('?search=g-two')).toEqual([]);
  });

  it('has those with trouble first if asked to, page by page', async () => {
    const names = [1, 2, 3, 4, 5].map((n) => [`GOOGLE_API_KEY_${n}`, `g-${n}`]);
    const app = await start(Object.fromEntries(names), [
      ...[1, 2, 4].map((n) => ({ key: `g-${n}`, service: 'google' as const })),
      { key: 'g-3', service: 'google', fault: { kind: 'leaked' } },
      { key: 'g-5', service: 'google' },
    ]);
    for (let i = 0; i < 5; i += 1) await app.chat('Hi');
    await act(app, 'google-2/park', { seconds: 900 });
    await act(app, 'google-5/park', { seconds: 60 });
    const first = await list(app, '?sort=trouble&limit=2');
    const rest = await list(app, `?sort=trouble&limit=3&after=${first.next}`);
    const ids = [...first.keys, ...rest.keys].map(({ id }: { id: string }) => id);
    expect(ids).toEqual(['google-3', 'google-5', 'google-2', 'google-1', 'google-4']);
  });

  it.each([
    ['limit=0', 'limit'],
    ['sort=id', 'sort'],
    ['search=', 'search'],
    ['limit=501', 'limit'],
    ['limit=many', 'limit'],
    ['service=openai', 'service'],
    ['service=openai&limit=0', 'service,limit'],
    ['state=tired', 'state'],
    ['model=gpt', 'model'],
    ['after=unknown', 'after'],
    ['color=red', 'color'],
  ])('refuses ?%s and names each faulty field', async (query, paths) => {
    const app = await start(TWO);
    const { status, body } = await app.get(`/api/keys?${query}`, AS_ADMIN);
    const named = body.error.details.map(({ path }: { path: string }) => path);
    expect([status, named.join()]).toEqual([400, paths]);
  });

  it.each([
    ['search=', 'search: Must not be empty.'],
    [`search=${'a'.repeat(101)}`, 'search: Must be at most 100 characters.'],
    ['limit=501', 'limit: Must be at most 500.'],
    ['sort=name', 'sort: Must be one of: trouble.'],
  ])('says what is wrong about ?%s', async (query, sentence) => {
    const app = await start(TWO);
    const { body } = await app.get(`/api/keys?${query}`, AS_ADMIN);
    expect(body.error.message).toBe(sentence);
  });

  it('redacts a key that a provider echoes in its error', async () => {
    const secret = 'AIzaSyFAKE-not-a-key-but-looks-like-1';
    const app = await start({ GOOGLE_API_KEY: secret }, [
      { key: secret, service: 'google', fault: { kind: 'suspended' } },
    ]);
    await app.chat('Hi');
    const { text } = await app.get('/api/keys', AS_ADMIN);
    expect(JSON.parse(text).keys[0].lastError.message).toContain('[redacted]');
    expect(text).not.toContain(secret);
  });
});

describe('releasing a key', () => {
  it('makes it usable at once, and the log says who and why', async () => {
    const app = await start({ GOOGLE_API_KEY: 'g-one' }, [
      { key: 'g-one', service: 'google', limits: { rpm: 1 } },
    ]);
    await app.chat('Hi');
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(503);
    app.clock.advance(10_000);
    const { status, body } = await act(app, 'google/release', {
      by: 'Ana',
      reason: 'quota was raised',
    });
    expect(status).toBe(200);
    expect(body.key).toMatchObject({
      state: 'available',
      scopes: [],
      lastAction: { action: 'release', who: 'Ana', why: 'quota was raised' },
    });
    expect(app.logs.findLast(({ msg }) => msg === 'operator')).toMatchObject({
      level: 40,
      key: 'google',
      action: 'release',
      who: 'Ana',
      why: 'quota was raised',
      requestId: expect.any(String),
    });
    const calls = app.standin.callsOf('g-one');
    await flow(app.clock, app.chat('Hi'));
    expect(app.standin.callsOf('g-one')).toBe(calls + 1);
  });

  it('gives it to a request in the wait queue', async () => {
    const app = await start({ GOOGLE_API_KEY: 'g-one' });
    await act(app, 'google/park', { seconds: 4 });
    const waiting = app.chat('Hi');
    await flow(app.clock, app.get('/health'));
    await act(app, 'google/release');
    expect((await waiting).status).toBe(200);
  });
});

describe('parking a key', () => {
  it('takes it out of use at once, by default for the cooldown', async () => {
    const app = await start(TWO);
    const { body } = await act(app, 'google/park', { reason: 'bill is strange' });
    expect(body.key).toMatchObject({
      state: 'cooling_down',
      cause: 'operator',
      source: 'operator',
      until: '2026-11-24T19:00:00.000Z',
      explanation: 'taken out of use by the operator; back at 19:00 UTC, or when it is released',
      lastAction: { action: 'park', who: null, why: 'bill is strange' },
    });
    for (let i = 0; i < 4; i += 1) await app.chat('Hi');
    expect([app.standin.callsOf('g-one'), app.standin.callsOf('g-two')]).toEqual([0, 4]);
    app.clock.advance(60 * MINUTE);
    for (let i = 0; i < 4; i += 1) await app.chat('Hi');
    expect(app.standin.callsOf('g-one')).toBe(2);
  });

  it('lets its running answer end', async () => {
    const app = await startApp({
      environment: { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one' },
      standin: { answer: { chunks: 4, chunkMs: 100 } },
    });
    const answer = app.chat('Hi');
    await expect.poll(() => app.standin.callsOf('g-one')).toBe(1);
    const parked = await act(app, 'google/park');
    expect(parked.body.key.inFlight).toBe(1);
    expect((await flow(app.clock, answer)).status).toBe(200);
    expect(await app.counts()).toMatchObject({ available: 0, cooling_down: 1 });
  });

  it('refuses a request in the wait queue that would wait in vain, with the real time', async () => {
    const app = await start({ GOOGLE_API_KEY: 'g-one' });
    await act(app, 'google/park', { seconds: 4 });
    const waiting = app.chat('Hi');
    await flow(app.clock, app.get('/health'));
    await act(app, 'google/park', { seconds: 900 });
    const { status, headers } = await waiting;
    expect([status, headers.get('retry-after')]).toEqual([503, '900']);
  });

  it('is logged under the name given at the login', async () => {
    const app = await start(TWO);
    await act(app, 'google/park', {}, await logIn(app, 'Ben'));
    expect((await list(app)).keys[0].lastAction).toMatchObject({ action: 'park', who: 'Ben' });
  });

  it.each([
    ['google/park', { seconds: 0 }, 400, 'seconds'],
    ['google/park', { seconds: 700_000 }, 400, 'seconds'],
    ['google/park', { until: 'noon' }, 400, 'until'],
    ['google/release', { reason: 'x'.repeat(201) }, 400, 'reason'],
    ['google/release', { seconds: 5 }, 400, 'seconds'],
    ['google/release', 'null', 400, ''],
    ['unknown/park', {}, 404, undefined],
    ['unknown/release', {}, 404, undefined],
  ])('%s with %o is refused, and nothing happens', async (path, body, expected, field) => {
    const app = await start(TWO);
    const answer = await act(app, path, body);
    expect(answer.status).toBe(expected);
    expect(answer.body.error.details?.[0].path).toBe(field);
    expect(await app.counts()).toMatchObject({ available: 2 });
  });

  it('needs no body', async () => {
    const app = await start(TWO);
    expect((await app.post('/api/keys/google/park', '', AS_ADMIN)).status).toBe(200);
  });
});
