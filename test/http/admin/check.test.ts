// The server loads it at the first check: meanwhile the fake clock would run past the limits.
import '@google/generative-ai';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { keyCheck, keyReport } from '../../../src/observability/reports.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { type App, flow, type Setting, startApp } from '../../support/start-app.ts';

const start = (environment: Record<string, string>, standin: Setting['standin'] = {}) =>
  startApp({ environment: { ADMIN_TOKEN, KEY_WAIT_SECONDS: '0', ...environment }, standin });

const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ANAM_API_KEY: 'a-one' };
const post = (app: App, path: string, body: unknown = {}) =>
  flow(app.clock, app.post(path, body, AS_ADMIN));
const pathsOf = (app: App) => app.standin.calls.map(({ path }) => path);
const leaked = { key: 'g-one', service: 'google', fault: { kind: 'leaked' } } as const;

it('a key that works is checked by counting tokens, and the check stays in its report', async () => {
  const app = await start(TWO);
  const { status, body } = await post(app, '/api/keys/google-2/check', '');
  expect([status, keyReport.parse(body.key).id]).toEqual([200, 'google-2']);
  expect(keyCheck.parse(body.check)).toMatchObject({ verdict: 'works' });
  expect(body.key.lastCheck).toEqual(body.check);
  expect(body.key.calls).toBe(0);
  expect(pathsOf(app)).toEqual(['/v1beta/models/gemini-flash-latest:countTokens']);
  const [first, second] = (await app.get('/api/keys', AS_ADMIN)).body.keys;
  expect([first.lastCheck, second.lastCheck]).toEqual([null, body.check]);
});

it('a rejected key is parked by its check alone, so that no request meets it', async () => {
  const app = await start(TWO, { keys: [leaked, { key: 'g-two', service: 'google' }] });
  const { body } = await post(app, '/api/keys/google/check');
  expect(body.check.verdict).toBe('rejected');
  expect(body.check.sentence).toMatch(/^The provider rejects the key: .*leaked/);
  expect(body.key).toMatchObject({ state: 'exhausted', cause: 'key_rejected' });
  expect((await app.chat('Hi')).status).toBe(200);
  expect((await app.chat('Hi')).status).toBe(200);
  expect(app.standin.callsOf('g-one')).toBe(1);
  expect(app.logs).toContainEqual(
    expect.objectContaining({ msg: 'key checked', key: 'google', verdict: 'rejected', level: 40 }),
  );
});

it('a key that was rejected and works again is used again after its check', async () => {
  const app = await start({ GOOGLE_API_KEY: 'g-one' }, { keys: [leaked] });
  expect((await app.chat('Hi')).status).toBe(503);
  app.standin.setFault('g-one', null);
  expect((await app.chat('Hi')).status).toBe(503);
  const { body } = await post(app, '/api/keys/google/check');
  expect(body.key).toMatchObject({ state: 'available', scopes: [] });
  expect((await app.chat('Hi')).status).toBe(200);
});

