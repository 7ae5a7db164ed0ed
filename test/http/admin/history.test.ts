import { expect, it } from 'vitest';
import { history, overview, requestReport } from '../../../src/observability/reports.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { CLIENT_TOKEN, MODEL } from '../../support/programs.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';
import { writeToolsFile } from '../../support/tools-file.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2026, 10, 24, 18);
const TWO = { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };

const iso = (at: number) => new Date(at).toISOString();

async function historyOf(app: App, query = '') {
  const { status, body } = await app.get(`/api/history${query}`, AS_ADMIN);
  return { status, body, points: status === 200 ? history.parse(body).points : [] };
}

async function overviewOf(app: App) {
  app.clock.advance(1000);
  return overview.parse((await app.get('/api/overview', AS_ADMIN)).body);
}

async function requestWith(app: App, id: string) {
  const { status, body } = await app.get(`/api/requests/${id}`, AS_ADMIN);
  return status === 200 ? requestReport.parse(body.request) : status;
}

it('the last day is there in at most 360 points, and any part of it by the minute', async () => {
  const app = await startApp({ environment: TWO });
  await app.chat('early');
  app.clock.advance(23 * HOUR);
  await app.chat('late');
  await app.chat('late');
  const day = await historyOf(app);
  expect(day.body.stepSeconds).toBe(240);
  expect(day.points.length).toBeGreaterThan(350);
  expect(day.points.length).toBeLessThanOrEqual(360);
  const busy = day.points.filter(({ requests }) => requests > 0);
  expect(busy).toMatchObject([
    { at: iso(START), requests: 1, answered: 1 },
    { at: iso(START + 23 * HOUR), requests: 2, answered: 2 },
  ]);
  expect(busy[0]?.tokens).toBeGreaterThan(0);
  const part = await historyOf(
    app,
    `?from=${iso(START - MINUTE)}&to=${encodeURIComponent('2026-11-24T19:02:00.000+01:00')}`,
  );
  expect(part.body.stepSeconds).toBe(60);
  expect(part.points.map(({ at, requests }) => [at, requests])).toEqual([
    [iso(START - MINUTE), 0],
    [iso(START), 1],
    [iso(START + MINUTE), 0],
  ]);
  // What is a day old is forgotten, not shown as nothing.
  app.clock.advance(HOUR);
  const { points } = await historyOf(app, `?from=${iso(START)}`);
  expect(points[0]?.at).toBe(iso(START + 4 * MINUTE));
});

it.each([
  ['?from=yesterday', 'from'],
  [`?from=${iso(START)}&to=${iso(START)}`, 'from'],
  [`?from=${iso(START - 25 * HOUR)}&to=${iso(START)}`, 'from'],
  ['?to=2026-11-24', 'to'],
  ['?since=2026-11-24', 'since'],
])('a question such as %s is refused, and the field is named', async (query, field) => {
  const app = await startApp({ environment: TWO });
  const { status, body } = await historyOf(app, query);
  expect(status).toBe(400);
  expect(JSON.stringify(body.error.details)).toContain(field);
});

it('the totals are of the last hour', async () => {
  const app = await startApp({ environment: TWO, startMs: Date.UTC(2026, 10, 24, 23) });
  expect((await overviewOf(app)).totals).toEqual({
    ...{ minutes: 60, requests: 0, answered: 0, successPercent: null },
    ...{ p95FirstMs: null, tokensToday: 0, costToday: null, currency: null },
  });
  for (let i = 0; i < 2; i += 1) await app.chat('Hi');
  for (const key of ['g-one', 'g-two']) app.standin.setFault(key, { kind: 'leaked' });
  await app.chat('Hi');
  const { totals, instances } = await overviewOf(app);
  expect(totals).toMatchObject({ requests: 3, answered: 2, successPercent: 66.7 });
  expect(totals.p95FirstMs).not.toBeNull();
  expect(instances).toMatchObject([
    { isThis: true, redis: null, requests: 3, answered: 2, inFlight: 0, lagMs: null },
  ]);
  app.clock.advance(HOUR);
  const later = await overviewOf(app);
  expect(later.totals).toMatchObject({ requests: 0, successPercent: null });
  expect(later.failures).toEqual([]);
});

