import { createServer } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { type Collector, type ReceivedSpan, startCollector } from '../support/collector.ts';
import { type App, flow, type Setting, startApp } from '../support/start-app.ts';

afterEach(() => vi.unstubAllEnvs());

/** OpenTelemetry's SDK reads the process's environment itself. */
async function start(
  collector: Pick<Collector, 'url'>,
  { environment, ...setting }: Setting,
  variables: Record<string, string> = {},
): Promise<App> {
  const all = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '20',
    ...variables,
  };
  for (const [name, value] of Object.entries(all)) vi.stubEnv(name, value);
  return startApp({
    environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...environment },
    ...setting,
  });
}

const received = async (collector: Collector, count: number): Promise<readonly ReceivedSpan[]> => {
  await expect.poll(() => collector.spans.length).toBe(count);
  return collector.spans;
};

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const SECRET = 'AIzaSyFAKE-not-a-key-but-looks-like-1';
const TWO = { GOOGLE_API_KEY: SECRET, GOOGLE_API_KEY_2: 'g-two' };
const FIRST_LEAKED: NonNullable<Setting['standin']> = {
  keys: [
    { key: SECRET, service: 'google', fault: { kind: 'suspended' } },
    { key: 'g-two', service: 'google' },
  ],
};

it("a request's span belongs to the caller's trace, its attempts are below it, and each provider call continues its attempt", async () => {
  const collector = await startCollector();
  const app = await start(collector, { environment: TWO, standin: FIRST_LEAKED });
  const answer = await app.post(
    '/api/chat',
    { message: 'My secret is tangerine' },
    { traceparent: `00-${TRACE}-${PARENT}-01`, 'x-request-id': 'a-word-of-the-caller' },
  );
  expect(answer.status).toBe(200);
  const spans = await received(collector, 3);
  const request = spans.find(({ parentId }) => parentId === PARENT);
  const attempts = spans.filter(({ parentId }) => parentId === request?.spanId);
  expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
  expect(spans.map(({ name }) => name)).toEqual(Array(3).fill('chat gemini-flash-latest'));

  const common = {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'gcp.gemini',
    'gen_ai.request.model': 'gemini-flash-latest',
  };
  expect(attempts.map(({ kind, status, attributes }) => ({ kind, status, attributes }))).toEqual([
    {
      kind: 3,
      status: 2,
      attributes: {
        ...common,
        'understudy.key': 'google',
        'error.type': 'key_rejected',
        'http.response.status_code': 403,
      },
    },
    {
      kind: 3,
      status: 0,
      attributes: {
        ...common,
        'understudy.key': 'google-2',
        'gen_ai.response.model': 'gemini-flash-latest',
        'gen_ai.response.time_to_first_chunk': expect.any(Number),
        'gen_ai.usage.input_tokens': answer.body.usage.inputTokens,
        'gen_ai.usage.output_tokens': answer.body.usage.outputTokens,
        'gen_ai.usage.cache_read.input_tokens': 0,
        'gen_ai.usage.reasoning.output_tokens': 0,
      },
    },
  ]);
  expect(request).toMatchObject({
    kind: 2,
    status: 0,
    start: app.clock.now(),
    attributes: {
      ...common,
      'understudy.key': 'google-2',
      'understudy.attempts': 2,
      'understudy.failovers': 1,
      'gen_ai.usage.input_tokens': answer.body.usage.inputTokens,
    },
  });
  expect(app.standin.calls.map(({ traceparent }) => traceparent)).toEqual(
    attempts.map(({ spanId }) => `00-${TRACE}-${spanId}-01`),
  );
  expect(app.logs.find(({ msg }) => msg === 'request')?.traceId).toBe(TRACE);
  expect(collector.resource).toMatchObject({ 'service.name': 'understudy' });
  expect(collector.bytes()).not.toMatch(/tangerine|AIza|g-two|a-word-of|suspended/);
});

it('a trace that the caller does not sample is passed on and not exported; a malformed one is replaced', async () => {
  const collector = await startCollector();
  const app = await start(collector, { environment: { GOOGLE_API_KEY: 'g-one' } });
  const ask = (traceparent: string) => app.post('/api/chat', { message: 'Hi' }, { traceparent });
  await ask(`00-${TRACE}-${PARENT}-00`);
  await ask(`00-${'0'.repeat(32)}-${PARENT}-01`);
  await ask('of all things');
  const spans = await received(collector, 4);
  expect(spans.filter(({ parentId }) => parentId === '')).toHaveLength(2);
  expect(spans.map(({ traceId }) => traceId)).not.toContain(TRACE);
  const [first, second] = app.standin.calls.map(({ traceparent }) => traceparent);
  expect(first).toMatch(new RegExp(`^00-${TRACE}-[\\da-f]{16}-00$`));
  expect(second).toMatch(/^00-[\da-f]{32}-[\da-f]{16}-01$/);
});

