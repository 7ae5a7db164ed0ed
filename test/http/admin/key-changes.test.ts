import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { keysPage } from '../../../src/observability/reports.ts';
import type { StandinOptions } from '../../../standin/standin.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { ifInstalled } from '../../support/installed.ts';
import { type Instance, startInstance, startProviders } from '../../support/instances.ts';
import { type RawCall, startRawUpstream } from '../../support/raw-upstream.ts';
import { REDIS_SERVER, startRedis } from '../../support/redis.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';
import { emptyFolder } from '../../support/stores.ts';

const REJECTED = JSON.stringify({
  error: {
    ...{ code: 400, message: 'API key not valid.', status: 'INVALID_ARGUMENT' },
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        ...{ reason: 'API_KEY_INVALID', domain: 'googleapis.com' },
      },
    ],
  },
});
const ANSWER = `data: ${JSON.stringify({
  candidates: [{ content: { parts: [{ text: 'Hello' }] }, finishReason: 'STOP' }],
})}\r\n\r\n`;
const response = (status: string, type: string, body: string) =>
  `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

const TWO = { GOOGLE_API_KEY: 'g-one-12345', GOOGLE_API_KEY_2: 'g-two-12345' };
const NEW = 'g-new-12345';
const MASTER_KEY = 'a-master-key-of-forty-characters-or-so-1';
const google = (...keys: readonly string[]): StandinOptions['keys'] =>
  keys.map((key) => ({ key, service: 'google' }));
const ALL = google(...Object.values(TWO), NEW);

const start = (environment: Record<string, string>, standin: Partial<StandinOptions> = {}) =>
  startApp({ environment: { ADMIN_TOKEN, ...environment }, standin: { keys: ALL, ...standin } });

async function call(
  app: { readonly url: string },
  method: string,
  path: string,
  body: unknown = {},
) {
  const response = await fetch(`${app.url}/api/keys${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...AS_ADMIN },
    body: JSON.stringify(body),
  });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  return { status: response.status, body: (await response.json()) as any };
}
const post = (app: { readonly url: string }, path: string, body: unknown = {}) =>
  call(app, 'POST', path, body);
const add = (app: { readonly url: string }, key: string, more: object = {}) =>
  post(app, '', { provider: 'google', key, ...more });

async function list(app: App, query = '') {
  const { body } = await app.get(`/api/keys${query}`, AS_ADMIN);
  return keysPage.parse(body);
}
const states = async (app: App) =>
  Object.fromEntries((await list(app)).keys.map(({ id, state }) => [id, state]));
const exported = async (app: App) => (await app.get('/api/keys/export', AS_ADMIN)).body.keys;

