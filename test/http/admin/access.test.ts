import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN, logIn } from '../../support/admin.ts';
import { type App, startApp } from '../../support/start-app.ts';

const KEY = { GOOGLE_API_KEY: 'g-one' };
const start = (environment = {}) =>
  startApp({ environment: { ...KEY, ADMIN_TOKEN, ...environment } });

const READ = ['/api/keys', '/api/overview'];
const ACTIONS = ['/api/keys/google/release', '/api/keys/google/park'];
const PAGES = ['/dashboard', '/playground', '/login'];

describe('without an admin token', () => {
  it('its routes do not exist, with or without a token', async () => {
    const app = await startApp({ environment: KEY });
    const answers = await Promise.all([
      ...[...READ, ...PAGES, '/dashboard/dashboard.css'].map((path) => app.get(path, AS_ADMIN)),
      ...[...ACTIONS, '/api/login', '/api/logout'].map((path) => app.post(path, {}, AS_ADMIN)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 404));
    expect((await app.get('/api/keys/status')).status).toBe(200);
  });
});

describe('with an admin token', () => {
  it.each([
    ['nothing', {}],
    ['a wrong token', { authorization: 'Bearer wrong-token-0123456789' }],
    ['the beginning of the right token', { authorization: `Bearer ${ADMIN_TOKEN.slice(0, -1)}` }],
    ['an invented cookie', { cookie: 'understudy_session=made.up.entirely' }],
    ['another scheme', { authorization: 'Basic YTpi' }],
  ])('a request with %s gets 401 and changes nothing', async (_, headers) => {
    const app = await start();
    const answers = await Promise.all([
      ...READ.map((path) => app.get(path, headers)),
      app.get('/dashboard', headers),
      ...ACTIONS.map((path) => app.post(path, {}, headers)),
    ]);
    for (const { status, body, headers: answered } of answers) {
      expect(status).toBe(401);
      expect(body.error.code).toBe('unauthorized');
      expect(answered.get('www-authenticate')).toBe('Bearer');
    }
    expect(await app.counts()).toMatchObject({ available: 1 });
  });

  it('a bearer token is accepted, and the answer must not be cached', async () => {
    const app = await start();
    for (const path of READ) {
      const { status, headers } = await app.get(path, AS_ADMIN);
      expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
      expect(headers.get('www-authenticate')).toBeNull();
    }
  });

  it("a program's token does not open the admin routes", async () => {
    const app = await start({ CLIENT_TOKENS: 'program-token-0123456789' });
    const { status } = await app.get('/api/keys', {
      authorization: 'Bearer program-token-0123456789',
    });
    expect(status).toBe(401);
  });

  it('the token is in no log and no answer', async () => {
    const app = await start();
    const { text } = await app.get('/api/keys', { authorization: `Bearer ${ADMIN_TOKEN}x` });
    await app.post('/api/login', { token: ADMIN_TOKEN, [ADMIN_TOKEN]: 1 });
    await app.post(`/api/keys/${ADMIN_TOKEN}/release`, {}, AS_ADMIN);
    const told = { by: 'g-one', reason: `curl -H 'authorization: Bearer ${ADMIN_TOKEN}'` };
    const { text: parked } = await app.post('/api/keys/google/park', told, AS_ADMIN);
    const { cookie } = await logIn(app, ADMIN_TOKEN);
    const payload = Buffer.from(cookie.split('.')[1] ?? '', 'base64url').toString();
    const everything = text + parked + payload + app.logText();
    expect(everything).not.toContain(ADMIN_TOKEN);
    expect(everything).not.toMatch(/g-one/);
  });
});

describe('the login', () => {
  it('sets a cookie that no script can read and no other site can send', async () => {
    const app = await start();
    const { status, headers } = await app.post('/api/login', { token: ADMIN_TOKEN });
    expect(status).toBe(200);
    expect(headers.get('set-cookie')).toMatch(
      /^understudy_session=[\w.-]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('marks the cookie as secure over https', async () => {
    const app = await start({ TRUST_PROXY: '1' });
    const { headers } = await app.post(
      '/api/login',
      { token: ADMIN_TOKEN },
      { 'x-forwarded-proto': 'https' },
    );
    expect(headers.get('set-cookie')).toContain('; Secure');
  });

  it('lasts twelve hours, and not a second longer', async () => {
    const app = await start();
    const cookie = await logIn(app);
    app.clock.advance(12 * 3_600_000 - 1000);
    expect((await app.get('/api/keys', cookie)).status).toBe(200);
    app.clock.advance(1000);
    expect((await app.get('/api/keys', cookie)).status).toBe(401);
  });

  it('survives a restart, and ends with the token', async () => {
    const before = await start();
    const cookie = await logIn(before);
    expect((await (await start()).get('/api/keys', cookie)).status).toBe(200);
    const changed = await start({ ADMIN_TOKEN: 'another-admin-token-01' });
    expect((await changed.get('/api/keys', cookie)).status).toBe(401);
  });

  it('refuses a wrong token without setting a cookie, and names the field of a faulty body', async () => {
    const app = await start();
    const wrong = await app.post('/api/login', { token: 'wrong-token-0123456789' });
    expect([wrong.status, wrong.headers.get('set-cookie')]).toEqual([401, null]);
    const none = await app.post('/api/login', { name: 'x'.repeat(61) });
    expect(none.status).toBe(400);
    expect(none.body.error.details.map(({ path }: { path: string }) => path)).toEqual([
      'token',
      'name',
    ]);
  });

  it('ends with the logout', async () => {
    const app = await start();
    const { headers } = await app.post('/api/logout', '', await logIn(app));
    expect(headers.get('set-cookie')).toContain('understudy_session=; Max-Age=0');
  });

  it('redirects a browser without a cookie to the form, and serves the page to one with a cookie', async () => {
    const app = await start();
    const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
    const sent = await app.get('/dashboard', browser);
    expect([sent.status, sent.headers.get('location')]).toEqual([303, '/login']);
    const file = await app.get('/dashboard/keys.js', browser);
    expect([file.status, file.headers.get('location')]).toEqual([303, '/login']);
    const shown = await app.get('/dashboard', { ...browser, ...(await logIn(app)) });
    expect([shown.status, shown.headers.get('content-type')]).toEqual([
      200,
      'text/html; charset=utf-8',
    ]);
  });
});

describe('the files of the dashboard', () => {
  const FILES = ['', 'index.html', 'dashboard.js', 'look.css', 'lib/lit-html/lit-html.js'];
  const spellings = (file: string) => [
    ...[`/dashboard/${file}`, `/DASHBOARD/${file}`, `//dashboard/${file}`, `/%64ashboard/${file}`],
    ...[`/dashboard//${file}`, `/dashboard/./${file}`, `/dashboard/%2e/${file}`],
    ...[
      `/dashboard%2F${file}`,
      `/dashboard/${file}/`,
      `/dashboard/${file}?x`,
      `/./dashboard/${file}`,
    ],
    ...[
      `/dashboard\\${file}`,
      `\\dashboard\\${file}`,
      `/dashboard/%5C${file}`,
      `/dashboard;/${file}`,
    ],
    ...[
      `/login/../dashboard/${file}`,
      `/login/..%2fdashboard/${file}`,
      `/login/%2e%2e/dashboard/${file}`,
    ],
    ...[
      `/dashboard/lib/../${file}`,
      `/dashboard/lib/lit-html/../../${file}`,
      `/dashboard/x/../${file}`,
    ],
    ...[`/dashboard/${file.replace('.', '%2e')}`, `/dashboard/${file.replace('i', '%69')}`],
    ...[`http://elsewhere/dashboard/${file}`, `http://elsewhere//dashboard/${file}`],
  ];

  it('are served to nobody without a session, however their path is written', async () => {
    const app = await start();
    for (const path of FILES.flatMap(spellings)) {
      for (const method of ['GET', 'HEAD']) {
        const { status, text } = await askRaw(app, method, path);
        expect([400, 401, 404], `${method} ${path}`).toContain(status);
        expect(text).not.toMatch(/<html|import |:root/);
      }
    }
  });

  it('have one spelling with a session, and browsers revalidate them', async () => {
    const app = await start();
    const cookie = await logIn(app);
    for (const file of FILES.slice(2)) {
      const { status, headers } = await app.get(`/dashboard/${file}`, cookie);
      expect([status, headers.get('cache-control')]).toEqual([200, 'no-cache']);
    }
    const { cookie: text } = cookie;
    for (const path of [
      '/dashboard/index.html',
      '/dashboard/%69ndex.html',
      '/dashboard//look.css',
    ]) {
      expect((await askRaw(app, 'GET', path, `cookie: ${text}\r\n`)).status).toBe(404);
    }
  });

  it('of the login are open, and lead to no page', async () => {
    const app = await start();
    expect((await app.get('/login/login.js')).status).toBe(200);
    for (const path of ['/login/%69ndex.html', '/login/./index.html', '/login//index.html']) {
      expect((await askRaw(app, 'GET', path)).status).toBe(404);
    }
  });

  /** Clients of HTTP would tidy the path up. */
  async function askRaw({ url }: App, method: string, path: string, headers = '') {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`);
    const text = String(Buffer.concat(await socket.toArray()));
    return { status: Number(text.slice(9, 12)), text };
  }
});

describe('a page', () => {
  const ELSEWHERE = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: 'http://localhost:5173' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
  ];

  it.each(ELSEWHERE)(
    'of another origin cannot act with the cookie of its viewer (%o)',
    async (from) => {
      const app = await start();
      const cookie = await logIn(app);
      const { status } = await app.post('/api/keys/google/park', {}, { ...cookie, ...from });
      expect([status, (await app.counts()).available]).toEqual([401, 1]);
      expect((await app.post('/api/login', { token: ADMIN_TOKEN }, from)).status).toBe(401);
      expect((await app.post('/api/logout', '', { ...cookie, ...from })).status).toBe(401);
    },
  );

  it('of our own may act', async () => {
    const app = await start();
    const cookie = await logIn(app);
    const own = { ...cookie, origin: app.url, 'sec-fetch-site': 'same-origin' };
    expect((await app.post('/api/keys/google/park', {}, own)).status).toBe(200);
  });
});

describe('an address that guesses tokens', () => {
  const guess = (app: App, address: string, token: string) =>
    app.get('/api/keys', { authorization: `Bearer ${token}`, 'x-forwarded-for': address });

  it('is refused after ten wrong tokens in a minute, even with the right one', async () => {
    const app = await start({ TRUST_PROXY: '1' });
    const statuses: number[] = [];
    for (let i = 0; i < 10; i += 1) {
      statuses.push((await guess(app, '203.0.113.9', `wrong-token-${i}-0123456789`)).status);
    }
    expect(new Set(statuses)).toEqual(new Set([401]));
    const eleventh = await guess(app, '203.0.113.9', ADMIN_TOKEN);
    expect([eleventh.status, eleventh.headers.get('www-authenticate')]).toEqual([429, null]);
    expect(eleventh.body.error).toMatchObject({
      code: 'rate_limited',
      retryAfterSeconds: expect.any(Number),
    });
    const login = { token: ADMIN_TOKEN };
    const from = { 'x-forwarded-for': '203.0.113.9' };
    expect((await app.post('/api/login', login, from)).status).toBe(429);
    expect((await guess(app, '203.0.113.10', ADMIN_TOKEN)).status).toBe(200);
  });

  it('is refused with a wrong bearer token and a valid cookie', async () => {
    const app = await start();
    const both = { ...(await logIn(app)), authorization: 'Bearer wrong-token-0123456789' };
    expect((await app.get('/api/keys', both)).status).toBe(401);
  });

  it('stays admitted with the right token if it has shown it before', async () => {
    const app = await start();
    const cookie = await logIn(app);
    const wrong = { authorization: 'Bearer wrong-token-0123456789' };
    for (let i = 0; i < 12; i += 1) await app.get('/api/keys', wrong);
    expect((await app.get('/api/keys', cookie)).status).toBe(200);
    expect((await app.get('/metrics', AS_ADMIN)).status).toBe(200);
  });

  it('is logged once', async () => {
    const app = await start();
    const wrong = { authorization: 'Bearer wrong-token-0123456789' };
    for (let i = 0; i < 15; i += 1) await app.get('/api/keys', wrong);
    const told = app.logs.filter(({ msg }) => msg === 'too many wrong admin tokens');
    expect(told).toMatchObject([{ level: 40, address: '127.0.0.1' }]);
  });

  it('is not one that sends the right token many times', async () => {
    const app = await start();
    const answers = [];
    for (let i = 0; i < 30; i += 1) answers.push((await app.get('/api/keys', AS_ADMIN)).status);
    expect(new Set(answers)).toEqual(new Set([200]));
  });
});
