import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { GoogleGenAI } from '@google/genai';
import { embed, embedMany } from 'ai';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import {
  CLIENT_TOKEN,
  MODEL,
  shareForPrograms,
  startForPrograms,
  UNTOUCHED,
} from '../../support/programs.ts';
import { type App, flow } from '../../support/start-app.ts';

const EMBEDDER = 'gemini-embedding-2';
const ALIAS = 'text-embedding-3-small';
const BEARER = { authorization: `Bearer ${CLIENT_TOKEN}` };
const GOOGLE_TOKEN = { 'x-goog-api-key': CLIENT_TOKEN };
const PATH = '/v1/embeddings';
const BATCH = `/v1beta/models/${EMBEDDER}:batchEmbedContents`;

const shared = shareForPrograms(undefined, {
  environment: { MODEL_ALIASES: `${ALIAS}: ${EMBEDDER}, gpt-4o-mini: ${MODEL}` },
});

const openaiOf = ({ url }: App) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: CLIENT_TOKEN, maxRetries: 0 });
const genaiOf = ({ url }: App) =>
  new GoogleGenAI({ apiKey: CLIENT_TOKEN, httpOptions: { baseUrl: url } });
const ask = (app: App, input: unknown, more: object = {}) =>
  app.post(PATH, { model: EMBEDDER, input, ...more }, BEARER);
const pathsAsked = ({ standin }: App) => standin.calls.map(({ path }) => path);
/** Google's client would join several texts to one content for this model. */
const contentsOf = (texts: readonly string[]) => texts.map((text) => ({ parts: [{ text }] }));
const batchOf = (model: string, ...texts: readonly string[]) => ({
  requests: texts.map((text) => ({ model: `models/${model}`, content: { parts: [{ text }] } })),
});

/** The stand-in computes the same. */
const numbersOf = (text: string, dimensions = 8) => {
  const sum = [...text].reduce((total, letter) => total + (letter.codePointAt(0) ?? 0), 0);
  return Array.from({ length: dimensions }, (_, index) => ((sum + index) % 64) / 64 - 0.5);
};

