import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { describe, expect, it, vi } from 'vitest';
import type { Limits } from '../../../standin/standin-key.ts';
import { ADMIN_TOKEN, AS_ADMIN, logIn } from '../../support/admin.ts';
import { type Answer, type App, flow, startApp } from '../../support/start-app.ts';
import { emptyFolder, openedStore } from '../../support/stores.ts';

const FLASH = 'gemini-flash-latest';
const LITE = 'gemini-flash-lite-latest';
const EMBEDDING = 'gemini-embedding-2';
const ENV_TOKEN = 'program-token-0123456789';

const start = (environment = {}, limits: Limits = {}) =>
  startApp({
    environment: {
      GOOGLE_API_KEY: 'g-one',
      GOOGLE_API_KEY_2: 'g-two',
      GOOGLE_MODELS: `${FLASH},${LITE}`,
      MODEL_ALIASES: `fast: ${LITE}`,
      ADMIN_TOKEN,
      ...environment,
    },
    standin: {
      answer: { chunks: 3, text: 'one two three' },
      keys: [
        { key: 'g-one', service: 'google', limits },
        { key: 'g-two', service: 'google', limits },
      ],
    },
  });

async function make(app: App, body: object): Promise<string> {
  const { status, body: made, text } = await app.post('/api/clients', body, AS_ADMIN);
  expect(status, text).toBe(201);
  return made.token;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

const complete = (app: App, token: string, model = FLASH): Promise<Answer> =>
  app.post(
    '/v1/chat/completions',
    { model, messages: [{ role: 'user', content: 'hello' }] },
    bearer(token),
  );

async function send(app: App, method: string, path: string, body: object, headers = AS_ADMIN) {
  const response = await fetch(`${app.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  return { status: response.status, body: (await response.json()) as any };
}

async function clientOf(app: App, name: string) {
  const { body } = await app.get('/api/clients', AS_ADMIN);
  return body.clients.find((client: { name: string }) => client.name === name);
}

const accessLines = (app: App) => app.logs.filter(({ msg }) => msg === 'request');

describe('a client made at run time', () => {
  it('can ask at once, is listed with what it has used, and its token is in no log, answer or store', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop', by: 'Ana', reason: 'new shop' });
    expect(token).toMatch(/^us-[\w-]{43}$/);
    expect((await complete(app, token)).status).toBe(200);
    expect((await complete(app, ENV_TOKEN)).status).toBe(401);
    const { body, text } = await app.get('/api/clients', AS_ADMIN);
    expect(body).toMatchObject({ storage: 'memory', lasts: false });
    expect(body.clients).toEqual([
      {
        name: 'shop',
        models: null,
        routes: null,
        requestsPerMinute: null,
        tokensPerMinute: null,
        requestsPerDay: null,
        tokensPerDay: null,
        weight: 1,
        origin: 'added',
        createdAt: '2026-11-24T18:00:00.000Z',
        lastUsedAt: '2026-11-24T18:00:00.000Z',
        used: { requestsMinute: 1, tokensMinute: 6, requestsDay: 1, tokensDay: 6 },
        refused: 0,
      },
    ]);
    expect(accessLines(app)).toContainEqual(expect.objectContaining({ client: 'shop' }));
    expect(app.logs.find(({ msg }) => msg === 'operator')).toMatchObject({
      level: 40,
      client: 'shop',
      action: 'make',
      who: 'Ana',
      why: 'new shop',
    });
    const { text: metrics } = await app.get('/metrics', AS_ADMIN);
    expect(metrics).toContain(
      'understudy_usage_requests_total{client="shop",model="gemini-flash-latest"} 1',
    );
    // Pasted by mistake into what is logged.
    await send(app, 'PATCH', '/api/clients/shop', { weight: 2, reason: `was ${token}` });
    expect(app.logs.findLast(({ msg }) => msg === 'operator')?.why).toBe('was [redacted]');
    for (const seen of [text, app.logText(), metrics]) expect(seen).not.toContain(token.slice(3));
  });

  it('is one beside those of CLIENT_TOKENS, which only that setting changes', async () => {
    const app = await start({ CLIENT_TOKENS: ENV_TOKEN });
    const cookie = await logIn(app, 'Ben');
    await make(app, { name: 'a-shop' });
    const { body } = await app.get('/api/clients', AS_ADMIN);
    const names = body.clients.map(({ name, origin }: Record<string, string>) => [name, origin]);
    expect(names).toEqual([
      ['client-1', 'environment'],
      ['a-shop', 'added'],
    ]);
    expect((await complete(app, ENV_TOKEN)).status).toBe(200);
    const fixed = await send(app, 'PATCH', '/api/clients/client-1', { weight: 2 });
    expect([fixed.status, fixed.body.error.code]).toEqual([409, 'conflict']);
    const taken = await app.post('/api/clients', { name: 'a-shop' }, cookie);
    expect([taken.status, taken.body.error.code]).toEqual([409, 'conflict']);
    expect((await send(app, 'DELETE', '/api/clients/nobody', {})).status).toBe(404);
  });

  it.each<[object, string, RegExp?]>([
    [{ name: 'Shop' }, 'name'],
    [{ name: 'web' }, 'name'],
    [{ name: 'client-7' }, 'name'],
    [{ name: '..' }, 'name'],
    [{ name: 'shop', models: ['no-such-model'] }, 'models.0'],
    [{ name: 'shop', models: [] }, 'models'],
    [{ name: 'shop', routes: ['admin'] }, 'routes.0'],
    [{ name: 'shop', requestsPerMinute: 0 }, 'requestsPerMinute'],
    [{ name: 'shop', tokensPerDay: 1.5 }, 'tokensPerDay', /^Must be a whole number\.$/],
    [{ name: 'shop', weight: 101 }, 'weight'],
    [{ name: 'shop', requestsPerMinute: 1e30 }, 'requestsPerMinute', /at most 1000000000000\./],
    [{ name: 'shop', requestPerMinute: 1 }, 'requestPerMinute'],
  ])('a faulty request is refused by the name of its field: %o', async (body, path, says = /./) => {
    const app = await start();
    const { status, body: answer } = await app.post('/api/clients', body, AS_ADMIN);
    expect(status).toBe(400);
    expect(answer.error.details).toEqual([{ path, message: expect.stringMatching(says) }]);
  });

  it('a revoked token is refused at the next request, also at the open chat, which ignores foreign tokens', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop' });
    const chat = (given: string) => app.post('/api/chat', { message: 'hello' }, bearer(given));
    expect((await chat(token)).status).toBe(200);
    expect((await clientOf(app, 'shop')).used.requestsDay).toBe(1);
    expect((await chat('sk-of-somebody-else')).status).toBe(200);
    expect((await send(app, 'DELETE', '/api/clients/shop', { by: 'Ana' })).status).toBe(200);
    expect((await complete(app, token)).status).toBe(401);
    expect((await chat(token)).status).toBe(401);
    expect(await clientOf(app, 'shop')).toBeUndefined();
    // Made again, it begins anew.
    await make(app, { name: 'shop' });
    expect((await clientOf(app, 'shop')).used.requestsDay).toBe(0);
  });

  it('one that is revoked while its request arrives is refused, not served without its limits', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop', models: ['fast'] });
    const body = JSON.stringify({ message: 'hello', model: FLASH });
    const request = httpRequest(`${app.url}/api/chat`, {
      method: 'POST',
      headers: {
        ...{ 'content-type': 'application/json', 'content-length': body.length },
        ...{ ...bearer(token), expect: '100-continue' },
      },
    });
    request.flushHeaders();
    await once(request, 'continue');
    expect((await send(app, 'DELETE', '/api/clients/shop', {})).status).toBe(200);
    request.end(body);
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(401);
    expect(app.standin.calls).toEqual([]);
  });

  it('takes every one of many changes at the same time, and one of many makers of its name', async () => {
    const app = await start({ DATA_DIR: await emptyFolder() });
    const made = Array.from({ length: 5 }, () =>
      app.post('/api/clients', { name: 'shop' }, AS_ADMIN),
    );
    const statuses = (await Promise.all(made)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([201, 409, 409, 409, 409]);
    const limits = Array.from({ length: 20 }, (_, index) => index + 1);
    const changes = await Promise.all([
      ...limits.map((rpm) => send(app, 'PATCH', '/api/clients/shop', { requestsPerMinute: rpm })),
      send(app, 'PATCH', '/api/clients/shop', { weight: 7 }),
    ]);
    expect(changes.map(({ status }) => status)).toEqual(changes.map(() => 200));
    expect(await clientOf(app, 'shop')).toMatchObject({ weight: 7 });
  });

  it('where the store must not be written it is refused, and the answer says why', async () => {
    const dataDir = await emptyFolder();
    const app = await start({ DATA_DIR: dataDir });
    const newer = await openedStore({ dataDir });
    await newer.write('meta', [{ name: 'format', text: '2' }]);
    await vi.waitFor(async () => {
      app.clock.advance(1000);
      const { body } = await app.get('/api/overview', AS_ADMIN);
      expect(body.verdict.situations[0].kind).toBe('store_down');
    });
    const { status, body } = await app.post('/api/clients', { name: 'shop' }, AS_ADMIN);
    expect([status, body.error.code]).toEqual([503, 'store_unavailable']);
    expect(body.error.message).toContain('was written by a newer version');
  });

  it('a rotation ends the old token at once, or after its grace', async () => {
    const app = await start();
    const first = await make(app, { name: 'shop' });
    const rotate = async (body: object) =>
      (await send(app, 'POST', '/api/clients/shop/rotate', body)).body.token as string;
    const second = await rotate({});
    expect((await complete(app, first)).status).toBe(401);
    const third = await rotate({ graceSeconds: 60 });
    app.clock.advance(59_999);
    expect((await complete(app, second)).status).toBe(200);
    app.clock.advance(1);
    expect((await complete(app, second)).status).toBe(401);
    expect((await complete(app, third)).status).toBe(200);
  });
});

describe('what a client may use', () => {
  it('other models are refused with those that it may ask for, and are in no list', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop', models: ['fast'] });
    const { status, body } = await complete(app, token);
    expect([status, body.error.code]).toEqual([404, 'model_not_found']);
    expect(body.error.message).toBe('This client may not use this model. Ask for one of: fast.');
    expect((await complete(app, token, LITE)).status).toBe(200);
    expect((await complete(app, token, 'fast')).status).toBe(200);
    // Without a name the first model that it may use answers.
    const chat = await app.post('/api/chat', { message: 'hello' }, bearer(token));
    expect(chat.body.model).toBe(LITE);
    const openai = await app.get('/v1/models', bearer(token));
    expect(openai.body.data.map(({ id }: { id: string }) => id)).toEqual([LITE, 'fast']);
    expect((await app.get(`/v1/models/${FLASH}`, bearer(token))).status).toBe(404);
    const anthropic = new Anthropic({ apiKey: token, baseURL: app.url, maxRetries: 0 });
    const gemini = new GoogleGenAI({ apiKey: token, httpOptions: { baseUrl: app.url } });
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const counted = (model: string) => [
      anthropic.messages.countTokens({ model, messages }),
      gemini.models.countTokens({ model, contents: 'hello' }),
    ];
    const message = expect.stringContaining('may not use this model. Ask for one of: fast.');
    for (const refused of await Promise.allSettled<unknown>(counted(FLASH))) {
      expect(refused).toMatchObject({ status: 'rejected', reason: { status: 404, message } });
    }
    await Promise.all([...counted(LITE), ...counted('fast')]);
    const names: (string | undefined)[] = [];
    for await (const { name } of await gemini.models.list()) names.push(name);
    expect(names).toEqual([`models/${LITE}`, 'models/fast']);
    // Nothing was asked of a provider for the refused ones.
    expect(app.standin.calls).toHaveLength(7);
  });

  it('other routes are refused with 403 in the form of each protocol', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop', routes: ['openai'] });
    expect((await complete(app, token)).status).toBe(200);
    const embeddings = await app.post(
      '/v1/embeddings',
      { model: EMBEDDING, input: 'x' },
      bearer(token),
    );
    expect(embeddings).toMatchObject({
      status: 403,
      body: { error: { type: 'invalid_request_error', code: 'forbidden' } },
    });
    const anthropic = new Anthropic({ apiKey: token, baseURL: app.url, maxRetries: 0 });
    const message = { model: FLASH, max_tokens: 9, messages: [{ role: 'user', content: 'x' }] };
    await expect(anthropic.messages.create(message as never)).rejects.toMatchObject({
      status: 403,
      type: 'permission_error',
    });
    const gemini = await app.post(
      `/v1beta/models/${FLASH}:generateContent`,
      { contents: [{ role: 'user', parts: [{ text: 'x' }] }] },
      { 'x-goog-api-key': token },
    );
    expect(gemini).toMatchObject({ status: 403, body: { error: { status: 'PERMISSION_DENIED' } } });
    const chat = await app.post('/api/chat', { message: 'hello' }, bearer(token));
    expect(chat).toMatchObject({ status: 403, body: { error: { code: 'forbidden' } } });
    expect(chat.body.error.message).toBe(
      'This client may not use the routes for "chat". It may use: openai.',
    );
    const live = await app.post('/api/live/token', {}, bearer(token));
    expect(live.status).toBe(403);
  });
});

describe('the budget of a client', () => {
  it('a spent minute is refused in the form of each protocol until the minute ends', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop', requestsPerMinute: 2 });
    app.clock.advance(45_000);
    for (const _ of [1, 2]) expect((await complete(app, token)).status).toBe(200);
    const sentence = 'This client has used its 2 requests of this minute. Try again in 15 seconds.';
    const openai = new OpenAI({ apiKey: token, baseURL: `${app.url}/v1`, maxRetries: 0 });
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const refusal = await openai.chat.completions
      .create({ model: FLASH, messages })
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(OpenAI.RateLimitError);
    expect(refusal).toMatchObject({ code: 'rate_limited', type: 'rate_limit_error' });
    expect(String(refusal)).toContain(sentence);
    expect((refusal as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe(
      '15',
    );
    const anthropic = new Anthropic({ apiKey: token, baseURL: app.url, maxRetries: 0 });
    await expect(
      anthropic.messages.create({ model: FLASH, max_tokens: 9, messages }),
    ).rejects.toMatchObject({ status: 429, type: 'rate_limit_error' });
    const gemini = new GoogleGenAI({ apiKey: token, httpOptions: { baseUrl: app.url } });
    const asked = gemini.models.generateContent({ model: FLASH, contents: 'hello' });
    await expect(asked).rejects.toMatchObject({
      status: 429,
      message: expect.stringMatching(/RESOURCE_EXHAUSTED.*"retryDelay":"15s"/),
    });
    const chat = await app.post('/api/chat', { message: 'hello' }, bearer(token));
    expect(chat).toMatchObject({
      status: 429,
      body: { error: { code: 'rate_limited', message: sentence, retryAfterSeconds: 15 } },
    });
    // A request without a token is no request of this client.
    expect((await app.chat('hello')).status).toBe(200);
    expect(accessLines(app).at(-2)).toMatchObject({
      client: 'shop',
      code: 'rate_limited',
      limit: 'requests_per_minute',
      status: 429,
    });
    expect(await clientOf(app, 'shop')).toMatchObject({ refused: 4 });
    const { body } = await app.get('/api/overview', AS_ADMIN);
    expect(body.minutes.at(-1)).toMatchObject({ overBudget: 4, requests: 3 });
    const { text } = await app.get('/metrics', AS_ADMIN);
    expect(text).toContain(
      'understudy_client_refusals_total{client="shop",limit="requests_per_minute"} 4',
    );
    app.clock.advance(14_999);
    expect((await complete(app, token)).status).toBe(429);
    app.clock.advance(1);
    expect((await complete(app, token)).status).toBe(200);
  });

  it('tokens count at the end of a request, and the day is that of UTC', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop', tokensPerDay: 10 });
    // Six tokens each: the second begins with four left.
    for (const _ of [1, 2]) expect((await complete(app, token)).status).toBe(200);
    const { status, headers, body } = await complete(app, token);
    expect(status).toBe(429);
    expect(body.error.message).toBe(
      'This client has used its 10 tokens of this day. Try again in 6 hours.',
    );
    expect(headers.get('x-should-retry')).toBe('false');
    app.clock.advance(120_000);
    expect((await app.get('/api/overview', AS_ADMIN)).body.verdict.situations).toMatchObject([
      { client: 'shop', look: 'wait', until: '2026-11-25T00:00:00.000Z' },
    ]);
    app.clock.advance(60_500);
    const later = await complete(app, token);
    expect(later.body.error.message).toMatch(/Try again in 5 hours 57 minutes\.$/);
    // Counting tokens needs no quota.
    const counted = await app.post(
      '/v1/messages/count_tokens',
      { model: FLASH, messages: [{ role: 'user', content: 'hello' }] },
      bearer(token),
    );
    expect(counted.status).toBe(200);
    const changed = await send(app, 'PATCH', '/api/clients/shop', { tokensPerDay: 15 });
    expect(changed.body.client).toMatchObject({ tokensPerDay: 15, used: { tokensDay: 12 } });
    expect((await complete(app, token)).status).toBe(200);
    expect((await complete(app, token)).status).toBe(429);
    app.clock.advance(6 * 3_600_000);
    expect((await complete(app, token)).status).toBe(200);
  });

  it('is not used up by requests that the server refuses for lack of keys', async () => {
    const app = await start({ KEY_WAIT_SECONDS: '0' }, { rpm: 1 });
    const token = await make(app, { name: 'shop', requestsPerDay: 3 });
    const statuses = [];
    for (let asked = 0; asked < 6; asked += 1) statuses.push((await complete(app, token)).status);
    expect(statuses).toEqual([200, 200, 503, 503, 503, 503]);
    expect((await clientOf(app, 'shop')).used).toMatchObject({ requestsMinute: 2, requestsDay: 2 });
    app.clock.advance(60_000);
    expect((await complete(app, token)).status).toBe(200);
    expect((await complete(app, token)).status).toBe(429);
  });

  it('are no trouble any more once the client is revoked', async () => {
    const app = await start();
    const token = await make(app, { name: 'shop', requestsPerDay: 1 });
    for (const status of [200, 429]) expect((await complete(app, token)).status).toBe(status);
    const kinds = async () => {
      app.clock.advance(1000);
      const { body } = await app.get('/api/overview', AS_ADMIN);
      return body.verdict.situations.map(({ kind }: { kind: string }) => kind);
    };
    expect(await kinds()).toEqual(['client_limit']);
    await send(app, 'DELETE', '/api/clients/shop', {});
    expect(await kinds()).toEqual(['all_well']);
  });
});

describe('the shares of a scarce model', () => {
  it('one greedy client never takes what another is guaranteed, and is refused for its share alone', async () => {
    // Two projects with ten requests a minute each.
    const app = await start(
      { GOOGLE_LIMITS: `${FLASH}: 10 rpm`, KEY_WAIT_SECONDS: '0' },
      { rpm: 10 },
    );
    const greedy = await make(app, { name: 'greedy' });
    const other = await make(app, { name: 'other-shop', weight: 3 });
    const statuses = async (token: string, count: number) => {
      const found: number[] = [];
      for (let sent = 0; sent < count; sent += 1) {
        found.push((await flow(app.clock, complete(app, token), 0)).status);
      }
      return found;
    };
    const ok = (found: readonly number[]) => found.filter((status) => status === 200).length;
    // Alone it may take everything.
    expect(ok(await statuses(greedy, 19))).toBe(19);
    expect(ok(await statuses(other, 20))).toBe(1);
    app.clock.advance(60_000);
    // By now both want all of it: a quarter and three quarters.
    const all = await statuses(greedy, 19);
    expect(ok(all)).toBe(5);
    expect(new Set(all)).toEqual(new Set([200, 429]));
    expect(accessLines(app).at(-1)).toMatchObject({ client: 'greedy', limit: 'share' });
    expect(ok(await statuses(other, 20))).toBe(15);
    app.clock.advance(120_000);
    // The other has not asked for a minute.
    expect(ok(await statuses(greedy, 20))).toBe(20);
  });
});

describe('the wait queue', () => {
  it('admits one request of another client after the first of a greedy one, by weight', async () => {
    const app = await start({ GOOGLE_API_KEY_2: '' });
    const greedy = await make(app, { name: 'greedy' });
    const other = await make(app, { name: 'other-shop', weight: 2 });
    const arrived = (name: string, count: number) =>
      vi.waitFor(async () => {
        expect((await clientOf(app, name)).used.requestsMinute).toBe(count);
      });
    app.standin.setFault('g-one', { kind: 'minute_spent', retryAfterMs: 3000 });
    const asked = Array.from({ length: 9 }, () => complete(app, greedy));
    await arrived('greedy', 9);
    asked.push(...Array.from({ length: 3 }, () => complete(app, other)));
    await arrived('other-shop', 3);
    await vi.waitFor(async () => expect((await app.counts()).cooling_down).toBe(1));
    app.standin.setFault('g-one', { kind: 'slow', ms: 500 });
    const answers = await flow(app.clock, Promise.all(asked));
    expect(answers.map(({ status }) => status)).toEqual(Array(12).fill(200));
    const served = accessLines(app).flatMap(({ path, client }) =>
      path === '/v1/chat/completions' ? [client] : [],
    );
    // The first answer admits two, each of these two more.
    expect(served[0]).toBe('greedy');
    expect(served.slice(1, 3)).toEqual(['other-shop', 'other-shop']);
    expect(served.slice(3, 7).filter((client) => client === 'other-shop')).toHaveLength(1);
  });
});

describe('without tokens', () => {
  it('the routes for programs exist where clients can be made, and only there', async () => {
    const app = await start();
    expect((await app.get('/v1/models', bearer('nothing-known'))).status).toBe(401);
    const closed = await startApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
    expect((await closed.get('/v1/models', bearer('nothing-known'))).status).toBe(404);
    expect((await closed.get('/api/clients', AS_ADMIN)).status).toBe(404);
  });
});
