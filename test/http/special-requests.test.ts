import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const HOUR = 3_600_000;
const MODEL = 'gemini-flash-latest';
const PROGRAM = { 'x-goog-api-key': CLIENT_TOKEN };
const HELP = {
  '@type': 'type.googleapis.com/google.rpc.Help',
  links: [{ description: 'Learn more', url: 'https://ai.google.dev/gemini-api/docs/rate-limits' }],
};

const refusal = (code: number, status: string, message: string, details?: unknown[]) =>
  ({
    kind: 'raw',
    status: code,
    headers: { 'content-type': 'application/json' },
    body: { error: { code, message, status, ...(details === undefined ? {} : { details }) } },
  }) as const satisfies Fault;

const EXHAUSTED = 'RESOURCE_EXHAUSTED';
const BARE_429 = refusal(429, EXHAUSTED, 'Resource has been exhausted (e.g. check quota).');
const HELP_429 = refusal(429, EXHAUSTED, 'You exceeded your current quota.', [HELP]);
const BARE_403 = refusal(403, 'PERMISSION_DENIED', 'The caller does not have permission');
const BARE_404 = refusal(404, 'NOT_FOUND', 'Requested entity was not found.');

const QUOTA_FAILURE = 'type.googleapis.com/google.rpc.QuotaFailure';
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';
const exceeded = (violation: Record<string, unknown>, retryDelay?: string) =>
  refusal(429, EXHAUSTED, 'You exceeded your current quota.', [
    { '@type': QUOTA_FAILURE, violations: [violation] },
    ...(retryDelay === undefined ? [] : [{ '@type': RETRY_INFO, retryDelay }]),
  ]);

const textOf = (number: number) => `g-key-${number}`;

/** So many keys, each of a project of its own and with this fault. */
function startWith(keys: number, fault: Fault | null, environment: Record<string, string> = {}) {
  const texts = Array.from({ length: keys }, (_, index) => textOf(index + 1));
  return startApp({
    environment: {
      ...Object.fromEntries(texts.map((text, index) => [`GOOGLE_API_KEY_${index + 1}`, text])),
      CLIENT_TOKENS: CLIENT_TOKEN,
      ...environment,
    },
    standin: {
      keys: texts.map((key) => ({
        key,
        service: 'google',
        ...(fault === null ? {} : { fault }),
      })),
    },
  });
}

function healAll(app: App, keys: number): void {
  for (let number = 1; number <= keys; number += 1) app.standin.setFault(textOf(number), null);
}

const TEXT = [{ role: 'user', parts: [{ text: 'Hi' }] }];
const generate = (app: App, more: object = {}) =>
  app.post(`/v1beta/models/${MODEL}:generateContent`, { contents: TEXT, ...more }, PROGRAM);
const search = (app: App) => generate(app, { tools: [{ google_search: {} }] });