describe('embeddings', () => {
  it('reach the official OpenAI client, which asks for base64 unless it is told otherwise', async () => {
    const app = shared();
    const { embeddings } = openaiOf(app);
    const one = await embeddings.create({ model: EMBEDDER, input: 'Hi' });
    expect(one).toMatchObject({
      object: 'list',
      model: EMBEDDER,
      data: [{ object: 'embedding', index: 0, embedding: numbersOf('Hi') }],
      usage: { prompt_tokens: 1, total_tokens: 1 },
    });
    expect(app.standin.calls[0]?.body).not.toContain('outputDimensionality');
    const two = await embeddings.create({
      model: `models/${EMBEDDER}`,
      input: ['Grüße 🌍', 'b'],
      dimensions: 12,
      encoding_format: 'float',
      user: 'someone',
    });
    expect(two.data.map(({ embedding }) => embedding)).toEqual([
      numbersOf('Grüße 🌍', 12),
      numbersOf('b', 12),
    ]);
    expect(two.data.map(({ index }) => index)).toEqual([0, 1]);
    const raw = await ask(app, 'Hi', { encoding_format: 'base64' });
    expect(raw.body.data[0].embedding).toBe(
      Buffer.from(new Float32Array(numbersOf('Hi')).buffer).toString('base64'),
    );
    expect(raw.headers.get('understudy-attempts')).toBe('1');
    expect(pathsAsked(app)).toEqual([BATCH, BATCH, BATCH]);
  });

  it("reach Google's client and the AI SDK, byte for byte", async () => {
    const app = shared();
    const { models } = genaiOf(app);
    const texts = ['Hi', 'Bye'];
    const contents = contentsOf(texts);
    const { embeddings = [] } = await models.embedContent({ model: EMBEDDER, contents });
    expect(embeddings.map(({ values }) => values)).toEqual(texts.map((text) => numbersOf(text)));
    const google = createGoogleGenerativeAI({ baseURL: `${app.url}/v1beta`, apiKey: CLIENT_TOKEN });
    const model = google.embedding(EMBEDDER);
    expect((await embed({ model, value: 'Hi' })).embedding).toEqual(numbersOf('Hi'));
    expect((await embedMany({ model, values: texts })).embeddings).toEqual(
      texts.map((text) => numbersOf(text)),
    );
    expect(pathsAsked(app)).toEqual([BATCH, `/v1beta/models/${EMBEDDER}:embedContent`, BATCH]);
    const written = JSON.stringify(batchOf(EMBEDDER, 'Hi'), null, 3);
    expect((await app.post(`${BATCH}?key=${CLIENT_TOKEN}`, written)).status).toBe(200);
    expect(app.standin.calls.at(-1)?.bodyLength).toBe(written.length);
  });

  it('are asked for by an alias or a prefix, and Google gets the name of the model in path and body', async () => {
    const app = shared();
    const { data, model } = await openaiOf(app).embeddings.create({ model: ALIAS, input: 'Hi' });
    expect([data[0]?.embedding, model]).toEqual([numbersOf('Hi'), EMBEDDER]);
    for (const name of [ALIAS, `google/${EMBEDDER}`, `google/${ALIAS}`]) {
      const texts = ['Hi', `"model":"models/${ALIAS}"`];
      const asked = { model: name, contents: contentsOf(texts) };
      const { embeddings = [] } = await genaiOf(app).models.embedContent(asked);
      expect(embeddings.map(({ values }) => values)).toEqual(texts.map((text) => numbersOf(text)));
    }
    expect(new Set(pathsAsked(app))).toEqual(new Set([BATCH]));
  });

  it('of 100 texts are one call, and of more are refused with the limit', async () => {
    const app = shared();
    const texts = Array.from({ length: 101 }, (_, index) => `text ${index}`);
    const answer = await ask(app, texts.slice(1));
    expect(answer.body.data).toHaveLength(100);
    const { status, body } = await ask(app, texts);
    expect([status, body.error.param]).toEqual([400, 'input']);
    expect(body.error.message).toBe('input: Must not have more than 100 entries.');
    expect(app.standin.calls).toHaveLength(1);
  });

  it.each([
    [{ input: undefined }, 'input', /missing/],
    [{ input: null }, 'input', /: Must be a string or a list\.$/],
    [{ input: '' }, 'input', /empty/],
    [{ input: [] }, 'input', /empty/],
    [{ input: ['a', ' '] }, 'input.1', /empty/],
    [{ input: [1, 2] }, 'input', /Lists of tokens are not supported/],
    [{ input: [[1, 2]] }, 'input', /Lists of tokens are not supported/],
    [{ input: { a: 1 } }, 'input', /a string or a list/],
    [{ dimensions: 0 }, 'dimensions', /./],
    [{ encoding_format: 'hex' }, 'encoding_format', /./],
    [{ input_type: 'query' }, 'input_type', /not supported/],
    [{ model: undefined }, 'model', /missing/],
  ])('are refused by the name of the field: %j', async (changed, param, message) => {
    const app = shared();
    const { status, body } = await ask(app, 'Hi', changed);
    expect([status, body.error.type, body.error.param]).toEqual([
      400,
      'invalid_request_error',
      param,
    ]);
    expect(body.error.message).toMatch(message);
    expect([app.standin.calls, await app.counts()]).toEqual([[], UNTOUCHED]);
  });

  it('come only from models for embeddings, and those answer no chats', async () => {
    const app = shared();
    const asChat = { model: EMBEDDER, messages: [{ role: 'user', content: 'Hi' }] };
    const openai = [
      await ask(app, 'Hi', { model: MODEL }),
      await ask(app, 'Hi', { model: 'gpt-4o-mini' }),
      await ask(app, 'Hi', { model: 'other' }),
      await app.post('/v1/chat/completions', asChat, BEARER),
      await app.post('/v1/chat/completions', { ...asChat, model: ALIAS }, BEARER),
    ];
    for (const { status, body } of openai) {
      expect([status, body.error.code]).toEqual([404, 'model_not_found']);
    }
    expect(openai[0]?.body.error.message).toContain(`Ask for one of: ${EMBEDDER}, ${ALIAS}.`);
    expect(openai[3]?.body.error.message).toContain(`Ask for one of: ${MODEL}, gpt-4o-mini.`);
    const contents = { contents: [{ parts: [{ text: 'Hi' }] }] };
    const gemini = [
      await app.post(BATCH.replace(EMBEDDER, MODEL), batchOf(MODEL, 'Hi'), GOOGLE_TOKEN),
      await app.post(`/v1beta/models/${EMBEDDER}:generateContent`, contents, GOOGLE_TOKEN),
      await app.post(`/v1beta/models/${ALIAS}:streamGenerateContent`, contents, GOOGLE_TOKEN),
    ];
    for (const { status, body } of gemini) {
      expect([status, body.error.status]).toEqual([404, 'NOT_FOUND']);
    }
    expect(gemini.map(({ body }) => body.error.message)).toEqual([
      `models/${MODEL} is not served for embeddings. Ask for one of: ${EMBEDDER}, ${ALIAS}.`,
      `models/${EMBEDDER} is not served. Ask for one of: ${MODEL}, gpt-4o-mini.`,
      `models/${ALIAS} is not served. Ask for one of: ${MODEL}, gpt-4o-mini.`,
    ]);
    expect((await app.chat('Hi', { model: EMBEDDER })).body.error.code).toBe('model_unavailable');
    expect([app.standin.calls, await app.counts()]).toEqual([[], UNTOUCHED]);
    const counted = await app.post(`/v1beta/models/${ALIAS}:countTokens`, contents, GOOGLE_TOKEN);
    expect([counted.status, pathsAsked(app)]).toEqual([
      200,
      [`/v1beta/models/${EMBEDDER}:countTokens`],
    ]);
  });

  it("pass Google's own refusal of a faulty request on", async () => {
    const app = shared();
    const { status, body } = await app.post(BATCH, { requests: [] }, GOOGLE_TOKEN);
    expect([status, body.error.status]).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await app.counts()).toEqual(UNTOUCHED);
  });
});

