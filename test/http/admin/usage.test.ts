import { GoogleGenAI } from '@google/genai';
import { describe, expect, it, vi } from 'vitest';
import { asyncClient, type Provider } from '../../../src/providers/provider.ts';
import { NO_USAGE } from '../../../src/shared/failure.ts';
import { modelTarget } from '../../../src/shared/target.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { CLIENT_TOKEN, MODEL, startForPrograms } from '../../support/programs.ts';
import { CHUNKED, chunked, head, startRawUpstream } from '../../support/raw-upstream.ts';
import { scrape } from '../../support/scrape.ts';
import { type App, startApp } from '../../support/start-app.ts';
import { writeToolsFile } from '../../support/tools-file.ts';
import { whileTimePasses } from '../../support/while-time-passes.ts';

const PRICES = {
  currency: 'EUR',
  models: { [MODEL]: { input: 1000, output: 10_000, cached: 100, request: 0.01 } },
};
const ANSWER = { chunks: 3, text: 'one two three', thoughts: 'hm', cachedTokens: 1 };
const SECOND_TOKEN = 'second-program-token-0123';

const start = (environment: object = {}) =>
  startForPrograms(null, ANSWER, {
    environment: {
      ADMIN_TOKEN,
      CLIENT_TOKENS: `${CLIENT_TOKEN},${SECOND_TOKEN}`,
      PRICES: writeToolsFile(PRICES),
      ...environment,
    },
  });

const usageOf = async (app: App, query = '', headers = {}) =>
  app.get(`/api/usage${query}`, { ...AS_ADMIN, ...headers });
const rowsOf = async (app: App, by: string) => (await usageOf(app, `?by=${by}`)).body.rows;
const as = (token: string) => ({ authorization: `Bearer ${token}` });

const complete = (app: App, token: string) =>
  app.post(
    '/v1/chat/completions',
    { model: MODEL, messages: [{ role: 'user', content: 'Hello there' }] },
    as(token),
  );

