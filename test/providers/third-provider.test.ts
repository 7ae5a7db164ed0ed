import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { afterEach, expect, it } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { startReport } from '../../src/config/start-report.ts';
import {
  describeFailure,
  rateLimited,
  readRetryAfterMs,
} from '../../src/providers/failure-rules.ts';
import { asyncClient, type Provider } from '../../src/providers/provider.ts';
import { PROVIDERS } from '../../src/server.ts';
import type { ChatTurn } from '../../src/shared/chat.ts';
import { UpstreamError } from '../../src/shared/failure.ts';
import { modelTarget } from '../../src/shared/target.ts';
import { ADMIN_TOKEN, AS_ADMIN, scrape } from '../support/scrape.ts';
import { type Setting, startApp } from '../support/start-app.ts';

/** A provider that Understudy does not know, with OpenAI's protocol: all that it takes is this record. */
const acme = (baseUrl: string): Provider => ({
  name: 'acme',
  prefix: 'ACME',
  metricName: 'acme.chat',
  exhaustedMessage: 'Acme is busy.',
  withoutKeys: 'no key. Set ACME_API_KEY.',
  createTargets: () => [modelTarget('acme', 'acme-1')],
  describeUse: () => 'answers with acme-1',
  createKeyCheck:
    (_settings, { dispatcher, redact }) =>
    async ({ secret }, signal) => {
      const { statusCode, body } = await request(`${baseUrl}/v1/models`, {
        dispatcher,
        signal,
        headers: { authorization: `Bearer ${secret.reveal()}` },
      });
      const text = await body.text();
      return statusCode === 200
        ? null
        : describeFailure({ kind: 'key_rejected' }, text, redact, statusCode);
    },
  createChat: (_settings, { dispatcher, redact, now }) =>
    asyncClient(async ({ messages }: ChatTurn, { key, target: { model }, signal, onChunk }) => {
      const { statusCode, headers, body } = await request(`${baseUrl}/v1/chat/completions`, {
        method: 'POST',
        dispatcher,
        signal,
        headers: { authorization: `Bearer ${key.secret.reveal()}` },
        body: JSON.stringify({ model, messages }),
      });
      const text = await body.text();
      if (statusCode === 429) {
        const finding = rateLimited(readRetryAfterMs(headers, now()));
        throw new UpstreamError(describeFailure(finding, text, redact, statusCode));
      }
      onChunk({ text: JSON.parse(text).choices[0].message.content });
      return { reason: 'stop', usage: USAGE };
    }),
});

