import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { incidentReport } from '../../../src/observability/incident-report.ts';
import { overview } from '../../../src/observability/reports.ts';
import { startStandin } from '../../../standin/standin.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { ifInstalled } from '../../support/installed.ts';
import { startInstance, startProviders } from '../../support/instances.ts';
import { REDIS_SERVER, startRedis } from '../../support/redis.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';
import { emptyFolder, openedStore } from '../../support/stores.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const SOON = { timeout: 10_000, interval: 20 };
const ONE = { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one', KEY_WAIT_SECONDS: '0' };

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  readonly body: any;
}

/** A real HTTP server that answers with these statuses in turn, the last one for good. */
async function startReceiver(...statuses: readonly number[]) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = String(Buffer.concat(chunks));
      received.push({ headers: request.headers, text, body: JSON.parse(text) });
      const status = statuses[received.length - 1] ?? statuses.at(-1) ?? 200;
      response.writeHead(status, status < 300 ? {} : { location: '/elsewhere' }).end('thanks');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { received, url: `http://127.0.0.1:${port}/hook/0123456789abcdef` };
}

/** In steps, so that what is written and sent meanwhile is done. */
async function pass(app: App, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 3 * SECOND) {
    app.clock.advance(Math.min(3 * SECOND, ms - passed));
    await delay(2);
  }
}

async function incidentsOf(app: App, query = '') {
  const { status, body } = await app.get(`/api/incidents${query}`, AS_ADMIN);
  expect(status).toBe(200);
  return body.incidents.map((one: unknown) => incidentReport.parse(one));
}

async function verdictOf(app: App) {
  app.clock.advance(SECOND);
  const { body } = await app.get('/api/overview', AS_ADMIN);
  return overview.parse(body).verdict;
}

const REPLACE = 'needs action: make a new key at Google and replace this one';
const FIX = 'needs action: fix that at Google, then release it';
const kinds = (list: readonly { readonly kind: string }[]) => list.map(({ kind }) => kind);