describe('a special request that every key refuses without a cause', () => {
  it.each([
    ['a bare 429', BARE_429],
    ['a 429 with nothing but a link to help', HELP_429],
    ['a bare 403', BARE_403],
    ['a bare 404', BARE_404],
  ])('is tried with three projects, parks no plain scope, and gets %s', async (_, fault) => {
    const app = await startWith(6, fault);
    const { status, body } = await flow(app.clock, search(app));
    expect([status, body]).toEqual([fault.status, fault.body]);
    expect(app.standin.calls).toHaveLength(3);
    expect(await app.counts()).toMatchObject({ total: 6, available: 6 });

    healAll(app, 6);
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    expect(app.standin.calls).toHaveLength(4);
  });

  it.each<[string, object]>([
    ['a search', { tools: [{ googleSearch: {} }] }],
    ['a search of the older kind', { tools: [{ google_search_retrieval: {} }] }],
    ['maps', { tools: [{ googleMaps: {} }] }],
    ['URL context', { tools: [{ url_context: {} }] }],
    ['code execution', { tools: [{ codeExecution: {} }] }],
    ['a tool that nobody knows yet', { tools: [{ moon_phase: {} }] }],
    [
      'media',
      { contents: [{ parts: [{ inline_data: { mime_type: 'image/png', data: 'AAAA' } }] }] },
    ],
    ['a schema', { generationConfig: { responseSchema: { type: 'STRING' } } }],
    ['a field that nobody knows yet', { moonPhase: 'full' }],
    [
      'an unknown field of a content',
      { contents: [{ parts: [{ text: 'Hi' }], moonPhase: 'full' }] },
    ],
    ['a place to search near', { toolConfig: { retrievalConfig: { latLng: {} } } }],
    ['another type of answer', { generationConfig: { responseMimeType: 'image/png' } }],
    ['a text for the tools', { tools: 'google_search' }],
    ['tools in a list of lists', { tools: [[{ google_search: {} }]] }],
    ['one content instead of a list', { contents: { parts: [{ text: 'Hi' }] } }],
    [
      'media in the result of a function',
      { contents: [{ parts: [{ functionResponse: { name: 'f', parts: [{ inlineData: {} }] } }] }] },
    ],
    ['more than 30,000 tokens', { contents: [{ parts: [{ text: 'word '.repeat(25_000) }] }] }],
  ])('is special because of %s', async (_, more) => {
    const app = await startWith(5, BARE_429);
    const { status } = await flow(app.clock, generate(app, more));
    expect([status, app.standin.calls.length]).toEqual([429, 3]);
    expect((await app.counts()).available).toBe(5);
  });

  const HI = '{"contents":[{"parts":[{"text":"Hi"}]}]';
  it.each<[string, string, string, object]>([
    ['no JSON', 'hello', '', {}],
    ['nothing', '', '', {}],
    ['a list', '[1]', '', {}],
    ['lenient JSON', "{contents:[{parts:[{text:'Hi'}]}],tools:[{google_search:{}}]}", '', {}],
    ['JSON behind a byte order mark', `\ufeff${HI}}`, '', {}],
    ['JSON with one field twice', `${HI},"tools":[{"google_search":{}}],"tools":[]}`, '', {}],
    ['JSON with an escaped name', `${HI},"tools":[{"google\\u005fsearch":{}}]}`, '', {}],
    ['very deep JSON', `${HI},"labels":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, '', {}],
    ['no JSON by its type', `${HI}}`, '', { 'content-type': 'application/x-protobuf' }],
    ['JSON that asks for another answer', `${HI}}`, '?alt=proto', {}],
  ])('is special if its body is %s', async (_, body, query, headers) => {
    const app = await startWith(5, BARE_429);
    const path = `/v1beta/models/${MODEL}:generateContent${query}`;
    await flow(app.clock, app.post(path, body, { ...PROGRAM, ...headers }));
    expect((await app.counts()).available).toBe(5);
    healAll(app, 5);
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
  });

  it.each([
    [
      'a photo in the AI SDK form',
      '/api/chat',
      {
        messages: [
          {
            role: 'user',
            parts: [
              { type: 'text', text: 'What is this?' },
              { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,iVBORw0KGgo=' },
            ],
          },
        ],
      },
    ],
    [
      'a schema in the OpenAI form',
      '/v1/chat/completions',
      {
        model: MODEL,
        messages: [{ role: 'user', content: 'Hi' }],
        response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } },
      },
    ],
    ['a long text', '/api/chat', { message: 'word '.repeat(25_000) }],
  ])('is refused in the form of its client: %s', async (_, path, body) => {
    const app = await startWith(5, BARE_429);
    const headers = { authorization: `Bearer ${CLIENT_TOKEN}` };
    const {
      status,
      text,
      headers: answered,
    } = await flow(app.clock, app.post(path, body, headers));
    expect([status, app.standin.calls.length]).toEqual([429, 3]);
    expect(text).toContain('Resource has been exhausted');
    expect(answered.get('retry-after')).toBe('3600');
    expect((await app.counts()).available).toBe(5);
  });

  it('is a 404 if no key may use the feature', async () => {
    const app = await startWith(3, BARE_403);
    const { status, body } = await flow(app.clock, app.chat('word '.repeat(25_000)));
    expect([status, body.error.code]).toEqual([404, 'model_unavailable']);
    expect(body.error.message).toContain('The caller does not have permission');
  });

  it('is answered by the next model, if the client named none', async () => {
    const models = 'gemini-flash-latest,gemini-pro-latest';
    const app = await startApp({
      environment: {
        ...Object.fromEntries([1, 2, 3, 4, 5].map((at) => [`GOOGLE_API_KEY_${at}`, textOf(at)])),
        GOOGLE_MODELS: models,
      },
      standin: {
        keys: [1, 2, 3, 4, 5].map((at) => ({ key: textOf(at), service: 'google' as const })),
        models: ['gemini-pro-latest'],
      },
    });
    const { status, body } = await flow(app.clock, app.chat('word '.repeat(25_000)));
    expect([status, body.model]).toEqual([200, 'gemini-pro-latest']);
    expect(app.standin.calls).toHaveLength(4);
  });

  it('counts as refused in the admin reports', async () => {
    const ADMIN_TOKEN = 'admin-token-0123456789';
    const app = await startWith(3, BARE_429, { ADMIN_TOKEN });
    await flow(app.clock, search(app));
    const { body } = await app.get('/api/overview', { authorization: `Bearer ${ADMIN_TOKEN}` });
    expect(body.minutes.at(-1)).toMatchObject({ requests: 1, refused: 1 });
    expect(body.latest[0]).toMatchObject({ end: 'refused', code: 'rate_limited' });
  });

  it.each<[string, Fault]>([
    ['a time', refusal(429, EXHAUSTED, 'Slow down.', [{ '@type': RETRY_INFO, retryDelay: '7s' }])],
    [
      'a reason without a quota',
      refusal(429, EXHAUSTED, 'Slow down.', [{ reason: 'RATE_LIMIT_EXCEEDED', domain: 'x' }]),
    ],
  ])('parks no plain scope when the details have %s, but no quota', async (_, fault) => {
    const app = await startWith(20, fault);
    const { status } = await flow(app.clock, search(app));
    expect([status, app.standin.calls.length]).toEqual([429, 3]);
    expect((await app.counts()).available).toBe(20);
  });

  it('of which a plain quota is named beside its own parks the plain scope, for that one', async () => {
    const both = refusal(429, EXHAUSTED, 'You exceeded your current quota.', [
      {
        '@type': QUOTA_FAILURE,
        violations: [
          { quotaId: 'SearchGroundingRequestsPerDay', quotaValue: '500' },
          { quotaId: 'GenerateRequestsPerMinutePerProjectPerModel', quotaValue: '5' },
        ],
      },
      { '@type': RETRY_INFO, retryDelay: '7s' },
    ]);
    const app = await startWith(1, both, { KEY_WAIT_SECONDS: '0' });
    const { headers } = await flow(app.clock, search(app));
    expect(headers.get('retry-after')).toBe('7');
  });

  it('parks one feature only, and tries other projects the next time', async () => {
    const app = await startWith(5, BARE_429);
    await flow(app.clock, search(app));
    expect((await flow(app.clock, search(app))).status).toBe(429);
    expect(app.standin.calls.map(({ key }) => key)).toEqual([1, 2, 3, 4, 5].map(textOf));

    healAll(app, 5);
    expect((await flow(app.clock, generate(app, { tools: [{ googleMaps: {} }] }))).status).toBe(
      200,
    );
    expect((await flow(app.clock, generate(app))).status).toBe(200);
  });

  it('is not sent again within the hour, and gets a Retry-After', async () => {
    const app = await startWith(2, BARE_429);
    expect((await flow(app.clock, search(app))).status).toBe(429);
    healAll(app, 2);
    const refused = await flow(app.clock, search(app));
    expect([refused.status, app.standin.calls.length]).toEqual([503, 2]);
    const seconds = Number(refused.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(3590);
    app.clock.advance(seconds * 1000 - HOUR + HOUR - 1000);
    expect((await flow(app.clock, search(app))).status).toBe(503);
    app.clock.advance(1000);
    expect((await flow(app.clock, search(app))).status).toBe(200);
  });

  it('is waited for where a key is kept for plain requests', async () => {
    const app = await startWith(1, BARE_429, { KEY_WAIT_SECONDS: '12' });
    await flow(app.clock, app.chat('Hi'));
    app.clock.advance(HOUR);
    expect((await flow(app.clock, search(app))).status).toBe(429);
    healAll(app, 1);
    const asked = app.clock.now();
    const tools = [{ functionDeclarations: [{ name: 'pay' }] }];
    expect((await flow(app.clock, generate(app, { tools }))).status).toBe(200);
    expect(app.clock.now() - asked).toBeGreaterThan(9000);
  });

  it('is sent again after an operator released the key', async () => {
    const ADMIN_TOKEN = 'admin-token-0123456789';
    const app = await startWith(1, BARE_429, { ADMIN_TOKEN });
    await flow(app.clock, search(app));
    healAll(app, 1);
    const admin = { authorization: `Bearer ${ADMIN_TOKEN}` };
    await app.post('/api/keys/google-1/release', {}, admin);
    expect((await flow(app.clock, search(app))).status).toBe(200);
  });

  it('gives a probe back, and a plain chat opens the key', async () => {
    const app = await startWith(1, BARE_429);
    await flow(app.clock, app.chat('Hi'));
    expect((await app.counts()).cooling_down).toBe(1);
    app.clock.advance(HOUR);
    expect((await flow(app.clock, search(app))).status).toBe(429);
    healAll(app, 1);
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
  });

  it('makes at most four calls for each model, whatever the keys answer', async () => {
    const models = 'gemini-flash-latest,gemini-flash-lite-latest,gemini-pro-latest';
    const app = await startWith(40, null, { GOOGLE_MODELS: models });
    const faults = [BARE_429, BARE_403, BARE_404];
    for (let number = 1; number <= 40; number += 1) {
      app.standin.setFault(textOf(number), faults[number % 3] ?? null);
    }
    const { status } = await flow(app.clock, app.chat('word '.repeat(25_000)));
    expect([404, 429]).toContain(status);
    for (const model of models.split(',')) {
      expect(app.standin.calls.filter((call) => call.model === model)).toHaveLength(4);
    }
    expect((await app.counts()).available).toBe(40);
  });

  it.each<[string, Fault]>([
    ['no quota for the model', refusal(429, EXHAUSTED, 'Quota exceeded, limit: 0')],
    ['a quota without a size', exceeded({ quotaId: 'GenerateRequestsPerDayPerProjectPerModel' })],
    ['no credit', refusal(429, EXHAUSTED, 'Your prepayment credits are depleted.')],
    ['a spend cap', refusal(403, 'PERMISSION_DENIED', 'Monthly spending cap reached.')],
    ['no billing', refusal(403, 'PERMISSION_DENIED', 'Please enable billing.')],
    ['a leaked key', refusal(403, 'PERMISSION_DENIED', 'Your key was reported as leaked.')],
    ['a quota of searches', exceeded({ quotaId: 'SearchGroundingPerDay', quotaValue: '5' })],
  ])('parks no plain scope, since the words may be about it: %s', async (_, fault) => {
    const app = await startWith(5, fault);
    const { status, body } = await flow(app.clock, search(app));
    expect([status, body]).toEqual([
      fault.kind === 'raw' && fault.status,
      'body' in fault && fault.body,
    ]);
    expect([app.standin.calls.length, (await app.counts()).available]).toEqual([3, 5]);
    expect((await flow(app.clock, app.chat('Hi'))).status).not.toBe(200);
    expect((await app.counts()).available).toBe(0);
  });

  it('parks no plain scope, when the refusal quotes a function of the caller', async () => {
    const message = "Property 'enable billing' of function 'spend cap' is not allowed";
    const app = await startWith(5, refusal(403, 'PERMISSION_DENIED', message));
    const tools = [{ functionDeclarations: [{ name: 'pay' }] }];
    expect((await flow(app.clock, generate(app, { tools }))).status).toBe(403);
    expect((await app.counts()).available).toBe(5);
  });

  it('goes on to a fourth key, once some key has answered such a request', async () => {
    const app = await startWith(8, null);
    for (const number of [1, 2, 3]) app.standin.setFault(textOf(number), BARE_429);
    expect((await flow(app.clock, search(app))).status).toBe(429);
    expect((await flow(app.clock, search(app))).status).toBe(200);
    for (const number of [5, 6, 7]) app.standin.setFault(textOf(number), BARE_429);
    expect((await flow(app.clock, search(app))).status).toBe(200);
    expect(app.standin.calls.at(-1)?.key).toBe(textOf(8));
  });

  it('of a great size leaves smaller ones as they are', async () => {
    const app = await startWith(1, BARE_429, { MAX_BODY_MB: '20' });
    expect((await flow(app.clock, app.chat('word '.repeat(125_000)))).status).toBe(429);
    healAll(app, 1);
    expect((await flow(app.clock, app.chat('word '.repeat(125_000)))).status).toBe(503);
    expect((await flow(app.clock, app.chat('word '.repeat(80_000)))).status).toBe(200);
  });

  it('leaves the next probe to a plain chat for ten seconds', async () => {
    const app = await startWith(1, BARE_429, { KEY_WAIT_SECONDS: '0' });
    await flow(app.clock, app.chat('Hi'));
    app.clock.advance(HOUR);
    expect((await flow(app.clock, search(app))).status).toBe(429);
    const maps = () => generate(app, { tools: [{ googleMaps: {} }] });
    expect((await flow(app.clock, maps())).status).toBe(503);
    expect(app.standin.calls).toHaveLength(2);
    app.clock.advance(10_000);
    expect((await flow(app.clock, maps())).status).toBe(429);
    healAll(app, 1);
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
  });

  it("parks the key for Google's whole sentence about a leaked key, which no caller can shape", async () => {
    const app = await startWith(2, null);
    app.standin.setFault(textOf(1), { kind: 'leaked' });
    for (let i = 0; i < 2; i += 1) expect((await search(app)).status).toBe(200);
    expect(await app.counts()).toMatchObject({ total: 2, available: 1, exhausted: 1 });
  });

  it('parks the key for a refusal that names its cause', async () => {
    const app = await startWith(3, { kind: 'day_spent' });
    expect((await flow(app.clock, search(app))).status).toBe(503);
    expect((await app.counts()).cooling_down).toBe(3);
  });
});

describe('a plain request that is refused without a cause', () => {
  it('parks the one key of three for the hour, and costs one call', async () => {
    const app = await startWith(3, null);
    app.standin.setFault(textOf(1), BARE_429);
    for (let turn = 0; turn < 6; turn += 1) {
      expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    }
    expect(app.standin.callsOf(textOf(1))).toBe(1);
    expect(await app.counts()).toMatchObject({ available: 2, cooling_down: 1 });
  });

  it('is tried with each key, then refused with a sentence', async () => {
    const app = await startWith(3, BARE_429);
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.error.code]).toEqual([503, 'all_keys_exhausted']);
    expect(app.standin.calls).toHaveLength(3);
    expect((await app.counts()).cooling_down).toBe(3);
  });

  it('in the Gemini protocol is plain with functions too', async () => {
    const app = await startWith(3, BARE_429);
    const plain = {
      systemInstruction: { parts: [{ text: 'Be brief.' }] },
      generationConfig: { temperature: 0.5, thinkingConfig: { thinkingBudget: 0 } },
      safetySettings: [],
      tools: [{ functionDeclarations: [{ name: 'look_up' }] }],
      toolConfig: {},
    };
    expect((await flow(app.clock, generate(app, plain))).status).toBe(503);
    expect((await app.counts()).cooling_down).toBe(3);
  });
});

describe('what a refusal tells besides', () => {
  const ADMIN_TOKEN = 'admin-token-0123456789';
  const admin = { authorization: `Bearer ${ADMIN_TOKEN}` };

  it('names a special request in the report of the key', async () => {
    const app = await startWith(1, BARE_429, { ADMIN_TOKEN });
    await flow(app.clock, search(app));
    const [key] = (await app.get('/api/keys', admin)).body.keys;
    expect(key).toMatchObject({ state: 'available', explanation: null });
    expect(key.scopes).toMatchObject([
      { scope: 'feature', cause: 'quota_unexplained', untilBy: 'rule' },
    ]);
    expect(key.scopes[0].explanation).toContain('refuses requests with search for its project');
  });

  it('parks two names of one model together', async () => {
    const models = 'gemini-flash-latest,gemini-pro-latest';
    const day = {
      quotaId: 'GenerateRequestsPerDayPerProjectPerModel',
      quotaValue: '20',
      quotaDimensions: { model: 'gemini-pro-latest', location: 'global' },
    };
    const app = await startWith(1, exceeded(day), { GOOGLE_MODELS: models, ADMIN_TOKEN });
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(503);
    expect(app.standin.calls).toHaveLength(1);
    const { body } = await app.get('/api/keys?model=gemini-pro-latest', admin);
    expect(body.keys[0]).toMatchObject({ state: 'cooling_down', cause: 'quota_exhausted' });
  });

  it.each<[string, Fault, number]>([
    ['without credit', refusal(429, EXHAUSTED, 'Your prepayment credits are depleted.'), 2],
    ['without a way to pay', refusal(402, 'FAILED_PRECONDITION', 'Payment required'), 2],
    ['at a spend cap', refusal(403, 'PERMISSION_DENIED', 'Monthly spending cap reached.'), 1],
  ])('parks the projects of one billing account together, %s', async (_, fault, exhausted) => {
    const app = await startWith(3, null, {
      GOOGLE_API_KEY_1_BILLING: 'main',
      GOOGLE_API_KEY_2_BILLING: 'main',
    });
    app.standin.setFault(textOf(1), fault);
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    expect(await app.counts()).toMatchObject({ total: 3, exhausted });
    app.clock.advance(HOUR);
    healAll(app, 3);
    for (let turn = 0; turn < 3; turn += 1) await flow(app.clock, app.chat('Hi'));
    expect(await app.counts()).toMatchObject({ available: 3 });
  });

  it('says that standard keys are refused, when they all fall within a minute and others do not', async () => {
    const texts = ['AIzaStandardOne', 'AIzaStandardTwo', 'AQ.NewKey'];
    const app = await startApp({
      environment: {
        ...Object.fromEntries(texts.map((text, index) => [`GOOGLE_API_KEY_${index + 1}`, text])),
        ADMIN_TOKEN,
      },
    });
    app.standin.setFault('AIzaStandardOne', { kind: 'bad_key' });
    await flow(app.clock, app.chat('Hi'));
    const standard = () => app.logs.filter(({ msg }) => msg.includes('standard keys'));
    expect(standard()).toHaveLength(0);
    app.standin.setFault('AIzaStandardTwo', { kind: 'bad_key' });
    for (let turn = 0; turn < 3; turn += 1) await flow(app.clock, app.chat('Hi'));
    expect(standard()).toHaveLength(1);
    const [key] = (await app.get('/api/keys', admin)).body.keys;
    expect(key.explanation).toMatch(/^Google rejects standard keys \(AIza…\) by now/);
  });

  it.each<[string, Fault]>([
    ['a RetryInfo of days', exceeded({ quotaId: 'RequestsPerMinute', quotaValue: '5' }, '172800s')],
    ['a negative RetryInfo', exceeded({ quotaId: 'RequestsPerMinute', quotaValue: '5' }, '-5s')],
    ['a size that is a text', exceeded({ quotaId: 'RequestsPerMinute', quotaValue: 'many' })],
  ])('is bounded by the cooldown, and warned of once: %s', async (_, fault) => {
    const app = await startWith(3, fault, { KEY_WAIT_SECONDS: '0' });
    const { headers } = await flow(app.clock, app.chat('Hi'));
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(3600);
    expect(app.logs.filter(({ msg }) => msg.startsWith('a refusal names'))).toHaveLength(1);
  });

  it.each([
    'Access is restricted from your billing country for this project, denied for project 123.',
    'This service has been disabled in this account for violation of Terms of Service.',
    "Method doesn't allow unregistered callers (callers without established identity).",
  ])('needs action: %s', async (message) => {
    const app = await startWith(2, null);
    app.standin.setFault(textOf(1), refusal(403, 'PERMISSION_DENIED', message));
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    expect(await app.counts()).toMatchObject({ available: 1, exhausted: 1 });
  });
});

describe('a request that is larger than the limit on input tokens', () => {
  const LIMITED = 20;
  const SMALL = 16_000;
  const startLimited = () =>
    startApp({
      environment: {
        ...Object.fromEntries(
          Array.from({ length: LIMITED }, (_, at) => [`GOOGLE_API_KEY_${at + 1}`, textOf(at + 1)]),
        ),
        CLIENT_TOKENS: CLIENT_TOKEN,
      },
      standin: {
        keys: Array.from({ length: LIMITED }, (_, at) => ({
          key: textOf(at + 1),
          service: 'google' as const,
          limits: { tpm: SMALL },
        })),
      },
    });
  const LARGE = 'word '.repeat(20_000);

  it('is tried with three projects, parks none, and gets the limit', async () => {
    const app = await startLimited();
    const { status, body } = await flow(app.clock, app.chat(LARGE));
    expect([status, body.error.code]).toEqual([413, 'payload_too_large']);
    expect(body.error.message).toContain('16000 input tokens a minute');
    expect(app.standin.calls).toHaveLength(3);
    expect((await app.counts()).available).toBe(LIMITED);

    const small = await flow(app.clock, app.chat('Hi'));
    expect([small.status, app.standin.calls.length]).toEqual([200, 4]);
  });

  it('is not sent to any project whose limit is known to be smaller', async () => {
    const app = await startLimited();
    for (let turn = 0; turn < 7; turn += 1) {
      expect((await flow(app.clock, app.chat(LARGE))).status).toBe(413);
    }
    expect(app.standin.calls).toHaveLength(LIMITED);
    const { status, body } = await flow(app.clock, app.chat(LARGE));
    expect([status, app.standin.calls.length]).toEqual([413, LIMITED]);
    expect(body.error.message).toContain('16000 input tokens a minute');
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
  });

  it('gets the limit in the form of the Gemini protocol too', async () => {
    const app = await startLimited();
    const { status, body } = await flow(
      app.clock,
      generate(app, { contents: [{ role: 'user', parts: [{ text: LARGE }] }] }),
    );
    expect([status, body.error.status]).toEqual([413, 'INVALID_ARGUMENT']);
    expect(body.error.message).toContain('16000 input tokens a minute');
    expect(app.standin.calls).toHaveLength(3);
    expect((await app.counts()).available).toBe(LIMITED);
  });

  it.each([
    ['digits, which have a token each', '7'.repeat(60_000)],
    ['signs of three bytes with a token each', '好'.repeat(18_000)],
  ])('parks none either, when its size can only be guessed: %s', async (_, message) => {
    const spent = exceeded({ quotaId: 'InputTokensPerMinute', quotaValue: '16000' }, '24s');
    const app = await startWith(20, spent);
    const { status, headers } = await flow(app.clock, app.chat(message));
    expect([status, headers.get('retry-after')]).toEqual([429, '24']);
    expect(app.standin.calls).toHaveLength(3);
    expect((await app.counts()).available).toBe(20);
  });

  it('does not stop others of the size that was guessed', async () => {
    const spent = exceeded({ quotaId: 'InputTokensPerMinute', quotaValue: '16000' }, '24s');
    const app = await startWith(1, spent);
    expect((await flow(app.clock, app.chat('7'.repeat(60_000)))).status).toBe(429);
    app.standin.setFault(textOf(1), null);
    expect((await flow(app.clock, app.chat('word '.repeat(12_000)))).status).toBe(200);
    expect(app.standin.calls).toHaveLength(2);
  });

  it('is answered by a project whose limit is larger', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY_1: 'g-small', GOOGLE_API_KEY_2: 'g-large' },
      standin: {
        keys: [
          { key: 'g-small', service: 'google', limits: { tpm: SMALL } },
          { key: 'g-large', service: 'google' },
        ],
      },
    });
    expect((await flow(app.clock, app.chat(LARGE))).status).toBe(200);
    expect((await app.counts()).available).toBe(2);
  });

  it('is not tried with a second key of the same project', async () => {
    const app = await startApp({
      environment: {
        GOOGLE_API_KEY_1: 'g-one',
        GOOGLE_API_KEY_1_PROJECT: 'shop',
        GOOGLE_API_KEY_2: 'g-two',
        GOOGLE_API_KEY_2_PROJECT: 'shop',
      },
      standin: {
        keys: ['g-one', 'g-two'].map((key) => ({
          key,
          service: 'google' as const,
          project: 'shop',
          limits: { tpm: SMALL },
        })),
      },
    });
    expect((await flow(app.clock, app.chat(LARGE))).status).toBe(413);
    expect(app.standin.calls).toHaveLength(1);
  });

  it('parks the project when it fits and the minute quota is used up', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY_1: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
      standin: {
        keys: [
          { key: 'g-one', service: 'google', fault: { kind: 'tokens_per_minute_spent' } },
          { key: 'g-two', service: 'google' },
        ],
      },
    });
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
  });
});

describe("a 400 that quotes the client's text", () => {
  it.each([
    'Unsupported MIME type: x API key not valid',
    'Unsupported MIME type: API key not valid. Please pass a valid API key.',
    'Invalid JSON payload received. Unknown name "enable billing": Cannot find field.',
    'Unknown name "API key not found": Proto field is not repeating, cannot start list.',
    'Unknown name "User location is not supported": Cannot find field.',
    "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties: 'free tier is not available' is invalid",
  ])('does not reject the key: %s', async (message) => {
    const app = await startWith(3, refusal(400, 'INVALID_ARGUMENT', message));
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.error.code]).toEqual([400, 'invalid_request']);
    expect(app.standin.calls).toHaveLength(1);
    expect((await app.counts()).available).toBe(3);
  });

  it.each([
    'API key not valid. Please pass a valid API key.',
    'API Key not found. Please pass a valid API key.',
    'API key expired. Please renew the API key.',
    'API key not valid. Please pass a valid API key. \n',
    'Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.',
    'User location is not supported for the API use without a billing account linked.',
  ])('rejects the key only with the whole sentence of Google: %s', async (message) => {
    const app = await startWith(2, null);
    app.standin.setFault(textOf(1), refusal(400, 'INVALID_ARGUMENT', message));
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    expect(await app.counts()).toMatchObject({ available: 1, exhausted: 1 });
  });

  it('a 403 that quotes the name of a file does not reject the key', async () => {
    const message =
      'You do not have permission to access the File reported as leaked or it may not exist.';
    const app = await startWith(2, refusal(403, 'PERMISSION_DENIED', message));
    await flow(app.clock, generate(app));
    expect((await app.counts()).available).toBe(2);
  });
});

describe('a body that is no JSON, with a million quotes', () => {
  it('is answered soon, and parks no plain scope', async () => {
    const app = await startWith(3, BARE_429);
    const path = `/v1beta/models/${MODEL}:generateContent`;
    const body = `{"a":"${'\\"'.repeat(1_000_000)}`;
    expect((await flow(app.clock, app.post(path, body, PROGRAM))).status).toBe(429);
    expect((await app.counts()).available).toBe(3);
  });
});

