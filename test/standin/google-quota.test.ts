import { expect, test } from 'vitest';
import type { Limits } from '../../standin/standin.ts';
import { type Ask, ask, type Json, read, withStandin } from './with-standin.ts';

const NOON = Date.UTC(2026, 10, 2, 12);

const limitedTo = (limits: Limits) => ({ key: 'g1', service: 'google', limits }) as const;

const detail = (body: Json, type: string): Json =>
  body.error.details.find((one: Json) => one['@type'].endsWith(type));

test('a spent minute is refused until second 00 of the next, and the delay is honest', async () => {
  const { standin, clock } = await withStandin({ keys: [limitedTo({ rpm: 1 })] }, NOON + 14_190);
  expect((await ask(standin)).status).toBe(200);
  const { status, body } = await read(ask(standin));
  expect(status).toBe(429);
  expect(body.error).toMatchObject({ code: 429, status: 'RESOURCE_EXHAUSTED' });
  expect(body.error.message).toMatch(
    /limit: 1, model: gemini-flash-latest\nPlease retry in 45.81s.$/,
  );
  expect(detail(body, 'RetryInfo').retryDelay).toBe('45s');
  expect(detail(body, 'QuotaFailure').violations).toEqual([
    {
      quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests',
      quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
      quotaDimensions: { location: 'global', model: 'gemini-flash-latest' },
      quotaValue: '1',
    },
  ]);
  expect(detail(body, 'Help').links).toHaveLength(1);
  clock.set(NOON + 59_999);
  const last = await read(ask(standin));
  expect(last.body.error.message).toContain('Please retry in 1ms.');
  expect(detail(last.body, 'RetryInfo').retryDelay).toBe('0s');
  clock.advance(1);
  expect((await ask(standin)).status).toBe(200);
});

test('a spent day is refused until midnight in Los Angeles, and the delay is too short', async () => {
  const { standin, clock } = await withStandin({ keys: [limitedTo({ rpd: 1 })] }, NOON + 36_000);
  expect((await ask(standin)).status).toBe(200);
  const { status, body } = await read(ask(standin));
  expect(status).toBe(429);
  const [violation] = detail(body, 'QuotaFailure').violations;
  expect(violation.quotaId).toBe('GenerateRequestsPerDayPerProjectPerModel-FreeTier');
  const retrySeconds = Number.parseInt(detail(body, 'RetryInfo').retryDelay, 10);
  expect(retrySeconds).toBeLessThanOrEqual(41);
  clock.advance(retrySeconds * 1_000);
  expect((await ask(standin)).status).toBe(429);
  clock.set(Date.UTC(2026, 10, 3, 8) - 1);
  expect((await ask(standin)).status).toBe(429);
  clock.advance(1);
  expect((await ask(standin)).status).toBe(200);
});

test('input tokens a minute are counted as a quarter of the characters, rounded up', async () => {
  const { standin, clock } = await withStandin({ keys: [limitedTo({ tpm: 10 })] });
  expect((await ask(standin, { said: 'x'.repeat(21) })).status).toBe(200);
  const { status, body } = await read(ask(standin, { said: 'x'.repeat(17) }));
  expect(status).toBe(429);
  const [violation] = detail(body, 'QuotaFailure').violations;
  expect(violation).toMatchObject({
    quotaId: 'GenerateContentInputTokensPerModelPerMinute-FreeTier',
    quotaValue: '10',
  });
  expect((await ask(standin, { said: 'x'.repeat(16) })).status).toBe(200);
  clock.advance(60_000);
  expect((await ask(standin, { said: 'x'.repeat(40) })).status).toBe(200);
});

test('minute and day spent together are both named, and the delay is too short', async () => {
  const { standin } = await withStandin({ keys: [limitedTo({ rpm: 1, rpd: 1 })] });
  await ask(standin);
  const { body } = await read(ask(standin));
  const ids = detail(body, 'QuotaFailure').violations.map(
    (one: { quotaId: string }) => one.quotaId,
  );
  expect(ids.map((id: string) => /Per(Day|Minute)/.exec(id)?.[1])).toEqual(['Day', 'Minute']);
  expect(detail(body, 'RetryInfo').retryDelay).toBe(`${(NOON / 1_000) % 42}s`);
});