describe('adding a key', () => {
  it('serves the request that waits, and every later one in its turn', async () => {
    const app = await start({ GOOGLE_API_KEY: TWO.GOOGLE_API_KEY });
    await post(app, '/google/park', { seconds: 4 });
    const waiting = app.chat('Hi');
    await flow(app.clock, app.get('/health'));
    const { status, body } = await add(app, `  ${NEW}\n`, { project: 'blue', by: 'Ana' });
    expect([status, body.lasts, body.storage]).toEqual([201, false, 'memory']);
    expect(body.key).toMatchObject({
      id: 'google-r1',
      project: 'blue',
      origin: 'added',
      state: 'available',
      lastAction: { action: 'add', who: 'Ana', why: null, at: expect.any(String) },
    });
    expect((await waiting).status).toBe(200);
    expect(app.standin.callsOf(NEW)).toBe(1);
    expect(app.logs.findLast(({ msg }) => msg === 'operator')).toMatchObject({
      ...{ key: 'google-r1', action: 'add', who: 'Ana', requestId: expect.any(String) },
    });
    expect(await app.counts()).toMatchObject({ total: 2, available: 1, cooling_down: 1 });
  });

  it('is enough for a server that was started without any', async () => {
    const app = await startApp({
      environment: { ADMIN_TOKEN },
      standin: { keys: [...(ALL ?? []), { key: 'a-one-12345', service: 'anam' }] },
    });
    expect((await app.chat('Hi')).body.error).toMatchObject({
      code: 'no_keys_configured',
      message: 'No API keys available. Set GOOGLE_API_KEY.',
    });
    expect((await app.post('/api/anam/session-token', {})).status).toBe(503);
    await add(app, NEW);
    await add(app, 'a-one-12345', { provider: 'anam', personaId: 'persona-7' });
    expect((await app.chat('Hi')).status).toBe(200);
    expect((await flow(app.clock, app.post('/api/anam/session-token', {}))).status).toBe(200);
  });

  it('a second time is refused with the id that has it, for another provider only warned of', async () => {
    const app = await start(TWO);
    await add(app, 'AQ.is-of-google');
    const messages = [];
    for (const key of [TWO.GOOGLE_API_KEY_2, 'AQ.is-of-google']) {
      const { status, body } = await add(app, key);
      messages.push([status, body.error.code, body.error.message]);
    }
    expect(messages).toEqual([
      [409, 'conflict', 'google-2 has this key already.'],
      [409, 'conflict', 'google-r1 has this key already.'],
    ]);
    const { status, body } = await add(app, 'AQ.is-of-google', { provider: 'anam' });
    expect([status, body.key.id]).toEqual([201, 'anam-r2']);
    expect(body.warnings).toEqual(['This looks like a key of google, not of anam.']);
  });

  const SECRET = 'AQ.secret-of-somebody-0123456789';
  it.each<[object, string, RegExp]>([
    [{ key: 'short' }, 'key', /too short/],
    [{ key: 'x'.repeat(600) }, 'key', /too long/],
    [{ key: `two words ${SECRET}` }, 'key', /a character that no key has/],
    [{ key: '<your key here>' }, 'key', /placeholder/],
    [{ provider: SECRET }, 'provider', /google or anam/],
    [{ project: 'google-3' }, 'project', /reads like the id of a key/i],
    [{ project: 'ANAM-r3' }, 'project', /reads like the id of a key/i],
    [{ project: SECRET }, 'project', /holds a key/i],
    [{ project: `of ${TWO.GOOGLE_API_KEY}` }, 'project', /holds a key/i],
    [{ project: 'x'.repeat(101) }, 'project', /1 to 100/],
    [{ project: 'blue', billing: 'b-two' }, 'billing', /Contradicts google-2/],
    [{ personaId: 'persona-1' }, 'personaId', /^Keys of Google have no persona/],
    [{ provider: 'anam', billing: 'b-one' }, 'billing', /^Keys of Anam have no billing account/],
    [{ [SECRET]: 'x' }, '', /unknown/],
    [{ reason: [SECRET] }, 'reason', /be a string/],
  ])('%o is refused, names the field and quotes nothing', async (body, path, sentence) => {
    const app = await start({
      ...TWO,
      GOOGLE_API_KEY_2_PROJECT: 'blue',
      GOOGLE_API_KEY_2_BILLING: 'b-one',
    });
    const answer = await post(app, '', { provider: 'google', key: SECRET, ...body });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details[0]).toEqual({
      path,
      message: expect.stringMatching(sentence),
    });
    expect(JSON.stringify(answer.body) + app.logText()).not.toContain('secret-of-somebody');
    expect((await list(app)).total).toBe(2);
  });
});

describe('labels', () => {
  it('merge the quotas of two keys at once, and part them again', async () => {
    const spent = { key: TWO.GOOGLE_API_KEY, service: 'google', limits: { rpd: 0 } } as const;
    const app = await start(
      { ...TWO, GOOGLE_API_KEY_PROJECT: 'blue', GOOGLE_API_KEY_BILLING: 'b-one' },
      { keys: [spent, ...(google(TWO.GOOGLE_API_KEY_2) ?? [])] },
    );
    await app.chat('Hi');
    expect(await states(app)).toEqual({ google: 'cooling_down', 'google-2': 'available' });
    const merged = await call(app, 'PATCH', '/google-2', { project: 'blue' });
    expect(merged.body.key).toMatchObject({
      ...{ project: 'blue', billing: 'b-one', state: 'cooling_down', origin: 'environment' },
      lastAction: { action: 'label' },
    });
    const parted = await call(app, 'PATCH', '/google-2', { project: null });
    expect(parted.body.key).toMatchObject({
      project: 'google-2',
      billing: null,
      state: 'available',
    });
    expect((await app.chat('Hi')).status).toBe(200);
  });

  it('that contradict, would join a key by accident, or are left out change nothing', async () => {
    const app = await start({
      ...TWO,
      GOOGLE_API_KEY_PROJECT: 'blue',
      GOOGLE_API_KEY_BILLING: 'b',
    });
    const paths = [];
    const faulty = [{ project: 'blue', billing: 'other' }, { project: 'google' }, { by: 'Ana' }];
    for (const labels of faulty) {
      const { status, body } = await call(app, 'PATCH', '/google-2', labels);
      paths.push([status, body.error?.details[0].path]);
    }
    expect(paths).toEqual([
      [400, 'billing'],
      [400, 'project'],
      [400, ''],
    ]);
    expect((await list(app)).keys[1]).toMatchObject({ project: 'google-2', billing: null });
  });
});