describe('a special request of another protocol', () => {
  const BEARER = { authorization: `Bearer ${CLIENT_TOKEN}` };
  const LINK = { type: 'image', source: { type: 'url', url: 'https://a.example/suspended' } };
  const saying = (content: unknown) => ({ model: MODEL, messages: [{ role: 'user', content }] });

  it('for an image parks no plain scope', async () => {
    const app = await startWith(6, BARE_429);
    const asked = { ...saying('Hi'), modalities: ['text', 'image'] };
    await flow(app.clock, app.post('/v1/chat/completions', asked, BEARER));
    expect(app.standin.calls).toHaveLength(3);
    expect((await app.counts()).available).toBe(6);
  });

  it.each([
    ['a sentence that quotes its link', 'Requests to https://a.example are blocked.'],
    ['a word that it quotes', 'https://a.example is suspended'],
    ['a bare 403', 'The caller does not have permission'],
  ])('that only counts its tokens rejects no key for %s', async (_, message) => {
    const app = await startWith(6, refusal(403, 'PERMISSION_DENIED', message));
    const path = '/v1/messages/count_tokens';
    await flow(app.clock, app.post(path, saying([LINK]), BEARER));
    expect(app.standin.calls).toHaveLength(3);
    expect((await app.counts()).available).toBe(6);
  });
});

