import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { StandinOptions } from '../../standin/standin.ts';
import { seriousFaults } from '../support/accessibility.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { startInstance } from '../support/instances.ts';
import { openAsAdmin, overflowOf, VIEWS } from '../support/log-in.ts';
import { freePort } from '../support/redis.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const MINUTE = 60_000;
const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ADMIN_TOKEN };

const firstIs = (fault: object): Partial<StandinOptions> => ({
  keys: [
    { key: 'g-one', service: 'google', ...fault },
    { key: 'g-two', service: 'google' },
  ],
});

const keyCard = (page: Page, id: string) =>
  page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: id, exact: true }) });

/** And lets a second pass: so long what was told before is good. */
const ask = async (app: App, times: number) => {
  for (let i = 0; i < times; i += 1) await app.chat('Hi');
  app.clock.advance(1000);
};

/** Waits until the page begins with this sentence, and with this look. */
const firstLine = (page: Page, look: 'good' | 'wait' | 'bad', sentence: string) =>
  page
    .locator(`.verdict.${look}`)
    .getByRole('heading', { name: sentence, exact: true })
    .waitFor({ timeout: 8000 });

/** Of the last rectangle of this kind. */
const sizeOf = async (page: Page, selector: string, size: 'width' | 'height') =>
  Number(await page.locator(selector).last().getAttribute(size));

/** A countdown as it stands, in seconds. */
async function secondsIn(page: Page, id: string): Promise<number> {
  const text = await keyCard(page, id).locator('.countdown').textContent();
  return (text ?? '').split(':').reduce((seconds, part) => seconds * 60 + Number(part), 0);
}