describe('the verdict of the overview', () => {
  it('is amber while our own limit turns callers away, and names TRUST_PROXY behind a proxy', async () => {
    const app = await startApp({ environment: { ...ONE, RATE_LIMIT_CHAT: '30' } });
    expect(await verdictOf(app)).toMatchObject({ look: 'good' });
    for (let i = 0; i < 80; i += 1) {
      const caller = { 'x-forwarded-for': `198.51.100.${i}, 10.0.0.1` };
      await app.post('/api/chat', { message: 'Hi' }, caller);
    }
    const { look, situations } = await verdictOf(app);
    expect(look).toBe('wait');
    expect(situations[0]).toMatchObject({
      ...{ kind: 'address_limit', fault: 'us', requestsAffected: 50 },
      sentence:
        'Requests were turned away by our own rate limit per address within the last 15 minutes. They came from one address. Many callers may share that address behind a proxy: check TRUST_PROXY.',
    });
  });

  it('stays amber when a rejected key was released, and names it', async () => {
    const app = await startApp({
      environment: { ...ONE, GOOGLE_API_KEY_2: 'g-two' },
      standin: {
        keys: [
          { key: 'g-one', service: 'google' },
          { key: 'g-two', service: 'google', fault: { kind: 'leaked' } },
        ],
      },
    });
    for (let i = 0; i < 2; i += 1) await app.chat('Hi');
    expect((await verdictOf(app)).situations[0]).toMatchObject({
      ...{ kind: 'key_needs_action', keys: ['google-2'], fault: 'key' },
      link: 'https://aistudio.google.com/apikey',
    });
    await app.post('/api/keys/google-2/release', { force: true }, AS_ADMIN);
    expect(await verdictOf(app)).toMatchObject({
      look: 'wait',
      situations: [{ kind: 'unproven_keys', keys: ['google-2'] }],
    });
  });

  it.each([
    ['leaked', 'was reported as leaked', REPLACE],
    ['suspended', 'is suspended', FIX],
    ['expired_key', 'has expired', REPLACE],
    ['key_blocked', 'is blocked for this API or this server', FIX],
    ['bad_key', 'is unknown or not valid', REPLACE],
  ] as const)('says what Google says of a rejected key: %s', async (kind, says, remedy) => {
    const app = await startApp({
      environment: { ...ONE, GOOGLE_API_KEY_2: 'g-two', GOOGLE_API_KEY_3: 'g-three' },
    });
    const reject = async (...rejected: string[]) => {
      for (const key of rejected) app.standin.setFault(key, { kind });
      for (let i = 0; i < 3; i += 1) await app.chat('Hi');
      return (await verdictOf(app)).situations.map(({ sentence }) => sentence);
    };
    expect(await reject('g-two')).toContain(
      `google-2 needs action: Google says that it ${says}. Other keys answer.`,
    );
    expect(await reject('g-three')).toContain(
      `google-2 and google-3 need action: Google says that each ${says}. Other keys answer.`,
    );
    expect(await reject('g-one')).toContain(
      `Every Google key is rejected: Google says that each ${says}.`,
    );
    const { body } = await app.get('/api/keys?search=google-2', AS_ADMIN);
    expect(body.keys[0].explanation).toMatch(`Google says that the key ${says}; ${remedy}; tried`);
    expect(body.keys[0].scopes[0].explanation).toBe(body.keys[0].explanation);
  });

  it('says that keys are rejected where Google gives several reasons, or none', async () => {
    const app = await startApp({ environment: { ...ONE, GOOGLE_API_KEY_2: 'g-two' } });
    app.standin.setFault('g-one', { kind: 'leaked' });
    app.standin.setFault('g-two', { kind: 'service_disabled' });
    await app.chat('Hi');
    const sentences = (await verdictOf(app)).situations.map(({ sentence }) => sentence);
    expect(sentences).toContain('Every Google key is rejected by the provider.');
    expect(sentences).toContain(
      'google and google-2 need action: the provider rejects them as unknown, leaked, blocked or not allowed here.',
    );
  });

  it('names the base URL at which nothing answers', async () => {
    const { url } = await startReceiver();
    closing.splice(0).forEach((close) => void close());
    const environment = { ...ONE, GOOGLE_BASE_URL: new URL(url).origin };
    const app = await startApp({ environment });
    await flow(app.clock, app.chat('Hi'));
    const sentence = 'Nothing answers at GOOGLE_BASE_URL (ECONNREFUSED).';
    const found = { kind: 'wrong_base_url', fault: 'us' };
    expect((await verdictOf(app)).situations[0]).toMatchObject({ ...found, sentence });
    const failedAt = new Date(app.clock.now()).toISOString().slice(11, 16);
    await pass(app, 20 * MINUTE);
    expect(await verdictOf(app)).toMatchObject({ look: 'wait', situations: [found] });
    expect((await verdictOf(app)).situations[0]?.sentence).toBe(
      `${sentence} No request was answered since ${failedAt} UTC.`,
    );
    expect(await incidentsOf(app)).toMatchObject([{ ...found, sentence, to: null }]);
    const standin = await startStandin({
      ...{ clock: app.clock, port: Number(new URL(url).port) },
      keys: [{ key: 'g-one', service: 'google' }],
    });
    closing.push(() => void standin.close());
    const { body } = await app.post('/api/keys/check', {}, AS_ADMIN);
    expect(body.checks).toMatchObject([{ verdict: 'works' }]);
    expect(await verdictOf(app)).toMatchObject({ look: 'good', situations: [{ fault: null }] });
  });
});