it('a group of failures leads to its requests after many successes, with all attempts and the client', async () => {
  const app = await startApp({ environment: { ...TWO, CLIENT_TOKENS: CLIENT_TOKEN } });
  const ask = (id: string) =>
    flow(
      app.clock,
      app.post(
        '/v1/chat/completions',
        { model: 'gemini-flash-latest', messages: [{ role: 'user', content: 'Hi' }] },
        { authorization: `Bearer ${CLIENT_TOKEN}`, 'x-request-id': id },
      ),
    );
  const badRequest = { code: 400, status: 'INVALID_ARGUMENT', message: 'Bad part.' };
  const fault = { kind: 'raw', status: 400, body: { error: badRequest } } as const;
  for (const key of ['g-one', 'g-two']) app.standin.setFault(key, fault);
  await ask('at-fault');
  for (const key of ['g-one', 'g-two']) app.standin.setFault(key, { kind: 'internal' });
  await ask('failed-1');
  await ask('failed-2');
  for (const key of ['g-one', 'g-two']) app.standin.setFault(key, null);
  for (let i = 0; i < 60; i += 1) await ask(`fine-${i}`);
  const { failures, latest, instances } = await overviewOf(app);
  expect(failures).toMatchObject([
    {
      ...{ code: 'upstream_failed', kind: null, service: 'google', count: 2 },
      ...{ clients: ['client-1'], requestIds: ['failed-2', 'failed-1'] },
    },
    { code: null, kind: 'request_fault', count: 1, requestIds: ['at-fault'] },
  ]);
  expect(latest.map(({ requestId }) => requestId)).not.toContain('failed-1');
  const trace = await requestWith(app, 'failed-1');
  expect(trace).toMatchObject({
    ...{ end: 'refused', code: 'upstream_failed', client: 'client-1' },
    instance: instances[0]?.id,
  });
  expect(typeof trace === 'object' && trace.attempts.length).toBeGreaterThan(1);
  expect(await requestWith(app, 'fine-59')).toMatchObject({ end: 'answered', client: 'client-1' });
  expect(await requestWith(app, 'fine-0')).toBe(404);
});

it('a request that was refused before it needed a key is not known, and the answer says where to look', async () => {
  const app = await startApp({ environment: { ...TWO, RATE_LIMIT_CHAT: '1' } });
  const ask = (message: string, id: string) =>
    app.post('/api/chat', { message }, { 'x-request-id': id });
  expect((await ask('', 'faulty')).status).toBe(400);
  expect((await ask('Hi', 'too-many')).status).toBe(429);
  for (const id of ['faulty', 'too-many']) {
    const { status, body } = await app.get(`/api/requests/${id}`, AS_ADMIN);
    expect([status, body.error.message]).toEqual([
      404,
      'This request is not known. It is older, or it was refused before it needed a key: the log has it under its requestId.',
    ]);
    expect(app.logs).toContainEqual(expect.objectContaining({ msg: 'request', requestId: id }));
  }
});

it('an answer costs what the usage says: its tokens, and the price of an answered request', async () => {
  const price = { input: 0.01, output: 0.04, request: 1e-6 };
  const PRICES = writeToolsFile({ currency: 'EUR', models: { [MODEL]: price } });
  const app = await startApp({ environment: { ...TWO, PRICES } });
  app.standin.setFault('g-one', { kind: 'leaked' });
  const { usage, requestId } = (await app.chat('Hi')).body;
  const cost = (usage.inputTokens * 0.01 + usage.outputTokens * 0.04) / 1e6 + 1e-6;
  const attempts = [
    { key: 'google', outcome: 'key_rejected', cost: null },
    { key: 'google-2', outcome: 'success', cost: expect.closeTo(cost, 9) },
  ];
  const trace = await requestWith(app, requestId);
  expect(trace).toMatchObject({ currency: 'EUR', cost: expect.closeTo(cost, 9), attempts });
  const { totals } = (await app.get('/api/usage', AS_ADMIN)).body;
  expect(trace).toMatchObject({ cost: totals.cost });
  // An answer without words is paid for too; no attempt succeeded.
  app.standin.setFault('g-two', { kind: 'blocked_answer', after: 0 });
  const { requestId: blocked } = (await app.chat('Hi')).body;
  expect(await requestWith(app, blocked)).toMatchObject({
    cost: expect.closeTo((usage.inputTokens * 0.01) / 1e6 + 1e-6, 9),
    attempts: [{ outcome: 'content_blocked' }],
  });
});

it.each([
  ['without PRICES', {}, null],
  [
    'of a model without a price',
    { PRICES: writeToolsFile({ currency: 'EUR', models: { other: { input: 1 } } }) },
    'EUR',
  ],
])('the cost of an answer %s is unknown', async (_, prices, currency) => {
  const app = await startApp({ environment: { ...TWO, ...prices } });
  const { requestId } = (await app.chat('Hi')).body;
  expect(await requestWith(app, requestId)).toMatchObject({
    ...{ currency, cost: null },
    attempts: [{ cost: null }],
  });
});