describe('whatever one caller sends and whatever the provider answers', () => {
  const bodies = {
    plain: {},
    search: { tools: [{ google_search: {} }] },
    functions: { tools: [{ functionDeclarations: [{ name: 'pay' }] }] },
    media: { contents: [{ parts: [{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }] }] },
    long: { contents: [{ parts: [{ text: 'word '.repeat(25_000) }] }] },
  };
  const NOTHING = { search: 0, media: 0, long: 0 };
  const words = fc.constantFrom(
    'Resource has been exhausted (e.g. check quota).',
    'Quota exceeded, limit: 0',
    'Your prepayment credits are depleted.',
    'Monthly spending cap reached.',
    'Please enable billing',
    'Your API key was reported as leaked.',
    'API key not valid',
    'The caller does not have permission',
    "Method doesn't allow unregistered callers",
  );
  const status = fc.constantFrom(
    [400, 'INVALID_ARGUMENT'],
    [403, 'PERMISSION_DENIED'],
    [404, 'NOT_FOUND'],
    [429, EXHAUSTED],
    [500, 'INTERNAL'],
    [503, 'UNAVAILABLE'] as const,
  );

  // Functions are no reason for a refusal that quotes nothing.
  it('parks no plain scope for a special request, and at most one key for each call of a plain one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...(Object.keys(bodies) as (keyof typeof bodies)[])),
        fc.array(fc.tuple(status, words), { minLength: 1, maxLength: 7 }),
        async (sent, answers) => {
          const app = await startWith(9, null, { REQUEST_TIMEOUT_SECONDS: '30' });
          for (let number = 1; number <= 9; number += 1) {
            const [[code, name], message] = answers[number % answers.length] ?? [
              [500, 'INTERNAL'],
              '',
            ];
            app.standin.setFault(textOf(number), refusal(Number(code), String(name), message));
          }
          await flow(app.clock, generate(app, bodies[sent]));
          const calls = app.standin.calls.map((call) => call.status);
          const { available = 0 } = await app.counts();
          await app.stop();
          const functions = calls.filter((one) => one === 429).length;
          const mayPark = { ...NOTHING, plain: calls.length, functions }[sent];
          expect(9 - available).toBeLessThanOrEqual(mayPark);
          expect(calls.length).toBeLessThanOrEqual(sent in NOTHING ? 4 : 9);
        },
      ),
      { numRuns: 60 },
    );
  });
});
