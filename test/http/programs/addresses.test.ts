import { once } from 'node:events';
import { request } from 'node:http';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import {
  CLIENT_TOKEN,
  MODEL,
  shareForPrograms,
  startForPrograms,
  UNTOUCHED,
  WORDS,
} from '../../support/programs.ts';
import type { App } from '../../support/start-app.ts';

const shared = shareForPrograms();

const BEARER = { authorization: `Bearer ${CLIENT_TOKEN}` };
const GOOGLE_TOKEN = { 'x-goog-api-key': CLIENT_TOKEN };
const HI = { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] };
const SAID = [{ role: 'user' as const, content: 'Hi' }];
const WHOLE = `/v1beta/models/${MODEL}:generateContent`;

const pathsAsked = ({ standin }: App) => standin.calls.map(({ path }) => path);

describe('wrong client tokens', () => {
  const from = (address: string, headers: object) => ({ 'x-forwarded-for': address, ...headers });
  const start = () => startForPrograms(null, undefined, { environment: { TRUST_PROXY: '1' } });
  const guess = async (app: App, address: string) =>
    (await app.get('/v1/models', from(address, { authorization: 'Bearer wrong-one' }))).status;

  it('are refused after ten in a minute from one address, in the form of each protocol', async () => {
    const app = await start();
    for (let call = 0; call < 10; call += 1) expect(await guess(app, '203.0.113.9')).toBe(401);
    const openai = await app.get('/v1/models', from('203.0.113.9', BEARER));
    expect([openai.status, openai.body.error.code]).toEqual([429, 'rate_limited']);
    expect(openai.headers.get('www-authenticate')).toBeNull();
    expect(Number(openai.headers.get('retry-after'))).toBeGreaterThan(50);
    const google = await app.post(
      WHOLE,
      HI,
      from('203.0.113.9', { 'x-goog-api-key': 'wrong-one' }),
    );
    expect([google.status, google.body.error.status]).toEqual([429, 'RESOURCE_EXHAUSTED']);
    expect(google.headers.get('retry-after')).not.toBeNull();
    expect(app.standin.calls).toEqual([]);
    expect((await app.get('/v1/models', from('203.0.113.10', BEARER))).status).toBe(200);
    const said = app.logs.filter(({ msg }) => msg === 'too many wrong client tokens');
    expect(said).toMatchObject([{ level: 40, address: '203.0.113.9' }]);
  });

  it('do not count where none is sent or another one is right, and shut no program out', async () => {
    const app = await start();
    const both = { ...BEARER, 'x-goog-api-key': 'wrong-one' };
    for (let call = 0; call < 12; call += 1) {
      expect((await app.get('/v1/models', from('203.0.113.9', both))).status).toBe(200);
      expect((await app.get('/v1/models', from('203.0.113.10', {}))).status).toBe(401);
    }
    expect(await guess(app, '203.0.113.10')).toBe(401);
    for (let call = 0; call < 12; call += 1) await guess(app, '203.0.113.9');
    expect(await guess(app, '203.0.113.9')).toBe(429);
    expect((await app.get('/v1/models', from('203.0.113.9', BEARER))).status).toBe(200);
  });
});