describe('/api/usage', () => {
  it('sums requests and tokens up by day, client, key and model', async () => {
    const app = await start();
    const { usage } = (await app.chat('Hello there')).body;
    await complete(app, CLIENT_TOKEN);
    await complete(app, SECOND_TOKEN);
    await app.post(
      '/v1/embeddings',
      { model: 'gemini-embedding-2', input: 'Hi' },
      as(CLIENT_TOKEN),
    );
    const { status, body } = await usageOf(app, '?by=day,client,key,model');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      from: '2026-10-26',
      to: '2026-11-24',
      by: ['day', 'client', 'key', 'model'],
      currency: 'EUR',
      unpricedModels: ['gemini-embedding-2'],
      isCut: false,
    });
    const names = { day: '2026-11-24', model: MODEL };
    expect(body.rows).toMatchObject([
      { client: 'client-1', model: 'gemini-embedding-2', outputTokens: 0, cost: null },
      { ...names, client: 'client-1', key: 'google-2', requests: 1, attempts: 1 },
      { ...names, client: 'client-2', answered: 1, failovers: 0 },
      {
        ...names,
        client: 'web',
        inputTokens: usage.inputTokens,
        outputTokens: usage.outputTokens,
        cachedTokens: 1,
      },
    ]);
    const { inputTokens: input, outputTokens: output } = usage;
    const cost = ((input - 1) * 1000 + 100 + output * 10_000) / 1e6 + 0.01;
    expect(body.rows[3].cost).toBeCloseTo(cost, 6);
    expect(body.totals).toMatchObject({ requests: 4, answered: 4, attempts: 4 });
  });

  it('counts an attempt for its key, and a request for the key that answered', async () => {
    const app = await start();
    app.standin.setFault('g-one', { kind: 'day_spent' });
    await app.chat('Hello');
    expect(await rowsOf(app, 'key')).toMatchObject([
      { key: 'google', requests: 0, attempts: 1, failovers: 0, inputTokens: 0 },
      { key: 'google-2', requests: 1, answered: 1, attempts: 1, failovers: 1 },
    ]);
    app.standin.setFault('g-two', { kind: 'day_spent' });
    await app.chat('Hello');
    await app.chat('Hello');
    expect(await rowsOf(app, 'key')).toMatchObject([
      { key: 'google', requests: 0 },
      { key: 'google-2', requests: 2, answered: 1, attempts: 2 },
      { key: 'none', requests: 1, answered: 0, attempts: 0 },
    ]);
  });

  it('has what is stored and what is not yet', async () => {
    const app = await start();
    await app.chat('Hello');
    app.clock.advance(5000);
    await app.chat('Hello');
    expect(await rowsOf(app, 'client')).toMatchObject([{ client: 'web', requests: 2 }]);
    expect((await usageOf(app, '?to=2026-11-23')).body).toMatchObject({ rows: [] });
    expect((await usageOf(app, '?from=2026-11-24&to=2026-11-24')).body.rows).toHaveLength(1);
  });

  it('shows the tokens of today in the overview, half a minute later', async () => {
    const app = await start();
    const { usage } = (await app.chat('Hello')).body;
    app.clock.advance(30_000);
    await vi.waitFor(async () => {
      app.clock.advance(1000);
      const { body } = await app.get('/api/overview', AS_ADMIN);
      expect(body.totals).toMatchObject({ currency: 'EUR', tokensToday: usage.totalTokens });
      expect(body.totals.costToday).toBeGreaterThan(0);
    });
  });

  it('is a table for spreadsheets', async () => {
    const app = await start();
    await app.chat('Hello');
    const { headers, text } = await usageOf(app, '?by=client,model&format=csv');
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(headers.get('content-disposition')).toBe(
      'attachment; filename="usage-2026-10-26-to-2026-11-24.csv"',
    );
    const lines = text.split('\r\n');
    expect(lines[0]).toBe(
      'client,model,requests,answered,attempts,failovers,inputTokens,outputTokens,cachedTokens,thoughtTokens,cost,currency',
    );
    expect(lines[1]).toMatch(/^web,gemini-flash-latest,1,1,1,0,\d+,\d+,1,0,[\d.]+,EUR$/);
    expect(lines.slice(2)).toEqual(['']);
    expect((await usageOf(app, '', { accept: 'text/csv' })).text).toContain('\r\n2026-11-24,1,');
    expect((await usageOf(app, '', { accept: '*/*' })).body.rows).toHaveLength(1);
  });

  it.each([
    ['=HYPERLINK("http://x")', `"'=HYPERLINK(""http://x"")"`],
    ['+1', "'+1"],
    ['-1,5', `"'-1,5"`],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\tx', "'\tx"],
    ['\rx', `"'\rx"`],
    ['two\nlines', '"two\nlines"'],
  ])('never has a cell that a spreadsheet executes: %j', async (model, cell) => {
    const acme: Provider = {
      name: 'acme',
      prefix: 'ACME',
      metricName: 'acme.chat',
      exhaustedMessage: 'Acme is busy.',
      withoutKeys: 'no key.',
      createTargets: () => [modelTarget('acme', model)],
      describeUse: () => 'answers',
      createChat: () => asyncClient(async () => ({ reason: 'stop', usage: NO_USAGE })),
    };
    const environment = { ADMIN_TOKEN, ACME_API_KEY: 'acme-key-one' };
    const app = await startApp({ environment, moreProviders: [acme] });
    await app.chat('Hello', { model });
    const { text } = await usageOf(app, '?by=model&format=csv');
    expect(text.slice(text.indexOf('\r\n') + 2)).toBe(`${cell},1,1,1,0,0,0,0,0,,\r\n`);
  });

  it.each([
    ['?by=colour', 'by: Must be a list of day, client, key, model, separated by commas.'],
    ['?by=', 'by: Must be a list of day, client, key, model, separated by commas.'],
    ['?from=2026-02-30', 'from: Must be a day, such as 2026-11-01.'],
    ['?to=today', 'to: Must be a day, such as 2026-11-01.'],
    ['?from=2026-11-02&to=2026-11-01', 'from: Must not be after `to`.'],
    ['?format=xml', 'format: Must be json or csv.'],
    ['?form=csv', 'form: This field is unknown.'],
  ])('refuses %s', async (query, message) => {
    const app = await start();
    const { status, body } = await usageOf(app, query);
    expect([status, body.error.code]).toEqual([400, 'invalid_request']);
    expect(body.error.message).toContain(message);
  });
});