describe('an outage', () => {
  const out = { keys: [{ key: 'g-one', service: 'google', limits: { rpd: 1 } }] } as const;

  /** The day's quota is one chat. */
  const spend = async (app: App) => {
    await app.chat('Hi');
    await app.chat('Hi');
  };

  it('is an incident with its begin, its end and the number of requests affected', async () => {
    const app = await startApp({ environment: ONE, standin: out });
    const begin = app.clock.now();
    for (let i = 0; i < 4; i += 1) await app.chat('Hi');
    await pass(app, 9 * SECOND);
    expect(await incidentsOf(app)).toEqual([]);
    await pass(app, 9 * SECOND);
    const [open] = await incidentsOf(app);
    expect(open).toMatchObject({
      ...{ kind: 'keys_out', service: 'google', cause: 'quota_exhausted', fault: 'quota' },
      sentence: 'Every Google key has used up its quota of the day.',
      ...{ to: null, requestsAffected: 3, keys: ['google'], isNotified: false },
    });
    expect(Date.parse(open.from) - begin).toBeLessThan(SECOND);
    await app.post('/api/keys/google/release', {}, AS_ADMIN);
    const end = app.clock.now();
    await pass(app, 100 * SECOND);
    const [ended, ...others] = await incidentsOf(app);
    expect(others).toEqual([]);
    expect(ended).toMatchObject({ id: open.id, from: open.from, requestsAffected: 3 });
    expect(Math.abs(Date.parse(ended.to) - end)).toBeLessThan(6 * SECOND);
    const after = new Date(Date.parse(ended.to) + 1).toISOString();
    expect(await incidentsOf(app, `?since=${after}`)).toEqual([]);
    expect((await app.get('/api/incidents?since=soon', AS_ADMIN)).body.error.message).toMatch(
      /^since/,
    );
  });

  it('that comes and goes with each minute is one incident', async () => {
    const app = await startApp({
      environment: ONE,
      standin: { keys: [{ key: 'g-one', service: 'google', limits: { rpm: 1 } }] },
    });
    for (let i = 0; i < 6; i += 1) {
      await app.chat('Hi');
      await app.chat('Hi');
      await pass(app, MINUTE);
    }
    await pass(app, 2 * MINUTE);
    const incidents = await incidentsOf(app);
    expect(kinds(incidents)).toEqual(['keys_out']);
    expect(incidents[0]?.to).not.toBeNull();
    expect(incidents[0]?.requestsAffected).toBeGreaterThanOrEqual(4);
  });

  it('is announced once, signed, by a receiver that fails twice first, and so is its end', async () => {
    const { received, url } = await startReceiver(500, 503, 204);
    const ALERT_WEBHOOK_SECRET = 'a-secret-for-signatures';
    const app = await startApp({
      environment: { ...ONE, ALERT_WEBHOOK_URL: url, ALERT_WEBHOOK_SECRET },
      standin: out,
    });
    await spend(app);
    await pass(app, 2 * MINUTE);
    expect(received.map(({ body }) => body.event)).toEqual(
      Array.from({ length: 3 }, () => 'incident.began'),
    );
    expect(new Set(received.map(({ text }) => text)).size).toBe(1);
    const [{ headers, text, body } = { headers: {}, text: '', body: null }] = received;
    expect(body.incident).toMatchObject({ kind: 'keys_out', keys: ['google'], to: null });
    const [, seconds, signature] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['x-understudy-signature'])) ?? [];
    expect(signature).toBe(
      createHmac('sha256', ALERT_WEBHOOK_SECRET).update(`${seconds}.${text}`).digest('hex'),
    );
    expect((await incidentsOf(app))[0]).toMatchObject({ isNotified: true });
    await app.post('/api/keys/google/release', {}, AS_ADMIN);
    await pass(app, 3 * MINUTE);
    expect(received.slice(3).map((one) => [one.body.event, one.body.incident.id])).toEqual([
      ['incident.ended', body.incident.id],
    ]);
    expect(app.logText()).not.toContain('0123456789abcdef');
    expect(app.logText()).not.toContain(ALERT_WEBHOOK_SECRET);
    const written = app.logs.filter(({ msg }) => msg.startsWith('alert '));
    expect(written.map(({ msg, status }) => [msg, status])).toEqual([
      ['alert not taken', 500],
      ['alert not taken', 503],
      ['alert sent', 204],
      ['alert sent', 204],
    ]);
  });

  it('that begins again within 15 minutes is announced when they are over, if it lasts', async () => {
    const { received, url } = await startReceiver(200);
    const app = await startApp({ environment: { ...ONE, ALERT_WEBHOOK_URL: url }, standin: out });
    await spend(app);
    await pass(app, 20 * SECOND);
    await app.post('/api/keys/google/release', {}, AS_ADMIN);
    await pass(app, 2 * MINUTE);
    await app.chat('Hi');
    await pass(app, 11 * MINUTE);
    expect(kinds(await incidentsOf(app))).toEqual(['keys_out', 'keys_out']);
    expect(received.map(({ body }) => body.event)).toEqual(['incident.began', 'incident.ended']);
    await pass(app, 3 * MINUTE);
    expect(received.map(({ body }) => body.event)).toEqual([
      'incident.began',
      'incident.ended',
      'incident.began',
    ]);
  });

  it('for a rejected key is announced once, and the key again when it is all that is left of it', async () => {
    const { received, url } = await startReceiver(200);
    const app = await startApp({
      environment: { ...ONE, GOOGLE_API_KEY_2: 'g-two', ALERT_WEBHOOK_URL: url },
      standin: {
        keys: ['g-one', 'g-two'].map((key) => ({
          ...{ key, service: 'google' as const },
          fault: { kind: 'leaked' as const },
        })),
      },
    });
    const announced = () => received.map(({ body }) => [body.event, body.incident.kind]);
    await app.chat('Hi');
    await pass(app, 3 * MINUTE);
    expect(kinds(await incidentsOf(app))).toContain('key_needs_action');
    expect(announced()).toEqual([['incident.began', 'keys_out']]);
    app.standin.setFault('g-one', null);
    await app.post('/api/keys/google/release', {}, AS_ADMIN);
    await app.chat('Hi');
    await pass(app, 5 * MINUTE);
    expect(announced().slice(1)).toEqual([
      ['incident.ended', 'keys_out'],
      ['incident.began', 'key_needs_action'],
    ]);
    expect(received.at(-1)?.body.incident.keys).toEqual(['google-2']);
    app.standin.setFault('g-two', null);
    await app.post('/api/keys/google-2/release', {}, AS_ADMIN);
    await pass(app, 3 * MINUTE);
    expect(announced().slice(3)).toEqual([['incident.ended', 'key_needs_action']]);
  });

  it('for a rejected key that ends as a whole is announced once, and so is its end', async () => {
    const { received, url } = await startReceiver(200);
    const app = await startApp({
      environment: { ...ONE, ALERT_WEBHOOK_URL: url },
      standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'leaked' } }] },
    });
    await app.chat('Hi');
    await pass(app, 3 * MINUTE);
    app.standin.setFault('g-one', null);
    await app.post('/api/keys/google/release', {}, AS_ADMIN);
    await app.chat('Hi');
    await pass(app, 20 * MINUTE);
    expect(received.map(({ body }) => [body.event, body.incident.kind])).toEqual([
      ['incident.began', 'keys_out'],
      ['incident.ended', 'keys_out'],
    ]);
  });

  it('is not announced at another address: a redirect is not followed', async () => {
    const { received, url } = await startReceiver(307, 200);
    const app = await startApp({ environment: { ...ONE, ALERT_WEBHOOK_URL: url }, standin: out });
    await spend(app);
    await pass(app, 3 * MINUTE);
    expect(received).toHaveLength(1);
    expect((await incidentsOf(app))[0]).toMatchObject({ isNotified: false });
    expect(app.logs.filter(({ msg }) => msg === 'alert refused: given up')).toMatchObject([
      { status: 307, why: expect.stringMatching(/a redirect, which is not followed/) },
    ]);
  });

  it('does not delay the end of the server when the receiver is silent', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    closing.push(() => {
      silent.closeAllConnections();
      silent.close();
    });
    const { port } = silent.address() as AddressInfo;
    const ALERT_WEBHOOK_URL = `http://127.0.0.1:${port}/`;
    const app = await startApp({ environment: { ...ONE, ALERT_WEBHOOK_URL }, standin: out });
    await spend(app);
    await pass(app, 20 * SECOND);
    const before = app.clock.now();
    await flow(app.clock, app.stop());
    expect(app.clock.now() - before).toBeLessThan(5 * SECOND);
  });
});