it('avatars, embeddings and the protocols of programs continue the trace too', async () => {
  const collector = await startCollector();
  const program = { authorization: 'Bearer program-token-0123456789' };
  const app = await start(collector, {
    environment: {
      GOOGLE_API_KEY: 'g-one',
      ANAM_API_KEY: 'a-one',
      CLIENT_TOKENS: 'program-token-0123456789',
      GOOGLE_LIVE_MODEL: 'gemini-live',
    },
  });
  const { sessionToken } = (await app.post('/api/session-token', {})).body;
  await app.post('/api/anam/v1/engine/session', {}, { authorization: `Bearer ${sessionToken}` });
  await app.post('/v1/embeddings', { model: 'gemini-embedding-2', input: 'Hi' }, program);
  await app.post('/v1beta/models/gemini-flash-latest:generateContent', GEMINI, program);
  await app.post('/api/live/token', {});
  const spans = await received(collector, 10);
  const attempts = spans.filter(({ kind }) => kind === 3);
  expect(attempts.map(({ name }) => name)).toEqual([
    'session_token',
    'session_start',
    'embeddings gemini-embedding-2',
    'generate_content gemini-flash-latest',
    'live_token gemini-live',
  ]);
  expect(app.standin.calls.map(({ traceparent = '' }) => traceparent.split('-')[2])).toEqual(
    attempts.map(({ spanId }) => spanId),
  );
  expect(attempts[3]?.attributes).toMatchObject({ 'gen_ai.operation.name': 'generate_content' });
});

const GEMINI = { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] };

it('a refused request says why, and the variables of the SDK are obeyed', async () => {
  const collector = await startCollector();
  const environment = { GOOGLE_API_KEY: SECRET, KEY_WAIT_SECONDS: '0' };
  const app = await start(
    collector,
    { environment, standin: FIRST_LEAKED },
    {
      OTEL_SERVICE_NAME: 'chat-of-the-shop',
      OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=shop',
    },
  );
  expect((await app.chat('Hi')).status).toBe(503);
  const spans = await received(collector, 2);
  expect(spans.find(({ kind }) => kind === 2)).toMatchObject({
    status: 2,
    attributes: { 'error.type': 'all_keys_exhausted', 'understudy.attempts': 1 },
  });
  expect(collector.resource['service.name']).toBe('chat-of-the-shop');
  expect(collector.headers).toMatchObject({
    'x-tenant': 'shop',
    'content-type': 'application/x-protobuf',
  });
});

it('a sampler that takes nothing exports nothing', async () => {
  const collector = await startCollector();
  const app = await start(
    collector,
    { environment: { GOOGLE_API_KEY: 'g-one' } },
    {
      OTEL_TRACES_SAMPLER: 'always_off',
    },
  );
  expect((await app.chat('Hi')).status).toBe(200);
  expect(await flow(app.clock, app.stop())).toBe(true);
  expect(collector.requests()).toBe(0);
  expect(app.standin.calls[0]?.traceparent).toMatch(/-00$/);
});

it.each([
  [
    'refuses',
    (collector: Collector) => {
      collector.answer = (response) => void response.writeHead(400).end('no');
    },
  ],
  [
    'is not there',
    (collector: Collector) => {
      Object.assign(collector, { url: 'http://127.0.0.1:1' });
    },
  ],
])('a collector that %s touches no request, and is logged once', async (_what, spoil) => {
  const collector = await startCollector();
  spoil(collector);
  const app = await start(
    collector,
    { environment: { GOOGLE_API_KEY: 'g-one' } },
    { OTEL_EXPORTER_OTLP_TIMEOUT: '200' },
  );
  const complaints = () => app.logs.filter(({ msg }) => msg.startsWith('spans cannot be exported'));
  expect((await app.chat('Hi')).status).toBe(200);
  await expect.poll(() => complaints().length, { timeout: 10_000 }).toBe(1);
  for (let i = 0; i < 3; i += 1) expect((await app.chat('Hi')).status).toBe(200);
  await flow(app.clock, app.stop());
  expect(complaints()).toMatchObject([{ level: 40 }]);
});

it('what is left is exported at the stop, which a collector that hangs holds up for two seconds', async () => {
  const collector = await startCollector();
  const late = { OTEL_BSP_SCHEDULE_DELAY: '60000' };
  const app = await start(collector, { environment: { GOOGLE_API_KEY: 'g-one' } }, late);
  await app.chat('Hi');
  expect(collector.spans).toHaveLength(0);
  await flow(app.clock, app.stop());
  expect(collector.spans).toHaveLength(2);

  const silent = createServer().listen(0, '127.0.0.1');
  await expect.poll(() => silent.listening).toBe(true);
  const address = silent.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = `http://127.0.0.1:${address.port}`;
  const other = await start({ url }, { environment: { GOOGLE_API_KEY: 'g-one' } }, late);
  await other.chat('Hi');
  const before = other.clock.now();
  await flow(other.clock, other.stop());
  expect(other.clock.now() - before).toBeLessThan(4000);
  silent.close();
});
