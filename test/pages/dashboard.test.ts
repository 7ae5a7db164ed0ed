import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { StandinOptions } from '../../standin/standin.ts';
import { expectReadable } from '../support/accessibility.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { openAsAdmin } from '../support/log-in.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const MINUTE = 60_000;
const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ADMIN_TOKEN };

const manyKeys = (number: number) => ({
  ...Object.fromEntries(
    Array.from({ length: number }, (_, i) => [`GOOGLE_API_KEY_${i + 1}`, `g-key-${i + 1}`]),
  ),
  ADMIN_TOKEN,
});

const firstIs = (fault: object, answer = {}): Partial<StandinOptions> => ({
  answer,
  keys: [
    { key: 'g-one', service: 'google', ...fault },
    { key: 'g-two', service: 'google' },
  ],
});

const keyCard = (page: Page, id: string) =>
  page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: id, exact: true }) });

/** Advances the clock too: reports are cached for less than a second. */
const ask = async (app: App, times: number) => {
  for (let i = 0; i < times; i += 1) await app.chat('Hi');
  app.clock.advance(1000);
};

const waitForHeadline = (page: Page, look: 'good' | 'wait' | 'bad', sentence: string) =>
  page
    .locator(`.headline.${look}`)
    .getByRole('heading', { name: sentence, exact: true })
    .waitFor({ timeout: 8000 });

/** Of the last rectangle of this kind. */
const sizeOf = async (page: Page, selector: string, size: 'width' | 'height') =>
  Number(await page.locator(selector).last().getAttribute(size));

/** The countdown of a key, in seconds. */
async function secondsIn(page: Page, id: string): Promise<number> {
  const text = await keyCard(page, id).locator('.countdown').textContent();
  return (text ?? '').split(':').reduce((seconds, part) => seconds * 60 + Number(part), 0);
}