describe('the test of the alert webhook', () => {
  const test = async (app: App) =>
    (await flow(app.clock, app.post('/api/alerts/test', {}, AS_ADMIN))).body;

  it('says what the receiver answered', async () => {
    const { received, url } = await startReceiver(200, 403);
    const app = await startApp({
      environment: { ...ONE, ALERT_WEBHOOK_URL: url, ALERT_WEBHOOK_FORM: 'slack' },
    });
    const { host } = new URL(url);
    expect(await test(app)).toEqual({
      ...{ isSent: true, status: 200 },
      sentence: `${host} took the message.`,
    });
    expect(received[0]?.body.text).toMatch(/^\*Test\* on .+: This is a test message\.$/);
    expect(await test(app)).toMatchObject({ isSent: false, status: 403 });
  });

  it('says that there is no answer, or no address', async () => {
    const { url } = await startReceiver();
    closing.splice(0).forEach((close) => void close());
    const app = await startApp({ environment: { ...ONE, ALERT_WEBHOOK_URL: url } });
    expect(await test(app)).toMatchObject({ isSent: false, status: null });
    const without = await startApp({ environment: ONE });
    expect((await test(without)).sentence).toBe('ALERT_WEBHOOK_URL is not set.');
  });
});

it('a store that must not be written is an incident, although the store does not have it', async () => {
  const dataDir = await emptyFolder();
  const app = await startApp({ environment: { ...ONE, DATA_DIR: dataDir } });
  const newer = await openedStore({ dataDir });
  await newer.write('meta', [{ name: 'format', text: '2' }]);
  await vi.waitFor(async () => {
    await pass(app, 3 * SECOND);
    expect(await incidentsOf(app)).toMatchObject([{ kind: 'store_down', to: null }]);
  }, SOON);
});