describe('an answer whose caller leaves', () => {
  const event = (text: string, tokens: number) => {
    const usageMetadata = { promptTokenCount: 7, candidatesTokenCount: tokens };
    const candidates = [{ content: { parts: [{ text }] } }];
    return `data: ${JSON.stringify({ candidates, usageMetadata })}\r\n\r\n`;
  };

  it.each([
    ['/api/chat', { message: 'Hi', stream: true }],
    [`/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`, { contents: [] }],
  ])('is counted as far as it came: %s', async (path, body) => {
    const upstream = await startRawUpstream(({ socket }) =>
      socket.write(
        Buffer.concat([
          Buffer.from(head(CHUNKED)),
          chunked([event('Hello', 2), event(' there', 5)]),
        ]),
      ),
    );
    const app = await startForPrograms(
      null,
      {},
      {
        environment: { ADMIN_TOKEN, GOOGLE_BASE_URL: upstream.url },
      },
    );
    const response = await fetch(app.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...as(CLIENT_TOKEN) },
      body: JSON.stringify(body),
    });
    const reader = response.body?.getReader();
    let text = '';
    while (!text.includes(' there')) text += Buffer.from((await reader?.read())?.value ?? []);
    await reader?.cancel();
    await vi.waitFor(async () =>
      expect((await usageOf(app)).body.totals).toMatchObject({
        requests: 1,
        answered: 0,
        attempts: 1,
        inputTokens: 7,
        outputTokens: 5,
      }),
    );
  });
});

describe("an answer in Gemini's own protocol", () => {
  const genai = ({ url }: App) =>
    new GoogleGenAI({ apiKey: CLIENT_TOKEN, httpOptions: { baseUrl: url } });
  const asked = {
    model: MODEL,
    contents: 'Hello there',
    config: { thinkingConfig: { includeThoughts: true } },
  };

  it('is counted as the client itself reads it, whole and streamed', async () => {
    const app = await start();
    const { usageMetadata } = await genai(app).models.generateContent(asked);
    const { promptTokenCount = 0, candidatesTokenCount = 0 } = usageMetadata ?? {};
    const { cachedContentTokenCount = 0, thoughtsTokenCount = 0 } = usageMetadata ?? {};
    const once = {
      inputTokens: promptTokenCount,
      outputTokens: candidatesTokenCount + thoughtsTokenCount,
      cachedTokens: cachedContentTokenCount,
      thoughtTokens: thoughtsTokenCount,
    };
    expect(Math.min(...Object.values(once))).toBeGreaterThan(0);
    expect(await rowsOf(app, 'client')).toMatchObject([{ client: 'client-1', ...once }]);
    const stream = await genai(app).models.generateContentStream(asked);
    for await (const _ of stream);
    const twice = Object.fromEntries(Object.entries(once).map(([name, one]) => [name, 2 * one]));
    expect(await rowsOf(app, 'client')).toMatchObject([{ client: 'client-1', ...twice }]);
    const { value } = await scrape(app);
    const labels = ['client="client-1"', `model="${MODEL}"`];
    expect(value('understudy_usage_requests_total', ...labels)).toBe(2);
    expect(value('understudy_usage_tokens_total', ...labels, 'kind="input"')).toBe(
      twice.inputTokens,
    );
    expect(value('understudy_usage_tokens_total', ...labels, 'kind="thoughts"')).toBe(
      twice.thoughtTokens,
    );
    expect(value('understudy_usage_cost_total', ...labels, 'currency="EUR"')).toBeCloseTo(
      (await usageOf(app)).body.totals.cost,
      5,
    );
    expect(value('gen_ai_client_token_usage_sum', 'gen_ai_token_type="output"')).toBe(
      twice.outputTokens,
    );
  });

  it('of embeddings is counted too', async () => {
    const app = await start();
    const model = 'gemini-embedding-2';
    await genai(app).models.embedContent({ model, contents: 'Hello there' });
    expect(await rowsOf(app, 'model')).toMatchObject([{ model, requests: 1, outputTokens: 0 }]);
    expect((await usageOf(app)).body.totals.inputTokens).toBeGreaterThan(0);
  });

  it('has no tokens where it names no usage: a count of tokens', async () => {
    const app = await start();
    await whileTimePasses(
      app.clock,
      genai(app).models.countTokens({ model: MODEL, contents: 'Hi' }),
    );
    expect((await usageOf(app)).body).toMatchObject({
      totals: { requests: 1, inputTokens: 0, cost: null },
      unpricedModels: [],
    });
  });
});