describeInBrowser('the dashboard', (browser) => {
  const open = (app: App, forgives?: RegExp) =>
    openAsAdmin(browser, `${app.url}/dashboard`, forgives);

  it('shows that a key cools down, why and for how long, and that it returns', async () => {
    const app = await startApp({ environment: TWO, standin: firstIs({ limits: { rpd: 1 } }) });
    const page = await open(app);
    await waitForHeadline(page, 'good', 'All keys are available.');
    await page.getByText('2 of 2').waitFor();
    await ask(app, 3);
    await page.getByText('1 of 2').waitFor();
    const card = keyCard(page, 'google');
    await card.getByText('cooling down').waitFor();
    await card.getByText("The day's quota of gemini-flash-latest is spent").first().waitFor();
    await page.getByText(/1 cooling down, next probe in 59:\d\d/).waitFor();
    expect(await sizeOf(page, '.shares .fill-wait', 'width')).toBe(50);
    const before = await secondsIn(page, 'google');
    expect(before).toBeGreaterThan(3500);
    expect(before).toBeLessThanOrEqual(3600);
    await page.route('**/api/**', (route) => new Promise(() => route));
    await expect.poll(() => secondsIn(page, 'google'), { timeout: 5000 }).toBeLessThan(before);
    await page.unrouteAll();
    await page.reload();
    app.clock.advance(10 * MINUTE);
    await expect.poll(() => secondsIn(page, 'google'), { timeout: 5000 }).toBeLessThan(3010);
    const bar = card.getByRole('img', { name: /cooling down for 10 minutes \(quota exhausted\)/ });
    await bar.waitFor();
    expect(await sizeOf(page, '.hour .fill-wait', 'width')).toBeGreaterThan(99);
    expect(await sizeOf(page, '.hour .fill-unknown', 'width')).toBe(0);
    app.clock.advance(50 * MINUTE);
    await page.getByText('2 of 2').waitFor();
    await card.locator('.chip', { hasText: 'available' }).waitFor();
  });

  it('shows that every key has used up its quota, when the first returns, and later the refusals', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', KEY_WAIT_SECONDS: '0', ADMIN_TOKEN },
      standin: { keys: [{ key: 'g-one', service: 'google', limits: { rpm: 1 } }] },
    });
    await ask(app, 3);
    const page = await open(app);
    const sentence = 'Every Google key has used up its quota.';
    await waitForHeadline(page, 'bad', sentence);
    expect(await page.title()).toBe(`⚠ ${sentence} · Understudy`);
    await page.getByText(/^First Google key: available in 00:\d\d\.$/).waitFor();
    await page.getByText('No key is configured.').waitFor();
    app.clock.advance(MINUTE);
    const refused = '2 requests were refused or interrupted in the last 15 minutes.';
    await waitForHeadline(page, 'wait', refused);
  });

  it('shows a failed attempt apart from its answer, and releases the key with a reason for the log', async () => {
    const app = await startApp({
      environment: TWO,
      standin: firstIs({ fault: { kind: 'leaked' } }, { modelVersion: 'gemini-3-flash' }),
    });
    await ask(app, 1);
    const page = await open(app);
    await waitForHeadline(page, 'wait', '1 Google key needs action.');
    await keyCard(page, 'google').locator('.chip', { hasText: 'needs action' }).waitFor();
    const requests = page.getByRole('region', { name: 'Latest requests' }).getByRole('listitem');
    await requests.first().getByText('answered', { exact: true }).waitFor();
    await requests.first().getByText('by google-2').waitFor();
    await requests.first().getByText('gemini-flash-latest (answered by gemini-3-flash)').waitFor();
    const attempts = requests.first().getByRole('list', { name: 'Failed attempts' });
    expect(await attempts.getByRole('listitem').allInnerTexts()).toEqual([
      expect.stringMatching(
        /^google, gemini-flash-latest: key rejected after \d+ ms, parked until .*\nYour API key was/,
      ),
    ]);
    await page.getByText('1 request: 1 answered after failover').waitFor();
    expect(await sizeOf(page, '.chart .fill-wait', 'height')).toBe(25);
    expect(await sizeOf(page, '.chart .fill-good', 'height')).toBe(0);

    app.standin.setFault('g-one', null);
    await page.getByRole('button', { name: 'Release google', exact: true }).click();
    await page.getByLabel('Reason').fill('a new key is in');
    await page.getByRole('button', { name: 'Release key' }).click();
    await page.getByRole('status').getByText('google was released.').waitFor();
    // Its check has proved it.
    await waitForHeadline(page, 'good', 'All keys are available.');
    expect(app.logs.findLast(({ msg }) => msg === 'operator')).toMatchObject({
      key: 'google',
      action: 'release',
      who: 'Ana',
      why: 'a new key is in',
    });
    await page.getByText('Details of google', { exact: true }).click();
    await page.getByText('release, by Ana: a new key is in').waitFor();
  });

  it('parks a key with the keyboard alone, and keeps a dialog and details open while it polls', async () => {
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
    await expect
      .poll(() => page.evaluate('document.activeElement.ariaLabel'))
      .toBe('Park google-2');
    await page.getByText('Details of google', { exact: true }).click();
    await page.getByRole('button', { name: 'Park google', exact: true }).click();
    await page.getByLabel('Reason').fill('half a sen');
    await ask(app, 2);
    expect(app.standin.callsOf('g-two')).toBe(0);
    await page.getByText('2 requests').waitFor();
    expect(await page.getByLabel('Reason').inputValue()).toBe('half a sen');
    await page.keyboard.press('Escape');
    await keyCard(page, 'google').getByText('Fingerprint').waitFor();
  });

  it('shows a lost connection, and begins with the first page of keys when the server is back', async () => {
    const before = await startApp({ environment: manyKeys(60) });
    const page = await open(before, /ERR_CONNECTION_|ERR_EMPTY|status of 400/);
    await page.getByRole('button', { name: 'Next keys' }).click();
    await page.getByRole('heading', { name: 'google-50', exact: true }).waitFor();
    await flow(before.clock, before.stop());
    await page.getByText(/^Connection lost\. The data is from .* Retrying…$/).waitFor();
    await page.getByText('60 of 60').waitFor();
    const { port } = new URL(before.url);
    const after = await startApp({ environment: { ...TWO, PORT: port } });
    await page.getByRole('heading', { name: 'google', exact: true }).waitFor();
    expect(await page.getByText('Connection lost').count()).toBe(0);
    expect(page.url()).toBe(`${after.url}/dashboard`);
  });

  it('shows that the provider is down, that its data is old, and the login when the session has ended', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app, /ERR_|status of 401/);
    await app.standin.close();
    await flow(app.clock, app.chat('Hi'), 100);
    app.clock.advance(1000);
    await page.getByRole('heading', { name: 'Requests to Google fail: the provider' }).waitFor();
    await page.route('**/api/**', (route) => route.abort());
    await page.locator('.headline.stale').waitFor();
    await page.unrouteAll();
    app.clock.advance(12 * 60 * MINUTE);
    await page.waitForURL(`${app.url}/login?to=/dashboard`);
  });

  it('shows ten thousand keys page by page, and those of one state', async () => {
    const app = await startApp({
      environment: manyKeys(10_000),
      standin: { keys: [{ key: 'g-key-10000', service: 'google' }] },
    });
    await app.post('/api/keys/google-7777/park', {}, AS_ADMIN);
    const page = await open(app);
    await page.getByText('9999 of 10000').waitFor();
    await page.getByRole('heading', { name: 'google-25', exact: true }).waitFor();
    expect(await page.getByRole('button', { name: /^Park/ }).count()).toBe(25);
    await page.getByRole('button', { name: 'Next keys' }).click();
    await page.getByRole('heading', { name: 'google-50', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Previous keys' }).click();
    await page.getByRole('heading', { name: 'google-1', exact: true }).waitFor();
    await page.getByLabel('State').selectOption('cooling down');
    await page.getByRole('heading', { name: 'google-7777' }).waitFor();
    expect(await page.getByRole('button', { name: /^Park/ }).count()).toBe(1);
  });

  it('is readable with keys in every state and a long headline', async () => {
    const app = await startApp({
      environment: {
        ...TWO,
        GOOGLE_API_KEY_3: 'g-three',
        GOOGLE_API_KEY_4: 'g-four',
        ANAM_API_KEY: 'a-one',
        RATE_LIMIT_CHAT: '6',
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
    await ask(app, 8);
    await app.post('/api/keys/google-4/park', { reason: 'strange bill' }, AS_ADMIN);
    const page = await open(app);
    await waitForHeadline(
      page,
      'wait',
      '1 Google key needs action. 2 requests were rejected by the rate limit per address in the last 15 minutes. If all callers seem to share one address, check TRUST_PROXY.',
    );
    await page.getByText('1 of 4').waitFor();
    for (const summary of await page.locator('summary').all()) await summary.click();
    await expectReadable(page);
    await page.getByRole('button', { name: 'Park google-3' }).click();
    await page.getByRole('dialog').waitFor();
    await expectReadable(page);
  });
});