describe('pausing and retiring a key', () => {
  it('lets its answers out, and no request fails under load', async () => {
    const app = await start(TWO, { answer: { chunks: 4, chunkMs: 20 } });
    const chats = Array.from({ length: 40 }, () => app.chat('Hi'));
    await vi.waitFor(() => expect(app.standin.calls.length).toBeGreaterThan(20));
    const retired = await post(app, '/google-2/retire', { reason: 'old' });
    expect(retired).toEqual({
      status: 200,
      body: { id: 'google-2', storage: 'memory', lasts: false },
    });
    const paused = await post(app, '/google/pause');
    expect(paused.body.key).toMatchObject({ state: 'paused', inFlight: expect.any(Number) });
    expect(paused.body.key.inFlight).toBeGreaterThan(0);
    await post(app, '/google/resume');
    const calls = app.standin.callsOf(TWO.GOOGLE_API_KEY_2);
    chats.push(...Array.from({ length: 10 }, () => app.chat('Hi')));
    const answers = await flow(app.clock, Promise.all(chats));
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    // Those that had a lease already.
    expect(app.standin.callsOf(TWO.GOOGLE_API_KEY_2) - calls).toBeLessThan(20);
    expect(await states(app)).toEqual({ google: 'available' });
  });

  it('pauses until it is resumed, and says so where no other key is left', async () => {
    const app = await start({ GOOGLE_API_KEY: TWO.GOOGLE_API_KEY });
    const paused = await post(app, '/google/pause', { by: 'Ana' });
    expect(paused.body.key).toMatchObject({
      state: 'paused',
      lastAction: { action: 'pause', who: 'Ana' },
    });
    expect(await app.counts()).toMatchObject({ total: 0 });
    expect((await list(app, '?state=paused')).total).toBe(1);
    const { status, body } = await app.chat('Hi');
    expect([status, body.error.message]).toEqual([
      503,
      'No API keys available. All of them are paused.',
    ]);
    expect((await post(app, '/google/release')).status).toBe(409);
    await post(app, '/google/resume');
    expect((await app.chat('Hi')).status).toBe(200);
  });

  it('brings a retired key of the settings back by resuming, an added one never', async () => {
    const app = await start(TWO);
    await add(app, NEW);
    for (const id of ['google', 'google-r1']) await post(app, `/${id}/retire`);
    expect(
      (await exported(app)).map((key: { id: string; state: string }) => [key.id, key.state]),
    ).toEqual([
      ['google', 'retired'],
      ['google-2', 'available'],
    ]);
    expect((await post(app, '/google/pause')).status).toBe(409);
    expect((await add(app, TWO.GOOGLE_API_KEY)).body.error.message).toBe(
      'google has this key already. It is retired: resume it instead.',
    );
    expect((await post(app, '/google/resume')).body.key.state).toBe('available');
    expect((await post(app, '/google-r1/resume')).status).toBe(404);
    expect((await add(app, NEW)).body.key.id).toBe('google-r2');
  });
});