it('a check opens neither a spent quota, nor a project without credit, nor a park by the operator', async () => {
  const app = await start(
    { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
    {
      keys: [
        { key: 'g-one', service: 'google', limits: { rpd: 1 } },
        { key: 'g-two', service: 'google', fault: { kind: 'prepay_empty' } },
      ],
    },
  );
  for (let i = 0; i < 3; i += 1) await app.chat('Hi');
  await app.post('/api/keys/google-2/park', {}, AS_ADMIN);
  app.standin.setFault('g-two', null);
  const first = (await post(app, '/api/keys/google/check')).body;
  const second = (await post(app, '/api/keys/google-2/check')).body;
  expect([first.check.verdict, first.key.cause]).toEqual(['works', 'quota_exhausted']);
  const scopes = second.key.scopes.map(({ scope }: { scope: string }) => scope);
  expect([second.check.verdict, scopes.toSorted()]).toEqual(['works', ['operator', 'project']]);
});

it('all keys are checked at once, those of one service on request, without a call that costs', async () => {
  const app = await start(TWO, {
    keys: [leaked, { key: 'g-two', service: 'google' }, { key: 'a-one', service: 'anam' }],
  });
  const { body } = await post(app, '/api/keys/check', '');
  const verdicts = body.checks.map(({ id, verdict }: Record<string, string>) => [id, verdict]);
  expect(verdicts).toEqual([
    ['google', 'rejected'],
    ['google-2', 'works'],
    ['anam', 'works'],
  ]);
  expect(new Set(pathsOf(app))).toEqual(
    new Set(['/v1beta/models/gemini-flash-latest:countTokens', '/v1/personas']),
  );
  const ofAnam = (await post(app, '/api/keys/check', { service: 'anam' })).body.checks;
  expect(ofAnam).toMatchObject([{ id: 'anam', verdict: 'works' }]);
  const faulty = await post(app, '/api/keys/check', { service: 'openai' });
  expect([faulty.status, faulty.body.error.details[0].path]).toEqual([400, 'service']);
});

it('at most eight keys are checked at a time, and all of them in the end', async () => {
  let open = 0;
  let most = 0;
  const server = createServer((_request, response) => {
    open += 1;
    most = Math.max(most, open);
    setTimeout(() => {
      open -= 1;
      response.setHeader('content-type', 'application/json').end('{"totalTokens":1}');
    }, 20);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const names = Array.from({ length: 40 }, (_, n) => [`GOOGLE_API_KEY_${n + 1}`, `g-${n}`]);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const app = await start({ ...Object.fromEntries(names), GOOGLE_BASE_URL: url });
  const { body } = await app.post('/api/keys/check', {}, AS_ADMIN);
  expect(body.checks).toHaveLength(40);
  expect(body.checks.every(({ verdict }: { verdict: string }) => verdict === 'works')).toBe(true);
  expect(most).toBe(8);
  server.close();
});

it('a provider that hangs ends the check after ten seconds, and parks nothing', async () => {
  const app = await start(TWO, {
    keys: [{ key: 'g-one', service: 'google', fault: { kind: 'hang' } }],
  });
  const { body } = await post(app, '/api/keys/google/check');
  expect(body.check).toMatchObject({
    verdict: 'unreachable',
    sentence: 'The provider gave no answer: no answer within 10 seconds',
  });
  expect(body.check.ms).toBeGreaterThanOrEqual(10_000);
  expect(body.key).toMatchObject({ state: 'available', inFlight: 0 });
});

it('a wrong model is not blamed on the key, and Anam rejects a key as it does a token', async () => {
  const app = await start({ ...TWO, GOOGLE_MODELS: 'none' }, { keys: [], models: ['flash'] });
  expect((await post(app, '/api/keys/google/check')).body.check.verdict).toBe('rejected');
  expect((await post(app, '/api/keys/anam/check')).body.check).toMatchObject({
    verdict: 'rejected',
    sentence: 'The provider rejects the key: Invalid API key',
  });
  expect((await post(app, '/api/keys/google-9/check')).status).toBe(404);
});

it('a release of a key that needs action checks it first: 409 while it is refused, unless forced', async () => {
  const app = await start({ GOOGLE_API_KEY: 'g-one' }, { keys: [leaked] });
  await app.chat('Hi');
  const refused = await post(app, '/api/keys/google/release');
  expect([refused.status, refused.body.error.code]).toEqual([409, 'check_failed']);
  expect(refused.body.error.message).toMatch(
    /leaked.*not released: fix it at the provider, or release it by force\.$/,
  );
  expect(await app.counts()).toMatchObject({ exhausted: 1 });
  const forced = await post(app, '/api/keys/google/release', { force: true });
  expect(forced.body).toMatchObject({ check: null, key: { state: 'available' } });

  await app.chat('Hi');
  app.standin.setFault('g-one', null);
  const released = await post(app, '/api/keys/google/release', { by: 'Ana' });
  expect(released.body).toMatchObject({
    key: { state: 'available', lastAction: { action: 'release', who: 'Ana' } },
    check: { verdict: 'works' },
    sentence: expect.stringMatching(/^Released\. The provider accepts the key\./),
  });
});

it('a release goes through when the check gets no answer, and says so', async () => {
  const app = await start({ GOOGLE_API_KEY: 'g-one' }, { keys: [leaked] });
  await app.chat('Hi');
  app.standin.setFault('g-one', { kind: 'hang' });
  const { status, body } = await post(app, '/api/keys/google/release');
  expect([status, body.key.state, body.check.verdict]).toEqual([200, 'available', 'unreachable']);
  expect(body.sentence).toMatch(/^Released, although the check got no answer\./);
});

it('no key appears in a check that quotes it', async () => {
  const secret = 'AIzaSyFAKE-not-a-key-but-looks-like-1';
  const app = await start(
    { GOOGLE_API_KEY: secret },
    { keys: [{ key: secret, service: 'google', fault: { kind: 'suspended' } }] },
  );
  const { text } = await post(app, '/api/keys/google/check');
  expect(text).toContain('[redacted]');
  expect(text + app.logText()).not.toContain(secret);
});

it('CHECK_KEYS checks all keys once the server listens', async () => {
  const app = await start({ ...TWO, CHECK_KEYS: 'true' }, { keys: [leaked] });
  await expect
    .poll(() => app.logs.find(({ msg }) => msg === 'keys checked'))
    .toMatchObject({ rejected: 3, works: 0 });
  expect(await app.counts()).toMatchObject({ exhausted: 2 });
});