const USAGE = {
  inputTokens: 1,
  outputTokens: 2,
  totalTokens: 3,
  cachedTokens: 0,
  thoughtTokens: 0,
};
const KEYS = { ACME_API_KEY: 'acme-key-one', ACME_API_KEY_2: 'acme-key-two' };
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Answers each key with its own name, and refuses those that are spent for half a minute. */
async function startAcme(environment: Record<string, string>, standin: Setting['standin'] = {}) {
  const spent = new Set<string>();
  const called: string[] = [];
  const server = createServer(({ headers }: IncomingMessage, response: ServerResponse) => {
    const key = String(headers.authorization).replace('Bearer ', '');
    called.push(key);
    if (spent.has(key)) response.writeHead(429, { 'retry-after': '30' }).end('slow down');
    else response.end(JSON.stringify({ choices: [{ message: { content: `I am ${key}` } }] }));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  closing.push(() => server.close());
  const provider = acme(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const app = await startApp({
    environment: { ADMIN_TOKEN, KEY_WAIT_SECONDS: '0', ...environment },
    moreProviders: [provider],
    standin,
  });
  const ask = (more: Record<string, unknown> = { model: 'acme-1' }) => app.chat('Who?', more);
  const counts = async () => (await app.get('/api/keys/status')).body.api_keys.acme;
  return { app, spent, called, ask, counts };
}

it('answers chats with its keys in turn', async () => {
  const { ask, called } = await startAcme(KEYS);
  const answers = [await ask(), await ask(), await ask()];
  expect(answers.map(({ status, body }) => [status, body.reply, body.model])).toEqual([
    [200, 'I am acme-key-one', 'acme-1'],
    [200, 'I am acme-key-two', 'acme-1'],
    [200, 'I am acme-key-one', 'acme-1'],
  ]);
  expect(called).toHaveLength(3);
});

it('parks a key at a 429 until the time that it names, while another steps in', async () => {
  const { app, ask, spent, called, counts } = await startAcme(KEYS);
  spent.add('acme-key-one');
  expect((await ask()).body.reply).toBe('I am acme-key-two');
  expect((await ask()).body.reply).toBe('I am acme-key-two');
  expect(called).toEqual(['acme-key-one', 'acme-key-two', 'acme-key-two']);
  expect(await counts()).toEqual({ total: 2, available: 1, cooling_down: 1, exhausted: 0 });
  app.clock.advance(30_000);
  expect(await counts()).toMatchObject({ available: 2 });
});

it('brings its own check of a key, with which a spent quota stays spent', async () => {
  const { app, ask, spent, called, counts } = await startAcme(KEYS);
  spent.add('acme-key-one');
  await ask();
  spent.clear();
  const { body } = await app.post('/api/keys/check', { service: 'acme' }, AS_ADMIN);
  expect(body.checks).toMatchObject([
    { id: 'acme', verdict: 'works' },
    { id: 'acme-2', verdict: 'works' },
  ]);
  expect(called.toSorted().slice(-2)).toEqual(['acme-key-two', 'acme-key-two']);
  expect(await counts()).toMatchObject({ available: 1, cooling_down: 1 });
});

it('refuses with its own sentence when every key is spent', async () => {
  const { ask, spent, app } = await startAcme(KEYS);
  for (const key of Object.values(KEYS)) spent.add(key);
  const { status, headers, body } = await ask();
  expect([status, headers.get('retry-after')]).toEqual([503, '30']);
  expect(body.error).toMatchObject({ code: 'all_keys_exhausted', message: 'Acme is busy.' });
  expect((await app.get('/api/keys/status')).body.status).toBe('degraded');
});

it('names the variable to set where it has no key', async () => {
  const { ask } = await startAcme({ GOOGLE_API_KEY: 'g-one' });
  expect((await ask()).body.error.message).toBe('No API keys available. Set ACME_API_KEY.');
});

it('steps in for Google where a request leaves the choice of the model open', async () => {
  const leaked = { key: 'g-one', service: 'google', fault: { kind: 'leaked' } } as const;
  const { ask } = await startAcme({ ...KEYS, GOOGLE_API_KEY: 'g-one' }, { keys: [leaked] });
  expect((await ask({})).body).toMatchObject({ reply: 'I am acme-key-one', model: 'acme-1' });
});

it('shows its keys in the reports of the operator, and in the metrics', async () => {
  const { app, ask, spent } = await startAcme(KEYS);
  spent.add('acme-key-one');
  await ask();
  const { keys } = (await app.get('/api/keys?service=acme', AS_ADMIN)).body;
  expect(keys).toMatchObject([
    { id: 'acme', service: 'acme', model: 'acme-1', state: 'cooling_down', cause: 'rate_limited' },
    { id: 'acme-2', service: 'acme', model: 'acme-1', state: 'available', successes: 1 },
  ]);
  const { services, latest } = (await app.get('/api/overview', AS_ADMIN)).body;
  expect(services.map(({ service }: { service: string }) => service)).toEqual([
    'google',
    'anam',
    'acme',
  ]);
  expect(services.at(-1).models).toMatchObject([
    { model: 'acme-1', total: 2, available: 1, cooling_down: 1 },
  ]);
  expect(latest[0]).toMatchObject({ service: 'acme', operation: 'chat', end: 'answered' });

  const { value } = await scrape(app);
  const acmes = ['service="acme"', 'model="acme-1"'];
  expect(value('understudy_keys', ...acmes, 'state="cooling_down"')).toBe(1);
  expect(value('understudy_attempts_total', ...acmes, 'outcome="rate_limited"')).toBe(1);
  const calls = 'gen_ai_client_operation_duration_seconds_count';
  expect(value(calls, 'gen_ai_provider_name="acme.chat"', 'gen_ai_operation_name="chat"')).toBe(2);
});

it('stands in the start report, and its variables are checked like all others', () => {
  const providers = [...PROVIDERS, acme('http://127.0.0.1:1')];
  const environment = { ...KEYS, ACME_API_KEY_02: 'acme-key-three' };
  expect(() => readConfig(environment, providers)).toThrow('the same number as ACME_API_KEY_2');
  expect(startReport(readConfig(KEYS, providers), providers)).toContain(
    'acme: 2 keys (acme, acme-2) in 2 projects; answers with acme-1.',
  );
  expect(startReport(readConfig({}, providers), providers)).toContain(
    'acme: no key. Set ACME_API_KEY.',
  );
});