describe('a client token in the query', () => {
  it.each([
    ['alone', `?key=${CLIENT_TOKEN}`, {}],
    ['beside other parameters', `?alt=json&key=${CLIENT_TOKEN}&`, {}],
    ['under an encoded name', `?%6bey=${CLIENT_TOKEN}`, {}],
    ['beside an unknown bearer', `?key=${CLIENT_TOKEN}`, { authorization: 'Bearer other' }],
    ['beside an unknown key', `?key=${CLIENT_TOKEN}`, { 'x-goog-api-key': 'other' }],
    ['unknown, beside a known bearer', '?key=other', BEARER],
  ])("opens Gemini's protocol, and is not logged: %s", async (_, query, headers) => {
    const app = shared();
    const { status, text } = await app.post(WHOLE + query, HI, headers as Record<string, string>);
    expect([status, text]).toEqual([200, expect.stringContaining(WORDS)]);
    expect(app.logs.find(({ msg }) => msg === 'request')).toMatchObject({
      path: WHOLE,
      client: 'client-1',
    });
    expect(app.logText()).not.toMatch(/key=|\[redacted\]/);
  });

  it.each([
    ['unknown', '?key=a-wrong-token-of-some-length'],
    ['empty', '?key='],
    ['given twice', `?key=${CLIENT_TOKEN}&key=${CLIENT_TOKEN}`],
    ['under another name', `?api_key=${CLIENT_TOKEN}`],
  ])("is refused in Google's form, and not quoted: %s", async (_, query) => {
    const app = shared();
    const { status, body, text } = await app.post(WHOLE + query, HI);
    expect([status, body.error.status]).toEqual([401, 'UNAUTHENTICATED']);
    expect(text + app.logText()).not.toMatch(/wrong-token|program-token/);
    expect(app.standin.calls).toEqual([]);
  });

  it("selects Google's form on paths of both protocols", async () => {
    const app = shared();
    const list = await app.get(`/v1/models?key=${CLIENT_TOKEN}`);
    expect(list.body.models[0].name).toMatch(/^models\//);
    const one = await app.get(`/v1/models/${MODEL}?key=${CLIENT_TOKEN}`);
    expect(one.body.name).toBe(`models/${MODEL}`);
    expect((await app.get('/v1/models?key=other')).body.error.status).toBe('UNAUTHENTICATED');
  });

  it("opens OpenAI's protocol, and is refused there in OpenAI's form", async () => {
    const app = shared();
    const path = '/v1/chat/completions';
    const asked = { model: MODEL, messages: SAID };
    expect((await app.post(`${path}?key=${CLIENT_TOKEN}`, asked)).body.object).toBe(
      'chat.completion',
    );
    const refused = await app.post(`${path}?key=other`, asked);
    expect([refused.status, refused.body.error.code]).toEqual([401, 'invalid_api_key']);
  });

  it('does not open the admin routes', async () => {
    const app = await startForPrograms(null, {}, { environment: { ADMIN_TOKEN } });
    for (const path of ['/metrics', '/api/overview', '/api/keys']) {
      for (const token of [CLIENT_TOKEN, ADMIN_TOKEN]) {
        expect((await app.get(`${path}?key=${token}`)).status).toBe(400);
        expect((await app.get(`${path}?other=${token}`)).status).toBe(401);
      }
    }
  });
});

describe("an address in Gemini's protocol", () => {
  const spelled = [
    `/v1beta/models/${MODEL}%3AgenerateContent`,
    `/v1beta/models/${MODEL}%3agenerateContent`,
    `//v1beta//models/${MODEL}:generateContent`,
    `/v1beta/models///${MODEL}:generateContent`,
    `${WHOLE}/`,
    `${WHOLE}//`,
    `/v1beta/models/models/${MODEL}:generateContent`,
    `/v1beta/models/google/${MODEL}:generateContent`,
    `/v1beta/models/google%2F${MODEL}:generateContent`,
    `/v1beta/models/models%2Fgoogle%2f${MODEL}%3AgenerateContent`,
    `/v1beta/models%2F${MODEL}:generateContent`,
    `//v1beta/models//models/${MODEL}%3AgenerateContent/`,
  ];

  it.each(spelled)('may be spelled as %s, and goes on in its normal form', async (path) => {
    const app = shared();
    const { status, text } = await app.post(`${path}?alt=json`, HI, GOOGLE_TOKEN);
    expect([status, text]).toEqual([200, expect.stringContaining(WORDS)]);
    expect(pathsAsked(app)).toEqual([WHOLE]);
  });

  it.each(spelled)('needs a token: %s', async (path) => {
    const app = shared();
    const { status, body } = await app.post(path, HI);
    expect([status, body.error.status]).toEqual([401, 'UNAUTHENTICATED']);
    expect(app.standin.calls).toEqual([]);
  });

  it.each([
    `/v1beta/models/models/${MODEL}`,
    `/v1beta/models/google%2F${MODEL}/`,
    `//v1beta/models/${MODEL}`,
  ])('of a model may be spelled as %s', async (path) => {
    const app = shared();
    expect((await app.get(path, GOOGLE_TOKEN)).body.name).toBe(`models/${MODEL}`);
    expect(pathsAsked(app)).toEqual([`/v1beta/models/${MODEL}`]);
  });

  it.each([
    ['http://proxied.example/v1beta//models', 200, '/v1beta/models'],
    ['/v1beta/models#a', 401, '/v1beta/models'],
  ])('is read by the rules of HTTP: %s', async (target, status, path) => {
    const app = shared();
    const { port } = new URL(app.url);
    const sent = request({ port, path: `${target}?key=${CLIENT_TOKEN}` }).end();
    const [response] = await once(sent, 'response');
    response.resume();
    await once(response, 'end');
    expect([response.statusCode, pathsAsked(app)]).toEqual([status, status === 200 ? [path] : []]);
    expect(app.logText()).not.toMatch(/key=/);
  });

  it.each([
    `/v1beta/models/other%2F${MODEL}:generateContent`,
    `/v1beta/models/google/../${MODEL}:generateContent`,
    `/v1beta/models/google%2F..%2F${MODEL}:generateContent`,
    `/v1beta//..//models/${MODEL}:generateContent`,
    '/v1beta/models/google%2F:generateContent',
    `/v2/models/${MODEL}:generateContent`,
  ])('is unknown as %s', async (path) => {
    const app = shared();
    expect((await app.post(path, HI, GOOGLE_TOKEN)).status).toBe(404);
    expect(app.standin.calls).toEqual([]);
  });

  it('is accepted from the official client with slashes behind the base URL and google/ before the model', async () => {
    const app = shared();
    const httpOptions = { baseUrl: `${app.url}//` };
    const { models } = new GoogleGenAI({ apiKey: CLIENT_TOKEN, httpOptions });
    const model = `google/${MODEL}`;
    expect((await models.generateContent({ model, contents: 'Hi' })).text).toBe(WORDS);
    expect((await models.get({ model })).name).toBe(`models/${MODEL}`);
    expect(pathsAsked(app)).toEqual([WHOLE, `/v1beta/models/${MODEL}`]);
  });

  it('of v1alpha is served, and goes on as v1alpha', async () => {
    const app = shared();
    const { models } = new GoogleGenAI({
      apiKey: CLIENT_TOKEN,
      apiVersion: 'v1alpha',
      httpOptions: { baseUrl: app.url },
    });
    expect((await models.generateContent({ model: MODEL, contents: 'Hi' })).text).toBe(WORDS);
    expect((await models.get({ model: MODEL })).name).toBe(`models/${MODEL}`);
    expect(pathsAsked(app)).toEqual([
      WHOLE.replace('v1beta', 'v1alpha'),
      `/v1alpha/models/${MODEL}`,
    ]);
    const refused = await app.post(WHOLE.replace('v1beta', 'v1alpha'), HI);
    expect([refused.status, refused.body.error.status]).toEqual([401, 'UNAUTHENTICATED']);
  });
});

describe("an address in OpenAI's protocol", () => {
  const clientAt = (app: App, path: string) =>
    new OpenAI({ baseURL: app.url + path, apiKey: CLIENT_TOKEN, maxRetries: 0 });

  it.each([
    '/v1/',
    '//v1',
    '/v1beta/openai',
    '/v1beta/openai/',
    '//v1beta//openai',
    '/v1/openai',
    '/v1alpha/openai',
  ])('may begin with %s', async (base) => {
    const app = shared();
    const client = clientAt(app, base);
    const asked = { model: `models/${MODEL}`, messages: SAID };
    const answer = await client.chat.completions.create(asked);
    expect([answer.model, answer.choices[0]?.message.content]).toEqual([MODEL, WORDS]);
    expect((await client.models.list()).data).toMatchObject([
      { id: MODEL, owned_by: 'google' },
      { id: 'gemini-embedding-2' },
    ]);
    expect((await client.models.retrieve(`google/${MODEL}`)).id).toBe(MODEL);
    const embedded = { model: 'google/gemini-embedding-2', input: 'Hi' };
    expect((await client.embeddings.create(embedded)).model).toBe('gemini-embedding-2');
    await expect(client.models.retrieve('other')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    await expect(
      new OpenAI({ baseURL: app.url + base, apiKey: 'other', maxRetries: 0 }).models.list(),
    ).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
  });

  it.each([
    [`models/${MODEL}`],
    [`google/${MODEL}`],
    [`google/models/${MODEL}`],
    [`models/google/${MODEL}`],
  ])('may name a model as %s, and is answered with the bare name', async (model) => {
    const app = shared();
    const client = clientAt(app, '/v1');
    expect((await client.chat.completions.create({ model, messages: SAID })).model).toBe(MODEL);
    expect((await client.models.retrieve(model)).id).toBe(MODEL);
    expect((await app.get(`/v1/models/${model}`, BEARER)).body.id).toBe(MODEL);
    expect(pathsAsked(app)).toEqual([`/v1beta/models/${MODEL}:streamGenerateContent`]);
  });

  it.each([
    ['post', '/v1beta/openai/chat/completions', {}, 401],
    ['get', '/v1beta/openai/chat/completions', GOOGLE_TOKEN, 405],
    ['post', '/v1beta/openai/chat/completions', GOOGLE_TOKEN, 400],
    ['post', '/v1beta/openai/embeddings', {}, 401],
    ['post', '/v1beta/openai/embeddings', GOOGLE_TOKEN, 400],
    ['post', `/v1beta/openai/models/${MODEL}:generateContent`, GOOGLE_TOKEN, 404],
    ['get', '/v1beta/openai/models/other', GOOGLE_TOKEN, 404],
    ['get', '/v1beta/openai', GOOGLE_TOKEN, 404],
  ] as const)("is refused in OpenAI's form: %s %s", async (method, path, headers, status) => {
    const app = shared();
    const answer = await (method === 'get'
      ? app.get(path, headers as Record<string, string>)
      : app.post(path, {}, headers as Record<string, string>));
    expect([answer.status, answer.body.error.type]).toEqual([status, 'invalid_request_error']);
    expect(app.standin.calls).toEqual([]);
  });

  it("has OpenAI's list of models, wherever the token is", async () => {
    const app = shared();
    for (const path of ['/v1beta/openai/models', `/v1beta/openai/models?key=${CLIENT_TOKEN}`]) {
      expect((await app.get(path, GOOGLE_TOKEN)).body.data).toMatchObject([
        { id: MODEL },
        { id: 'gemini-embedding-2' },
      ]);
    }
  });
});

describe('the name of a model in /api/chat', () => {
  it.each([`models/${MODEL}`, `google/${MODEL}`, `google/models/${MODEL}`])(
    'may be %s, and the answer has the bare name',
    async (model) => {
      const app = shared();
      expect((await app.chat('Hi', { model })).body.model).toBe(MODEL);
      const parts = [{ type: 'text', text: 'Hi' }];
      const messages = [{ id: 'u', role: 'user', parts }];
      const { text } = await app.post('/api/chat', { messages, trigger: 'submit-message', model });
      expect(text).toContain(`"model":"${MODEL}"`);
      expect(new Set(pathsAsked(app))).toEqual(
        new Set([`/v1beta/models/${MODEL}:streamGenerateContent`]),
      );
    },
  );
});

describe('a path of another route', () => {
  it.each(['//dashboard', '//api/keys', '/api//keys', '//metrics', '//health', '//v1/../metrics'])(
    'is not normalised: %s is unknown',
    async (path) => {
      const app = await startForPrograms(null, {}, { environment: { ADMIN_TOKEN } });
      const { status } = await app.get(path, { ...AS_ADMIN, ...GOOGLE_TOKEN });
      expect([status, await app.counts()]).toEqual([404, UNTOUCHED]);
    },
  );

  it('is not normalised: //api/chat is unknown', async () => {
    const app = shared();
    expect((await app.post('//api/chat', { message: 'Hi' })).status).toBe(404);
    expect(app.standin.calls).toEqual([]);
  });
});

describe('a base URL', () => {
  it.each(['/v1/v1/chat/completions', '/v1beta/openai/v1/chat/completions'])(
    'may have a version that the client adds too: %s',
    async (path) => {
      const { status } = await shared().post(path, { model: MODEL, messages: SAID }, BEARER);
      expect(status).toBe(200);
    },
  );

  it('without a version is refused with a sentence that names it', async () => {
    const { status, body } = await shared().post('/chat/completions', {}, BEARER);
    expect([status, body.error.message]).toEqual([
      404,
      'There is nothing here: the base URL must end in /v1.',
    ]);
  });
});