describe('the quota of embeddings', () => {
  const environment = { ADMIN_TOKEN, KEY_WAIT_SECONDS: '0' };
  const limits = { modelLimits: { [EMBEDDER]: { rpd: 3 } } };
  const modelsOf = async (app: App) => {
    // The overview is a second old at most.
    app.clock.advance(1000);
    return (await app.get('/api/overview', AS_ADMIN)).body.services[0].models;
  };

  it('belongs to their model: another key answers, and when all are spent only embeddings are refused', async () => {
    const app = await startForPrograms(null, undefined, { environment, keys: limits });
    app.standin.setFault('g-one', { kind: 'leaked' });
    expect((await ask(app, ['a', 'b'])).headers.get('understudy-attempts')).toBe('2');
    const refused = await ask(app, ['a', 'b']);
    expect([refused.status, refused.body.error.code]).toEqual([503, 'all_keys_exhausted']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(1000);
    const relayed = await app.post(BATCH, batchOf(EMBEDDER, 'a'), GOOGLE_TOKEN);
    expect([relayed.status, relayed.body.error.status]).toEqual([503, 'UNAVAILABLE']);
    expect((await app.chat('Hi')).status).toBe(200);
    expect(await app.counts()).toEqual({ total: 2, available: 1, cooling_down: 0, exhausted: 1 });
    expect(await modelsOf(app)).toMatchObject([
      { model: MODEL, embeds: false, available: 1 },
      {
        model: EMBEDDER,
        embeds: true,
        available: 0,
        causes: { key_rejected: 1, quota_exhausted: 1 },
      },
    ]);
    const metrics = (await app.get('/metrics', AS_ADMIN)).text;
    expect(metrics).toContain(
      `understudy_keys{service="google",model="${EMBEDDER}",use="embeddings",state="available"} 0`,
    );
    expect(metrics).toMatch(
      /gen_ai_client_operation_duration_seconds_count\{gen_ai_operation_name="embeddings".*\} 1/,
    );
    const keys = await app.get(`/api/keys?service=google&model=${EMBEDDER}`, AS_ADMIN);
    expect(keys.body.keys.map(({ model }: { model: string }) => model)).toEqual([
      EMBEDDER,
      EMBEDDER,
    ]);
  });

  it('is untouched when that of chats is spent', async () => {
    const spent = { limits: { rpd: 1 }, modelLimits: { [EMBEDDER]: {} } };
    const app = await startForPrograms({ kind: 'leaked' }, undefined, { environment, keys: spent });
    expect((await app.chat('Hi')).status).toBe(200);
    expect((await app.chat('Hi')).status).toBe(503);
    expect((await ask(app, 'Hi')).status).toBe(200);
    expect(await app.counts()).toEqual({ total: 2, available: 0, cooling_down: 1, exhausted: 1 });
  });

  it('counts each text of a batch, so that a full key is passed over without a refusal', async () => {
    const stated = { GOOGLE_LIMITS: `${EMBEDDER}: 10 rpm`, ...environment };
    const app = await startForPrograms(null, undefined, { environment: stated });
    const keys = () => app.standin.calls.map(({ key }) => key);
    const ten = Array.from({ length: 10 }, () => 'a');
    await ask(app, ten);
    for (let call = 0; call < 3; call += 1) await ask(app, 'a');
    await app.post(BATCH, batchOf(EMBEDDER, ...ten.slice(0, 7)), GOOGLE_TOKEN);
    expect(keys()).toEqual(['g-one', 'g-two', 'g-two', 'g-two', 'g-two']);
    app.clock.advance(60_000);
    await ask(app, 'a');
    await ask(app, 'a');
    expect(new Set(keys().slice(-2))).toEqual(new Set(['g-one', 'g-two']));
  });
});

describe('an embedding that does not come', () => {
  it.each([
    ['overloaded', { kind: 'overloaded' }],
    ['of an empty answer', { kind: 'empty_body' }],
    ['broken off', { kind: 'cut_mid_stream' }],
  ] as const)('is made with another key: %s', async (_, fault) => {
    const app = await startForPrograms(fault);
    const asked = await flow(app.clock, ask(app, 'Hi'));
    expect([asked.status, asked.body.data[0].embedding]).toEqual([200, numbersOf('Hi')]);
    const relayed = app.post(BATCH, batchOf(EMBEDDER, 'Hi'), GOOGLE_TOKEN);
    expect((await flow(app.clock, relayed)).body.embeddings).toEqual([{ values: numbersOf('Hi') }]);
  });
});