it('a key of the settings that was retired is listed on request, and says that it can be resumed', async () => {
  const app = await start(TWO);
  for (const id of ['google', 'google-2']) await post(app, `/${id}/retire`, { reason: 'old' });
  await post(app, '/google-2/resume');
  expect(await states(app)).toEqual({ 'google-2': 'available' });
  expect((await list(app, '?search=google&sort=trouble')).total).toBe(1);
  const { total, keys } = await list(app, '?state=retired');
  expect([total, keys]).toMatchObject([
    1,
    [{ id: 'google', state: 'retired', lastAction: { action: 'retire', why: 'old' }, scopes: [] }],
  ]);
  expect(keys[0]?.explanation).toMatch(/^retired by the operator; .*resumed/);
  for (const action of ['release', 'park']) {
    const { status, body } = await post(app, `/google/${action}`);
    expect([status, body.error.message]).toEqual([409, 'google is retired: resume it instead.']);
  }
  expect(await app.counts()).toMatchObject({ total: 1 });
  expect((await post(app, '/google/resume')).body.key.state).toBe('available');
  expect((await list(app, '?state=retired')).total).toBe(0);
});

it('the check of a key stays until its text changes', async () => {
  const app = await start(TWO);
  await add(app, NEW);
  await post(app, '/check');
  const checked = async () =>
    Object.fromEntries((await list(app)).keys.map((key) => [key.id, key.lastCheck?.verdict]));
  const all = { google: 'works', 'google-2': 'works', 'google-r1': 'works' };
  expect(await checked()).toEqual(all);
  for (const id of ['google-2', 'google-r1']) {
    for (const action of ['pause', 'resume']) {
      await post(app, `/${id}/${action}`);
      expect(await checked(), action).toEqual(all);
    }
    await call(app, 'PATCH', `/${id}`, { project: 'blue' });
  }
  expect(await checked()).toEqual(all);
  await post(app, '/google-2/replace', { key: 'g-other-12345' });
  await post(app, '/google-2/pause');
  expect(await checked()).toEqual({ ...all, 'google-2': undefined });
});

it('the list says which settings would keep changes beyond the restart', async () => {
  const dataDir = { DATA_DIR: await emptyFolder() };
  for (const [environment, missingSettings] of [
    [{}, ['MASTER_KEY', 'REDIS_URL', 'DATA_DIR']],
    [{ MASTER_KEY }, ['REDIS_URL', 'DATA_DIR']],
    [dataDir, ['MASTER_KEY']],
    [{ MASTER_KEY, ...dataDir }, []],
  ] as const) {
    expect(await list(await start({ ...TWO, ...environment }))).toMatchObject({
      missingSettings,
      lasts: missingSettings.length === 0,
    });
  }
});

it('replacing a key forgets what was found about the old text, and keeps id and labels', async () => {
  const app = await start(
    { GOOGLE_API_KEY: TWO.GOOGLE_API_KEY, GOOGLE_API_KEY_PROJECT: 'blue' },
    {
      keys: [
        { key: TWO.GOOGLE_API_KEY, service: 'google', fault: { kind: 'leaked' } },
        ...(google(NEW) ?? []),
      ],
    },
  );
  await app.chat('Hi');
  expect(await states(app)).toEqual({ google: 'exhausted' });
  const { body } = await post(app, '/google/replace', { key: NEW });
  expect(body.key).toMatchObject({ id: 'google', project: 'blue', state: 'available' });
  expect((await app.chat('Hi')).status).toBe(200);
  expect((await post(app, '/google/replace', { key: NEW })).status).toBe(409);
});