describeInBrowser('the dashboard', (browser) => {
  const open = (app: App, view = {}) => openAsAdmin(browser, app.url, '/dashboard', view);

  it('shows a key running out, why, how long, and that it is back', async () => {
    const app = await startApp({ environment: TWO, standin: firstIs({ limits: { rpd: 1 } }) });
    const page = await open(app);
    await page.getByRole('heading', { name: 'All is well: every key can be used.' }).waitFor();
    await page.getByText('2 of 2').waitFor();
    await ask(app, 3);
    await page.getByText('1 of 2').waitFor();
    const card = keyCard(page, 'google');
    await card.getByText('cooling down').waitFor();
    await card.getByText("The day's quota of gemini-flash-latest is spent").first().waitFor();
    await page.getByText(/1 cooling down, next tried again in 59:\d\d/).waitFor();
    expect(await sizeOf(page, '.shares .fill-wait', 'width')).toBe(50);
    const before = await secondsIn(page, 'google');
    expect(before).toBeGreaterThan(3500);
    expect(before).toBeLessThanOrEqual(3600);
    app.clock.advance(10 * MINUTE);
    await expect.poll(() => secondsIn(page, 'google'), { timeout: 5000 }).toBeLessThan(3010);
    const bar = card.getByRole('img', { name: /cooling down for 10 minutes \(quota exhausted\)/ });
    await bar.waitFor();
    expect(await sizeOf(page, '.hour .fill-wait', 'width')).toBeGreaterThan(99);
    expect(await sizeOf(page, '.hour .fill-unknown', 'width')).toBe(0);
    app.clock.advance(50 * MINUTE);
    await page.getByText('2 of 2').waitFor();
    await card.getByText('usable').waitFor();
  });

  it('counts down by itself, without an answer of the server', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app);
    await app.post('/api/keys/google/park', { seconds: 3000 }, AS_ADMIN);
    await keyCard(page, 'google').locator('.countdown').waitFor();
    await page.route('**/api/**', (route) => new Promise(() => route));
    const before = await secondsIn(page, 'google');
    await expect.poll(() => secondsIn(page, 'google'), { timeout: 5000 }).toBeLessThan(before);
  });

  it('says first that every key is spent, and when the first is back', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN },
      standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'leaked' } }] },
    });
    await ask(app, 1);
    const page = await open(app);
    const sentence = 'No Google key can be used. 1 Google key needs somebody to act.';
    await page.getByRole('heading', { name: sentence }).waitFor();
    expect(await page.title()).toBe(`⚠ ${sentence} · Understudy`);
    await keyCard(page, 'google').getByText('tried again in').waitFor();
    await page.getByText('No key is set for this service.').waitFor();
  });

  it('releases a key by its button, with a reason that reaches the log', async () => {
    const app = await startApp({
      environment: TWO,
      standin: firstIs({ fault: { kind: 'leaked' } }),
    });
    await ask(app, 2);
    const page = await open(app);
    await keyCard(page, 'google').getByText('needs somebody').waitFor();
    await page.getByRole('button', { name: 'Release google', exact: true }).click();
    await page.getByLabel('Why').fill('a new key is in');
    await page.getByRole('button', { name: 'Release it' }).click();
    await keyCard(page, 'google').getByText('usable').waitFor();
    await page.getByRole('status').getByText('google was released.').waitFor();
    expect(app.logs.findLast(({ msg }) => msg === 'operator')).toMatchObject({
      key: 'google',
      action: 'release',
      who: 'Ana',
      why: 'a new key is in',
    });
    await page.getByText('Details of google', { exact: true }).click();
    await page.getByText('release, by Ana: a new key is in').waitFor();
  });

  it.each(VIEWS)(
    'says in amber that requests are turned away by the limit, at %o',
    async (view) => {
      const app = await startApp({ environment: { ...TWO, RATE_LIMIT_CHAT: '30' } });
      await ask(app, 80);
      const page = await open(app, view);
      await firstLine(
        page,
        'wait',
        '50 requests were turned away by the limit for one address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY.',
      );
      expect([await overflowOf(page), await seriousFaults(page)]).toEqual([0, []]);
      app.clock.advance(16 * MINUTE);
      await firstLine(page, 'good', 'All is well: every key can be used.');
    },
  );

  it('says in amber that requests were refused within the last quarter of an hour', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', KEY_WAIT_SECONDS: '0', ADMIN_TOKEN },
      standin: { keys: [{ key: 'g-one', service: 'google', limits: { rpm: 1 } }] },
    });
    await ask(app, 3);
    const page = await open(app);
    await firstLine(page, 'bad', 'The quota of every Google key is spent.');
    app.clock.advance(MINUTE);
    const sentence = '2 requests were refused or broken off in the last 15 minutes.';
    await firstLine(page, 'wait', sentence);
    app.clock.advance(13 * MINUTE);
    await ask(app, 1);
    await page.getByText('4 requests').waitFor();
    await firstLine(page, 'wait', sentence);
    app.clock.advance(2 * MINUTE);
    await firstLine(page, 'good', 'All is well: every key can be used.');
  });

  it('says in amber that Redis cannot be reached', async () => {
    const redisUrl = `redis://127.0.0.1:${await freePort()}`;
    const { url } = await startInstance({ environment: { ...TWO, REDIS_URL: redisUrl } });
    const page = await openAsAdmin(browser, url, '/dashboard');
    const sentence = 'Redis cannot be reached: what this instance learns of keys is not shared.';
    await firstLine(page, 'wait', sentence);
  });

  it('is amber after the release of a rejected key, until that key has answered', async () => {
    const app = await startApp({
      environment: TWO,
      standin: firstIs({ fault: { kind: 'leaked' } }),
    });
    await ask(app, 2);
    const page = await open(app);
    await firstLine(page, 'wait', '1 Google key needs somebody to act.');
    await page.getByRole('button', { name: 'Release google', exact: true }).click();
    await page.getByRole('button', { name: 'Release it' }).click();
    await firstLine(page, 'wait', 'google was released and has not answered yet.');
    await ask(app, 2);
    await firstLine(page, 'wait', '1 Google key needs somebody to act.');
    app.standin.setFault('g-one', null);
    await page.getByRole('button', { name: 'Release google', exact: true }).click();
    await page.getByRole('button', { name: 'Release it' }).click();
    await firstLine(page, 'wait', 'google was released and has not answered yet.');
    await ask(app, 2);
    await firstLine(page, 'good', 'All is well: every key can be used.');
  });

  it('parks a key with the keyboard alone', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app);
    await page.getByRole('button', { name: 'Park google-2' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Park google-2' }).waitFor();
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Tab');
    await page.keyboard.type('strange bill');
    await page.keyboard.press('Enter');
    await keyCard(page, 'google-2').getByText('Taken out of use by the operator').first().waitFor();
    expect(await secondsIn(page, 'google-2')).toBeLessThanOrEqual(900);
    await ask(app, 4);
    expect(app.standin.callsOf('g-two')).toBe(0);
    await expect
      .poll(() => page.evaluate('document.activeElement.ariaLabel'))
      .toBe('Park google-2');
  });

  it('keeps an open dialog, what is written in it, and opened details, while it goes on', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app);
    await page.getByText('Details of google', { exact: true }).click();
    await page.getByRole('button', { name: 'Park google', exact: true }).click();
    await page.getByLabel('Why').fill('half a sen');
    await ask(app, 2);
    await page.getByText('2 requests').waitFor();
    expect(await page.getByLabel('Why').inputValue()).toBe('half a sen');
    await page.keyboard.press('Escape');
    await keyCard(page, 'google').getByText('Fingerprint').waitFor();
  });

  it('tells the attempt that failed apart from the answer that came of it', async () => {
    const app = await startApp({
      environment: TWO,
      standin: firstIs({ fault: { kind: 'leaked' } }),
    });
    await ask(app, 1);
    const page = await open(app);
    const requests = page.getByRole('region', { name: 'Latest requests' }).getByRole('listitem');
    await requests.first().getByText('answered', { exact: true }).waitFor();
    await requests.first().getByText('by google-2').waitFor();
    const attempts = requests.first().getByRole('list', { name: 'Attempts before' });
    expect(await attempts.getByRole('listitem').allInnerTexts()).toEqual([
      expect.stringMatching(
        /^google, gemini-flash-latest: key rejected after \d+ ms, parked until .*\nYour API key was/,
      ),
    ]);
    await page.getByText('1 request: 1 answered by another key than the first').waitFor();
    expect(await sizeOf(page, '.chart .fill-wait', 'height')).toBe(25);
    expect(await sizeOf(page, '.chart .fill-good', 'height')).toBe(0);
  });

  it('says that the connection is lost, and goes on by itself when the server is back', async () => {
    const before = await startApp({ environment: TWO });
    const page = await open(before, {
      forgives: /ERR_CONNECTION_REFUSED|ERR_EMPTY|ERR_CONNECTION_RESET/,
    });
    await page.getByText('2 of 2').waitFor();
    await flow(before.clock, before.stop());
    await page.getByText('Connection lost').waitFor();
    await page.getByText('2 of 2').waitFor();
    const after = await startApp({
      environment: { ...TWO, PORT: new URL(before.url).port },
      standin: firstIs({ fault: { kind: 'leaked' } }),
    });
    await ask(after, 2);
    await page.getByText('1 of 2').waitFor({ timeout: 14_000 });
    expect(await page.getByText('Connection lost').count()).toBe(0);
    expect(page.url()).toBe(`${after.url}/dashboard`);
  });

  it('begins anew with all keys when the server comes back without the one that its page began after', async () => {
    const names = Array.from({ length: 60 }, (_, i) => [`GOOGLE_API_KEY_${i + 1}`, `g-${i}`]);
    const many = { ...Object.fromEntries(names), ADMIN_TOKEN };
    const before = await startApp({ environment: many });
    const page = await open(before, { forgives: /ERR_CONNECTION_|ERR_EMPTY|status of 400/ });
    await page.getByRole('button', { name: 'Further keys' }).click();
    await page.getByRole('heading', { name: 'google-50', exact: true }).waitFor();
    await flow(before.clock, before.stop());
    await startApp({ environment: { ...TWO, PORT: new URL(before.url).port } });
    await page.getByRole('heading', { name: 'google', exact: true }).waitFor({ timeout: 14_000 });
  });

  it('says when the provider is down, and that what it shows is old when nobody answers', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app, { forgives: /ERR_/ });
    await app.standin.close();
    await flow(app.clock, app.chat('Hi'), 100);
    app.clock.advance(1000);
    await page.getByRole('heading', { name: 'Requests to Google fail: the provider' }).waitFor();
    await page.route('**/api/**', (route) => route.abort());
    await page.getByText('Connection lost; what you see is of').waitFor();
    await page.locator('.verdict.stale').waitFor();
  });

  it('leads to the login when that has ended', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app, { forgives: /status of 401/ });
    app.clock.advance(12 * 60 * MINUTE);
    await page.waitForURL(`${app.url}/login?to=/dashboard`);
  });

  it('shows ten thousand keys page by page, and one state of them alone', async () => {
    const names = Array.from({ length: 10_000 }, (_, i) => [
      `GOOGLE_API_KEY_${i + 1}`,
      `g-key-${i + 1}`,
    ]);
    const keys: StandinOptions['keys'] = [{ key: 'g-key-10000', service: 'google' }];
    const app = await startApp({
      environment: { ...Object.fromEntries(names), ADMIN_TOKEN },
      standin: { keys },
    });
    await app.post('/api/keys/google-7777/park', {}, AS_ADMIN);
    const page = await open(app);
    await page.getByText('9999 of 10000').waitFor();
    const startedAt = performance.now();
    await page.reload();
    await page.getByRole('heading', { name: 'google-25', exact: true }).waitFor();
    process.stdout.write(
      `10,000 keys, page open after ${Math.round(performance.now() - startedAt)} ms\n`,
    );
    expect(await page.getByRole('button', { name: /^Park/ }).count()).toBe(25);
    await page.getByRole('button', { name: 'Further keys' }).click();
    await page.getByRole('heading', { name: 'google-50', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Earlier keys' }).click();
    await page.getByRole('heading', { name: 'google-1', exact: true }).waitFor();
    await page.getByLabel('State').selectOption('cooling down');
    await page.getByRole('heading', { name: 'google-7777' }).waitFor();
    expect(await page.getByRole('button', { name: /^Park/ }).count()).toBe(1);
  });

  it.each(VIEWS)('reads well at %o, with keys in every state', async (view) => {
    const app = await startApp({
      environment: {
        ...TWO,
        GOOGLE_API_KEY_3: 'g-three',
        GOOGLE_API_KEY_4: 'g-four',
        ANAM_API_KEY: 'a-one',
      },
      standin: {
        keys: [
          { key: 'g-one', service: 'google', fault: { kind: 'leaked' } },
          { key: 'g-two', service: 'google', limits: { rpd: 1 } },
          { key: 'g-three', service: 'google' },
          { key: 'g-four', service: 'google' },
          { key: 'a-one', service: 'anam' },
        ],
      },
    });
    await ask(app, 6);
    await app.post('/api/keys/google-4/park', { reason: 'strange bill' }, AS_ADMIN);
    const page = await open(app, view);
    await page.getByText('1 of 4').waitFor();
    for (const summary of await page.locator('summary').all()) await summary.click();
    expect([await overflowOf(page), await seriousFaults(page)]).toEqual([0, []]);
    await page.getByRole('button', { name: 'Park google-3' }).click();
    await page.getByRole('dialog').waitFor();
    expect([await overflowOf(page), await seriousFaults(page)]).toEqual([0, []]);
  });
});
