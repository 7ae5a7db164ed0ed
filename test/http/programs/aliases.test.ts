import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { CLIENT_TOKEN, MODEL, shareForPrograms, WORDS } from '../../support/programs.ts';

const PRO = 'gemini-pro-latest';
const shared = shareForPrograms(undefined, {
  environment: {
    GOOGLE_MODELS: `${MODEL},${PRO}`,
    MODEL_ALIASES: `gpt-4o-mini: ${MODEL}, gpt-4o: ${PRO}`,
  },
});

const GOOGLE_TOKEN = { 'x-goog-api-key': CLIENT_TOKEN };
const BEARER = { authorization: `Bearer ${CLIENT_TOKEN}` };
const HI = { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] };
const pathsAsked = () => shared().standin.calls.map(({ path }) => path);

describe('an alias of a model', () => {
  it('is listed and answered in the OpenAI protocol, and the answer names the model', async () => {
    const client = new OpenAI({ baseURL: `${shared().url}/v1`, apiKey: CLIENT_TOKEN });
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual([
      MODEL,
      PRO,
      'gemini-embedding-2',
      'gpt-4o-mini',
      'gpt-4o',
    ]);
    expect((await client.models.retrieve('gpt-4o')).id).toBe('gpt-4o');
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    for (const model of ['gpt-4o', 'models/gpt-4o', 'google/gpt-4o']) {
      const answer = await client.chat.completions.create({ model, messages });
      expect([answer.model, answer.choices[0]?.message.content]).toEqual([PRO, WORDS]);
    }
    expect(new Set(pathsAsked())).toEqual(new Set([`/v1beta/models/${PRO}:streamGenerateContent`]));
  });

  it('is replaced in every path of the Gemini protocol', async () => {
    const app = shared();
    const { models } = new GoogleGenAI({
      apiKey: CLIENT_TOKEN,
      httpOptions: { baseUrl: app.url },
    });
    const asked = { model: 'gpt-4o', contents: 'Hi' };
    expect((await models.generateContent(asked)).text).toBe(WORDS);
    let streamed = '';
    for await (const chunk of await models.generateContentStream(asked)) streamed += chunk.text;
    expect(streamed).toBe(WORDS);
    expect((await models.countTokens(asked)).totalTokens).toBe(1);
    expect((await models.get({ model: 'gpt-4o' })).name).toBe(`models/${PRO}`);
    const path = '/v1alpha/models/google%2Fgpt-4o-mini%3AgenerateContent/';
    expect((await app.post(`${path}?alt=json&key=${CLIENT_TOKEN}`, HI)).status).toBe(200);
    expect((await app.get('/v1/models/gpt-4o', GOOGLE_TOKEN)).body.name).toBe(`models/${PRO}`);
    expect(pathsAsked()).toEqual([
      `/v1beta/models/${PRO}:generateContent`,
      `/v1beta/models/${PRO}:streamGenerateContent`,
      `/v1beta/models/${PRO}:countTokens`,
      `/v1beta/models/${PRO}`,
      `/v1alpha/models/${MODEL}:generateContent`,
      `/v1/models/${PRO}`,
    ]);
  });

  it('is replaced in the body of a count of tokens too', async () => {
    const app = shared();
    const generateContentRequest = { model: 'models/gpt-4o', ...HI };
    await app.post('/v1beta/models/gpt-4o:countTokens', { generateContentRequest }, GOOGLE_TOKEN);
    expect(app.standin.calls[0]?.body).toEqual({
      generateContentRequest: { ...generateContentRequest, model: `models/${PRO}` },
    });
  });

  it('selects the model in every dialect of /api/chat', async () => {
    const app = shared();
    expect((await app.chat('Hi', { model: 'gpt-4o' })).body.model).toBe(PRO);
    const messages = [{ id: 'u', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }];
    const { text } = await app.post('/api/chat', { messages, model: 'gpt-4o' });
    expect(text).toContain(`"model":"${PRO}"`);
  });

  it('has exactly its own spelling', async () => {
    const app = shared();
    const asked = { model: 'GPT-4o', messages: [{ role: 'user', content: 'Hi' }] };
    expect((await app.post('/v1/chat/completions', asked, BEARER)).status).toBe(404);
    const path = '/v1beta/models/gpt-4:generateContent';
    expect((await app.post(path, HI, GOOGLE_TOKEN)).status).toBe(404);
    expect(app.standin.calls).toEqual([]);
  });
});

describe('a token in the query of a route that takes none', () => {
  const SECRET = 'a-secret-in-an-address';
  const messages = [{ id: 'u', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }];

  it.each([
    ['/api/chat', 'key', { message: 'Hi' }],
    ['/api/chat', 'access_token', { message: 'Hi' }],
    ['/api/chat', '%6Bey', { messages }],
    ['/api/anam/session-token', 'token', {}],
    ['/api/anam/v1/engine/session', 'api_key', {}],
    ['/v1/engine/session', 'key', {}],
    ['/api/keys/status', 'apiKey', null],
    ['/health', 'key', null],
    ['/docs', 'key', null],
  ])('is refused by the name of its parameter: %s?%s=', async (path, name, body) => {
    const app = shared();
    const address = `${path}?protocol=text&${name}=${SECRET}`;
    const answer = await (body === null ? app.get(address) : app.post(address, body));
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(`${decodeURIComponent(name)}: This route takes no token`);
    expect(answer.text + app.logText()).not.toContain(SECRET);
    expect(app.standin.calls).toEqual([]);
  });

  it('is not looked for in other parameters', async () => {
    const app = shared();
    expect((await app.post('/api/chat?monkey=1', { message: 'Hi' })).status).toBe(200);
    expect((await app.get('/api/keys/status?_=1')).status).toBe(200);
  });
});