ifInstalled(REDIS_SERVER, 'while Redis is gone', () => {
  it('an instance lists the incidents that it knows, says that others may be missing, and has no usage', async () => {
    const redis = await startRedis();
    const app = await startApp({
      environment: { ...ONE, REDIS_URL: redis.url },
      standin: { keys: [{ key: 'g-one', service: 'google', limits: { rpd: 1 } }] },
    });
    for (let i = 0; i < 2; i += 1) await app.chat('Hi');
    await pass(app, 15 * SECOND);
    const { body: whole } = await app.get('/api/incidents', AS_ADMIN);
    expect([kinds(whole.incidents), whole.isComplete]).toEqual([['keys_out'], true]);
    await redis.signal('SIGKILL');
    await vi.waitFor(async () => {
      await pass(app, 3 * SECOND);
      const { body } = await app.get('/api/incidents', AS_ADMIN);
      expect(kinds(body.incidents)).toEqual(['sharing_down', 'keys_out']);
      expect(body).toMatchObject({ isComplete: false, incidents: [{ to: null }, { to: null }] });
    }, SOON);
    const usage = await app.get('/api/usage', AS_ADMIN);
    expect([usage.status, usage.body.error.code]).toEqual([503, 'store_unavailable']);
    await app.post('/api/keys/google/release', {}, AS_ADMIN);
    await pass(app, 2 * MINUTE);
    const [down, out] = await incidentsOf(app);
    expect([down?.to, typeof out?.to]).toEqual([null, 'string']);
    await redis.startAgain();
    await vi.waitFor(async () => {
      await pass(app, 3 * SECOND);
      const { body } = await app.get('/api/incidents', AS_ADMIN);
      expect(kinds(body.incidents)).toEqual(['sharing_down', 'keys_out']);
      expect(body.isComplete).toBe(true);
      expect(body.incidents.map(({ id }: { id: string }) => id)).toEqual([down.id, out.id]);
    }, SOON);
  }, 40_000);
});

ifInstalled(REDIS_SERVER, 'several instances with one Redis', () => {
  const FAST = 20;
  const start = async (redisUrl: string, url: string, googleUrl: string) =>
    startInstance({
      environment: {
        ...ONE,
        REDIS_URL: redisUrl,
        ALERT_WEBHOOK_URL: url,
        GOOGLE_BASE_URL: googleUrl,
      },
      timersFaster: FAST,
    });

  it('have one incident and send one message', async () => {
    const [redis, receiver] = [await startRedis(), await startReceiver(200)];
    const key = { key: 'g-one', service: 'google', limits: { rpd: 1 } } as const;
    const { url } = await startProviders([key]);
    const instances = await Promise.all([1, 2, 3].map(() => start(redis.url, receiver.url, url)));
    const [first] = instances;
    await first?.chat('Hi');
    for (const { chat } of instances) await chat('Hi');
    const listed = async (index: number) =>
      (await instances[index]?.get('/api/incidents', AS_ADMIN))?.incidents;
    await vi.waitFor(
      async () => expect(await listed(0)).toMatchObject([{ kind: 'keys_out', isNotified: true }]),
      { timeout: 30_000, interval: 200 },
    );
    await vi.waitFor(async () => expect(await listed(1)).toMatchObject([{ requestsAffected: 3 }]), {
      timeout: 30_000,
      interval: 200,
    });
    await delay(2000);
    expect(await listed(2)).toHaveLength(1);
    expect(receiver.received.map(({ body }) => body.event)).toEqual(['incident.began']);
  }, 60_000);
});