test('a limit of 0 is no quota at all: a violation without a value', async () => {
  const { standin } = await withStandin({ keys: [limitedTo({ rpm: 0 })] });
  const { status, body } = await read(ask(standin));
  expect(status).toBe(429);
  expect(body.error.message).toContain('limit: 0, model: gemini-flash-latest');
  expect(detail(body, 'QuotaFailure').violations[0]).not.toHaveProperty('quotaValue');
});

test('keys of one project share a quota, and each model has its own', async () => {
  const project = { project: 'shared', limits: { rpm: 1 } };
  const { standin } = await withStandin({
    keys: [
      { key: 'g1', service: 'google', ...project },
      { key: 'g2', service: 'google', ...project },
      { key: 'g3', service: 'google', limits: { rpm: 1 } },
    ],
  });
  const statusOf = async (asked: Ask) => (await ask(standin, asked)).status;
  expect(await statusOf({ key: 'g1' })).toBe(200);
  expect(await statusOf({ key: 'g2' })).toBe(429);
  expect(await statusOf({ key: 'g2', model: 'gemini-pro-latest' })).toBe(200);
  expect(await statusOf({ key: 'g3' })).toBe(200);
});

test('a model’s own limits stand in for the key’s', async () => {
  const key = { ...limitedTo({ rpm: 1 }), modelLimits: { 'gemini-pro-latest': { rpm: 2 } } };
  const { standin } = await withStandin({ keys: [key] });
  const statuses: number[] = [];
  for (let call = 0; call < 3; call += 1) {
    statuses.push((await ask(standin, { model: 'gemini-pro-latest' })).status);
  }
  expect(statuses).toEqual([200, 200, 429]);
});

test('refused requests count against nothing', async () => {
  const { standin, clock } = await withStandin({ keys: [limitedTo({ rpm: 1, rpd: 2 })] });
  for (let call = 0; call < 5; call += 1) await ask(standin);
  clock.advance(60_000);
  expect((await ask(standin)).status).toBe(200);
});

test('at speed 60 a minute lasts a second, and the delay shrinks with it', async () => {
  const { standin, clock } = await withStandin(
    { keys: [limitedTo({ rpm: 1 })], speed: 60 },
    NOON + 250,
  );
  await ask(standin);
  const { body } = await read(ask(standin));
  expect(body.error.message).toContain('Please retry in 750ms.');
  expect(detail(body, 'RetryInfo').retryDelay).toBe('0.75s');
  clock.advance(749);
  expect((await ask(standin)).status).toBe(429);
  clock.advance(1);
  expect((await ask(standin)).status).toBe(200);
});

test('at speed 86,400 a day lasts a second', async () => {
  const { standin, clock } = await withStandin(
    { keys: [limitedTo({ rpd: 1 })], speed: 86_400 },
    NOON,
  );
  await ask(standin);
  clock.advance(999);
  expect((await ask(standin)).status).toBe(429);
  clock.advance(1);
  expect((await ask(standin)).status).toBe(200);
});

test('each text of a batch counts against a quota of embeddings, apart from that of chats', async () => {
  const { standin, clock } = await withStandin({ keys: [limitedTo({ rpm: 3, rpd: 5 })] }, NOON);
  const embed = (...texts: readonly string[]) =>
    read(
      fetch(`${standin.url}/v1beta/models/gemini-embedding-001:batchEmbedContents`, {
        method: 'POST',
        headers: { 'x-goog-api-key': 'g1', 'content-type': 'application/json' },
        body: JSON.stringify({
          requests: texts.map((text) => ({
            model: 'models/gemini-embedding-001',
            content: { parts: [{ text }] },
          })),
        }),
      }),
    );
  expect((await embed('a', 'b')).body.embeddings).toHaveLength(2);
  const { status, body } = await embed('a', 'b');
  expect([status, detail(body, 'QuotaFailure').violations]).toEqual([
    429,
    [
      {
        quotaMetric: 'generativelanguage.googleapis.com/embed_content_free_tier_requests',
        quotaId: 'EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier',
        quotaDimensions: { location: 'global', model: 'gemini-embedding-001' },
        quotaValue: '3',
      },
    ],
  ]);
  expect((await embed('a')).status).toBe(200);
  expect((await ask(standin)).status).toBe(200);
  clock.advance(60_000);
  expect((await embed('a', 'b')).status).toBe(200);
  const spent = await embed('a');
  expect(detail(spent.body, 'QuotaFailure').violations[0].quotaId).toMatch(/PerDay/);
});