describe('an import', () => {
  const text = [
    '# our keys',
    'AQ.import-0001=blue,b-one',
    '',
    'AQ.import-0002 = green',
    'anam:aW1wb3J0LTAwMDM==',
    'anam: aW1wb3J0LTAwMDQ===studio',
    'AQ.import-0001',
    TWO.GOOGLE_API_KEY,
  ];

  it('adds all keys in one step, skips what is there, and speaks of lines', async () => {
    const app = await start(TWO);
    const { status, body } = await post(app, '/import', {
      provider: 'google',
      text: text.join('\n'),
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      added: [
        { line: 2, id: 'google-r1', warnings: [] },
        { line: 4, id: 'google-r2' },
        { line: 5, id: 'anam-r3' },
        { line: 6, id: 'anam-r4' },
      ],
      skipped: [
        { line: 7, why: 'The same key as line 2.' },
        { line: 8, why: 'The same key as google.' },
      ],
      lasts: false,
    });
    expect(JSON.stringify(body)).not.toMatch(/import|aW1wb3J0/);
    const keys = await exported(app);
    expect(keys.slice(2)).toMatchObject([
      { id: 'google-r1', project: 'blue', billing: 'b-one', origin: 'added', state: 'available' },
      { id: 'google-r2', project: 'green', billing: null },
      { id: 'anam-r3', project: 'anam-r3' },
      { id: 'anam-r4', project: 'studio' },
    ]);
  });

  it.each<[string, string, ...string[]]>([
    ['no provider', 'AQ.import-0001\nanam:aW1wb3J0', 'line 1'],
    ['three labels', 'google:AQ.import-0001=a,b,c', 'line 1'],
    [
      'a contradiction within',
      'google:AQ.import-01=a,b\n#\ngoogle:AQ.import-02=a,c',
      'line 3: billing',
    ],
    [
      'a label that reads like an id',
      'google:AQ.import-01\ngoogle:AQ.import-02=google-7',
      'line 2: project',
    ],
    [
      'a key as a label',
      'google:AQ.import-01=AQ.import-02-long\ngoogle:AQ.import-02-long',
      'line 1: project',
    ],
    ['no key', '\n# of the team\n', 'text'],
    ['a variable', 'GOOGLE_API_KEY_2=AQ.import-01\ngoogle:AQ.import-02', 'line 1'],
    [
      'a key that is too short behind another fault',
      'import\ngoogle:import',
      'line 1',
      'line 2: key',
    ],
    ['a space', 'google:AQ.import-01 AQ.import-02', 'line 1: key'],
  ])('with %s adds nothing, and names the line alone', async (_, lines, ...paths) => {
    const app = await start(TWO);
    const { status, body } = await post(app, '/import', { text: lines });
    expect(status).toBe(400);
    expect(body.error.details.map(({ path }: { path: string }) => path)).toEqual(paths);
    expect(JSON.stringify(body)).not.toContain('import');
    expect((await list(app)).total).toBe(2);
  });

  it('and its export as CSV hold nothing that a spreadsheet executes', async () => {
    const app = await start({ GOOGLE_API_KEY: TWO.GOOGLE_API_KEY });
    await call(app, 'PATCH', '/google', { project: '=HYPERLINK("http://x","y")', billing: '@b' });
    const { text: csv, headers } = await app.get('/api/keys/export?format=csv', AS_ADMIN);
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(csv.split('\r\n').slice(0, 2)).toEqual([
      'id,fingerprint,provider,project,billing,personaId,origin,state',
      expect.stringMatching(
        /^google,[0-9a-f]{10},google,"'=HYPERLINK\(""http:\/\/x"",""y""\)",'@b,,environment,available$/,
      ),
    ]);
  });
});

describe('with DATA_DIR and MASTER_KEY', () => {
  it('every change is there after a restart, and a new text in a variable starts clean', async () => {
    const standin = await startProviders(ALL ?? []);
    const store = { DATA_DIR: await emptyFolder(), MASTER_KEY };
    const begin = (keys: Record<string, string>) =>
      startInstance({
        environment: { ADMIN_TOKEN, GOOGLE_BASE_URL: standin.url, ...keys, ...store },
      });
    const keysOf = async (app: Instance) =>
      keysPage.parse(await app.get('/api/keys', AS_ADMIN)).keys;
    const before = await begin({ ...TWO, GOOGLE_API_KEY_3: 'g-three-123' });
    expect((await add(before, NEW, { project: 'blue' })).body).toMatchObject({
      ...{ storage: 'file', lasts: true },
    });
    await add(before, 'g-gone-12345');
    await post(before, '/google-r2/retire');
    await post(before, '/google/retire');
    await post(before, '/google-2/pause', { by: 'Ana' });
    await call(before, 'PATCH', '/google-3', { project: 'blue' });
    await before.stop();
    const after = await begin({ ...TWO, GOOGLE_API_KEY_3: 'g-three-123' });
    expect(await keysOf(after)).toMatchObject([
      { id: 'google-2', state: 'paused', lastAction: { action: 'pause', who: 'Ana' } },
      { id: 'google-3', project: 'blue', origin: 'environment' },
      { id: 'google-r1', project: 'blue', origin: 'added', lastAction: { action: 'add' } },
    ]);
    expect((await after.chat('Hi')).status).toBe(200);
    expect((await add(after, 'g-next-12345')).body.key.id).toBe('google-r3');
    await after.stop();
    const renewed = await begin({
      GOOGLE_API_KEY: 'g-one-renewed',
      GOOGLE_API_KEY_2: 'g-two-renewed',
    });
    expect((await keysOf(renewed)).map(({ id, state }) => [id, state])).toEqual(
      ['google', 'google-2', 'google-r1', 'google-r3'].map((id) => [id, 'available']),
    );
  });
});

ifInstalled(REDIS_SERVER, 'two instances with one Redis', () => {
  it('lose nothing of a new text to an answer that the old one still waited for', async () => {
    const redis = await startRedis();
    const held: RawCall[] = [];
    const google = await startRawUpstream((call) => {
      if (call.key === TWO.GOOGLE_API_KEY) held.push(call);
      else call.reply(response('200 OK', 'text/event-stream', ANSWER));
    });
    const environment = {
      ...{ GOOGLE_API_KEY: TWO.GOOGLE_API_KEY, ADMIN_TOKEN, MASTER_KEY, REDIS_URL: redis.url },
      GOOGLE_BASE_URL: google.url,
    };
    const one = await startInstance({ environment });
    const other = await startInstance({ environment });
    const chat = one.chat('Hi');
    await vi.waitFor(() => expect(held).toHaveLength(1));
    await post(one, '/google/replace', { key: NEW });
    held[0]?.reply(response('400 Bad Request', 'application/json', REJECTED));
    await chat;
    await add(one, 'g-next-12345');
    await vi.waitFor(async () => {
      const { keys } = keysPage.parse(await other.get('/api/keys', AS_ADMIN));
      expect(keys).toHaveLength(2);
    });
    for (const instance of [one, other]) {
      const { keys } = keysPage.parse(await instance.get('/api/keys', AS_ADMIN));
      expect(keys.map(({ id, state }) => [id, state])).toEqual([
        ['google', 'available'],
        ['google-r1', 'available'],
      ]);
    }
  });

  it('follow each other within a second, and number their keys together', async () => {
    const redis = await startRedis();
    const standin = await startProviders(ALL ?? []);
    const environment = {
      ...{ ...TWO, ADMIN_TOKEN, MASTER_KEY, REDIS_URL: redis.url },
      GOOGLE_BASE_URL: standin.url,
    };
    const one = await startInstance({ environment });
    const other = await startInstance({ environment });
    const soon = (expected: object) =>
      vi.waitFor(
        async () => {
          const { keys } = keysPage.parse(await other.get('/api/keys', AS_ADMIN));
          expect(Object.fromEntries(keys.map(({ id, state }) => [id, state]))).toEqual(expected);
        },
        { timeout: 1000, interval: 20 },
      );
    await add(one, NEW);
    await soon({ google: 'available', 'google-2': 'available', 'google-r1': 'available' });
    await post(one, '/google/retire');
    await post(one, '/google-2/pause');
    await soon({ 'google-2': 'paused', 'google-r1': 'available' });
    expect((await other.chat('Hi')).status).toBe(200);
    expect(standin.callsOf(NEW)).toBe(1);
    expect((await add(other, 'g-next-12345')).body).toMatchObject({
      ...{ storage: 'redis', lasts: true, key: { id: 'google-r2' } },
    });
    // Both at once: one is told that it was faster elsewhere, or that the key is there.
    const twice = await Promise.all([one, other].map((app) => add(app, 'g-both-12345')));
    await vi.waitFor(async () => {
      const { total } = await one.get('/api/keys', AS_ADMIN);
      expect([total, twice.map(({ status }) => status).every((status) => status < 500)]).toEqual([
        4,
        true,
      ]);
    });
  });
});

describe('keys in files', () => {
  let folder = '';
  afterEach(() => rmSync(folder, { recursive: true }));

  it('are used in their new text a few seconds after a change; a broken file is logged once, and the check of another key stays', async () => {
    folder = mkdtempSync(join(tmpdir(), 'understudy-keys-'));
    writeFileSync(join(folder, 'GOOGLE_API_KEY_3'), TWO.GOOGLE_API_KEY);
    const app = await start({ KEYS_DIR: folder, GOOGLE_API_KEY_2: TWO.GOOGLE_API_KEY_2 });
    await app.chat('Hi');
    await post(app, '/check', {});
    expect((await list(app)).keys).toMatchObject([
      { id: 'google-2', lastCheck: { verdict: 'works' } },
      { id: 'google-3', origin: 'file' },
    ]);
    writeFileSync(join(folder, 'GOOGLE_API_KEY_3'), `${NEW}\n`);
    writeFileSync(join(folder, 'GOOGLE_API_KEY_4'), '');
    const isNew = async () => {
      app.clock.advance(5000);
      await app.chat('Hi');
      expect(app.standin.callsOf(NEW)).toBeGreaterThan(2);
    };
    await vi.waitFor(isNew, { timeout: 10_000 });
    expect((await list(app)).keys).toMatchObject([
      { id: 'google-2', lastCheck: { verdict: 'works' } },
      { id: 'google-3', lastCheck: null },
    ]);
    const warned = app.logs.filter(({ msg }) => msg.includes('GOOGLE_API_KEY_4'));
    expect(warned.map(({ msg }) => msg)).toEqual([
      'KEYS_DIR: GOOGLE_API_KEY_4 is empty. The key stays as it was.',
    ]);
  });
});

describe('the text of a key', () => {
  const parts = ['AQ.', 'Ab8RN6KzvT3qLw', '9sXyHd72mPfUcEoJ41gBtMnVrQ'];
  const [SECRET, OTHER] = [parts.join(''), parts.toReversed().join('')];
  const THIRD = [...SECRET].toReversed().join('');

  it('is in no answer, log line, page or stored file, whatever is done with it', async () => {
    const folder = await emptyFolder();
    const standin = await startProviders([
      { key: SECRET, service: 'google', fault: { kind: 'suspended' } },
    ]);
    const app = await startInstance({
      environment: {
        ...{ ...TWO, ADMIN_TOKEN, MASTER_KEY, DATA_DIR: folder },
        GOOGLE_BASE_URL: standin.url,
      },
    });
    const said: unknown[] = [];
    const say = async (method: string, path: string, body: unknown) =>
      said.push(await call(app, method, path, body));
    await say('POST', '', { provider: 'google', key: SECRET, by: SECRET, reason: `new ${SECRET}` });
    await say('POST', '', { provider: 'google', key: SECRET });
    await say('POST', '', { provider: 'google', key: OTHER, project: SECRET });
    await say('POST', '', { provider: 'google', key: [OTHER], [SECRET]: OTHER });
    await say('POST', '/import', { text: `google:${OTHER}=blue\n${SECRET}` });
    await say('POST', '/import', { text: `google:${OTHER}=blue\ngoogle:${SECRET}` });
    await say('POST', '/google/replace', { key: SECRET });
    await say('POST', '/google/replace', { key: THIRD, by: THIRD });
    await say('PATCH', '/google', { project: OTHER, reason: SECRET });
    await say('POST', '/google-r1/pause', { reason: SECRET });
    await say('POST', '/google-r1/resume', {});
    for (let turn = 0; turn < 4; turn += 1) said.push(await app.chat('Hi'));
    for (const path of [
      '/api/keys',
      '/api/keys/export',
      '/api/keys/export?format=csv',
      '/api/overview',
      '/metrics',
    ]) {
      said.push(await (await fetch(app.url + path, { headers: AS_ADMIN })).text());
    }
    await app.stop();
    for (const name of readdirSync(folder)) said.push(readFileSync(join(folder, name), 'latin1'));
    const everything = JSON.stringify(said) + app.logText();
    expect(everything.includes('"action":"replace"')).toBe(true);
    const pieces = [SECRET, OTHER, THIRD].flatMap(formsOf).flatMap(piecesOf);
    expect(pieces.filter((piece) => everything.includes(piece))).toEqual([]);
  });
});

const formsOf = (text: string) =>
  (['utf8', 'base64', 'hex'] as const).map((form) => Buffer.from(text).toString(form));

const PIECE = 12;
const piecesOf = (text: string) =>
  Array.from({ length: text.length - PIECE + 1 }, (_, at) => text.slice(at, at + PIECE));
