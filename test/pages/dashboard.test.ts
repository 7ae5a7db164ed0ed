import type { Locator, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { StandinOptions } from '../../standin/standin.ts';
import { expectReadable } from '../support/accessibility.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { startInstance } from '../support/instances.ts';
import { openAsAdmin } from '../support/log-in.ts';
import { freePort } from '../support/redis.ts';
import { type App, flow, startApp } from '../support/start-app.ts';
import { emptyFolder } from '../support/stores.ts';
import { writeToolsFile } from '../support/tools-file.ts';

const MINUTE = 60_000;
const GOOD_KEY = 'AQ.a-good-key-of-the-test-0123456789';
const QUESTION = {
  model: 'gemini-flash-latest',
  messages: [{ role: 'user', content: 'Hi' }],
};
const MASTER_KEY = 'a-master-key-of-forty-characters-or-so-1';
const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ADMIN_TOKEN };

const manyKeys = (number: number) => ({
  ...Object.fromEntries(
    Array.from({ length: number }, (_, i) => [`GOOGLE_API_KEY_${i + 1}`, `g-key-${i + 1}`]),
  ),
  ADMIN_TOKEN,
});

const firstIs = (fault: object): Partial<StandinOptions> => ({
  keys: [
    { key: 'g-one', service: 'google', ...fault },
    { key: 'g-two', service: 'google' },
  ],
});

const keyRow = (page: Page, id: string) =>
  page
    .getByRole('region', { name: 'Keys' })
    .getByRole('row')
    .filter({ has: page.getByRole('link', { name: id, exact: true }) });

const panelOf = (page: Page, name: string | RegExp) => page.getByRole('dialog', { name });

/** Advances the clock too: reports are cached for less than a second. */
const ask = async (app: App, times: number) => {
  for (let i = 0; i < times; i += 1) await app.chat('Hi');
  app.clock.advance(1000);
};

const waitForHeadline = (page: Page, look: 'good' | 'wait' | 'bad', sentence: string | RegExp) =>
  page
    .locator(`.verdict.${look}`)
    .getByRole('heading', { name: sentence })
    .waitFor({ timeout: 8000 });

/** The countdown of a key, in seconds. */
async function secondsIn(page: Page, id: string): Promise<number> {
  const text = await keyRow(page, id).locator('.countdown').textContent();
  return (text ?? '').split(':').reduce((seconds, part) => seconds * 60 + Number(part), 0);
}

const textOf = async (locator: Locator) =>
  ((await locator.textContent()) ?? '').replace(/\s+/g, ' ').trim();

/** The text beside a term of the verdict. */
const answerTo = (page: Page, term: string) =>
  page
    .locator('.answers > div')
    .filter({ has: page.getByText(term, { exact: true }) })
    .locator('dd');

describeInBrowser('the dashboard', (browser) => {
  const open = (app: App, forgives?: RegExp) =>
    openAsAdmin(browser, `${app.url}/dashboard`, forgives);

  it('says what is wrong, whose fault it is, until when in local time, and what to do', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', KEY_WAIT_SECONDS: '0', ADMIN_TOKEN },
      standin: { keys: [{ key: 'g-one', service: 'google', limits: { rpd: 1 } }] },
    });
    const page = await open(app);
    await waitForHeadline(page, 'good', /.+/);
    await ask(app, 3);
    await waitForHeadline(page, 'bad', /Google key.* quota/);
    expect(await page.title()).toMatch(/^⚠ .*quota.* · Understudy$/);
    await expect.poll(() => textOf(answerTo(page, 'Whose fault'))).toContain('quota');
    expect(await textOf(answerTo(page, 'Until'))).toMatch(
      /^08:00 UTC, midnight Pacific · 25 Nov 09:00 here \(in 13:\d\d:\d\d\)$/,
    );
    expect(await textOf(answerTo(page, 'What to do'))).toMatch(/another project/);
    expect(await textOf(answerTo(page, 'Since'))).toMatch(/^19:00:0\d · 18:00:0\d UTC/);
    await page.locator('.verdict').getByRole('link', { name: 'google', exact: true }).click();
    await panelOf(page, 'Key google')
      .getByText(/The day's quota of .* is spent/)
      .first()
      .waitFor();
    expect(page.url()).toBe(`${app.url}/dashboard#key=google`);
  });

  it('shows that a key cools down, why and for how long, and that it returns', async () => {
    const app = await startApp({ environment: TWO, standin: firstIs({ limits: { rpd: 1 } }) });
    const page = await open(app);
    await page.getByText('2 of 2 available').first().waitFor();
    await ask(app, 3);
    await page.getByText('1 of 2 available').waitFor();
    await keyRow(page, 'google').getByText('cooling down').waitFor();
    await keyRow(page, 'google')
      .getByText(/^probe in 59:\d\d$/)
      .waitFor();
    await page.getByText(/next probe in 59:\d\d/).waitFor();
    // In trouble first.
    await expect
      .poll(() => page.locator('.keys tbody th a').allInnerTexts())
      .toEqual(['google', 'google-2']);
    const before = await secondsIn(page, 'google');
    expect(before).toBeGreaterThan(3500);
    expect(before).toBeLessThanOrEqual(3600);
    await page.route('**/api/**', (route) => new Promise(() => route));
    await expect.poll(() => secondsIn(page, 'google'), { timeout: 5000 }).toBeLessThan(before);
    await page.unrouteAll();
    await page.reload();
    app.clock.advance(10 * MINUTE);
    await expect.poll(() => secondsIn(page, 'google'), { timeout: 5000 }).toBeLessThan(3010);
    const bar = keyRow(page, 'google').getByRole('img', {
      name: /cooling down for 10 minutes \(quota exhausted\)/,
    });
    await bar.waitFor();
    app.clock.advance(50 * MINUTE);
    await page.getByText('2 of 2 available').first().waitFor();
    await keyRow(page, 'google').getByText('available').waitFor();
  });

  it('shows keys as unproven while no call succeeds, and counts them as available all the same', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app);
    const state = (id: string) => textOf(keyRow(page, id).locator('.state'));
    await expect.poll(() => state('google')).toBe('● available');
    for (const key of ['g-one', 'g-two']) app.standin.setFault(key, { kind: 'internal' });
    for (let i = 0; i < 2; i += 1) await flow(app.clock, app.chat('Hi'));
    app.clock.advance(1000);
    await waitForHeadline(page, 'bad', /^Google fails with status 500/);
    await expect.poll(() => state('google')).toBe('○ unproven');
    expect(await state('google-2')).toBe('○ unproven');
    await page.getByText('2 of 2 available').first().waitFor();
    expect(await page.locator('.shares .fill-good').count()).toBe(0);
    expect(await app.counts()).toMatchObject({ available: 2 });
    await keyRow(page, 'google').getByRole('link').click();
    await panelOf(page, 'Key google').getByText('○ unproven').waitFor();
    await page.keyboard.press('Escape');
    app.clock.advance(6 * 60_000);
    await waitForHeadline(page, 'wait', /No request was answered since 18:\d\d UTC\.$/);
    expect(await state('google')).toBe('○ unproven');
    for (const key of ['g-one', 'g-two']) app.standin.setFault(key, null);
    await ask(app, 3);
    await expect.poll(() => state('google')).toBe('● available');
  });

  it('has one number for the refused requests, and rounds the share of the answered ones', async () => {
    const app = await startApp({ environment: { ...TWO, RATE_LIMIT_CHAT: '110' } });
    await ask(app, 165);
    const page = await open(app);
    await waitForHeadline(page, 'wait', /^Requests were turned away by our own rate limit/);
    expect(await textOf(page.locator('.affected'))).toBe('55 requests affected');
    const answered = page.locator('.tiles > div').filter({ hasText: 'Answered' });
    expect(await textOf(answered)).toBe('Answered66.7% 110 of 165');
  });

  it('shows nothing of a service without a key, and says what its numbers are', async () => {
    const app = await startApp({
      environment: {
        ...TWO,
        CLIENT_TOKENS: 'a-client-token-0123456789',
        KEY_WAIT_SECONDS: '0',
        RATE_LIMIT_CHAT: '3',
      },
      standin: firstIs({ limits: { rpd: 1 } }),
    });
    app.standin.setFault('g-two', { kind: 'leaked' });
    await ask(app, 4);
    const page = await open(app);
    const tiles = page.locator('.services h3');
    await tiles.first().waitFor();
    expect((await tiles.allTextContents()).join()).not.toContain('Anam');
    const services = page.getByLabel('Service and model').getByRole('option');
    expect((await services.allTextContents()).join()).toMatch(/^Every service,(Google [^,]+,?)+$/);

    const keys = page.getByRole('region', { name: 'Keys' });
    const bar = keys.getByRole('columnheader', { name: 'State, last 5 min' });
    expect(await bar.getAttribute('title')).toMatch(/^Green: available\. /);
    app.clock.advance(6 * MINUTE);
    await keys.getByRole('columnheader', { name: 'State, last 15 min' }).waitFor();

    const refused = page.locator('.requests tr').filter({ hasText: 'all keys exhausted' });
    await expect.poll(() => textOf(refused.locator('.fills').first())).toBe('–');

    const client = page.getByRole('region', { name: 'Clients' }).getByRole('row').last();
    await expect.poll(() => textOf(client)).toMatch(/^client-1 ?0 \/ – ?0 \/ – ?0 \/ – ?0 \/ – /);

    const requests = page.locator('.tiles > div').filter({ hasText: 'Requests' });
    expect(await textOf(requests)).toBe('Requests4 last hour');
    const usage = page.getByRole('region', { name: 'Usage' });
    await usage.getByText(/^3 requests · /).waitFor();
    await usage.getByText('Without the requests that our own limits refused.').waitFor();
    await usage.getByRole('columnheader', { name: 'Failover steps' }).waitFor();
  });

  it('has its tiles in even rows on every screen, and none beside an empty space', async () => {
    const PRICES = { currency: 'EUR', models: { 'gemini-flash-latest': { request: 0.00042 } } };
    const app = await startApp({
      environment: {
        ...TWO,
        ANAM_API_KEY: 'a-one',
        CLIENT_TOKENS: 'a-client-token-0123456789',
        PRICES: writeToolsFile(PRICES),
      },
    });
    await ask(app, 3);
    const page = await open(app);
    await page.locator('.tiles > div').filter({ hasText: 'Cost0.0013 EUR' }).waitFor();
    await page.locator('.services li').nth(3).waitFor();
    const rowsAt = async (width: number) => {
      await page.setViewportSize({ width, height: 900 });
      return page.evaluate(ROWS);
    };
    for (const width of [1100, 1280, 1440, 1920]) {
      expect(await rowsAt(width)).toEqual({ rows: [4], isFilled: true });
    }
    expect(await rowsAt(390)).toEqual({ rows: [2, 2], isFilled: true });
  });

  it('leads from a group of failures to the whole trace of a request, and to its key', async () => {
    const app = await startApp({
      environment: { ...TWO, CLIENT_TOKENS: 'a-client-token-0123456789' },
      standin: {
        keys: ['g-one', 'g-two'].map((key) => ({
          key,
          service: 'google' as const,
          fault: { kind: 'leaked' as const },
        })),
      },
    });
    const asClient = { authorization: 'Bearer a-client-token-0123456789' };
    const { headers } = await app.post('/v1/chat/completions', QUESTION, asClient);
    const id = headers.get('x-request-id') ?? '';
    app.clock.advance(1000);
    const page = await open(app);
    const group = page.getByRole('region', { name: 'Failures' }).getByRole('listitem');
    await group.getByText('1 ×').waitFor();
    await group.getByText('client-1').waitFor();
    await group.getByRole('link', { name: id.slice(0, 8) }).click();
    const trace = panelOf(page, `Request ${id.slice(0, 8)}`);
    await trace.getByText(id, { exact: true }).waitFor();
    await trace.getByText('2 attempts').waitFor();
    await trace.getByText('key rejected').first().waitFor();
    await trace.getByText('client-1', { exact: true }).waitFor();
    await trace.getByRole('link', { name: 'google-2', exact: true }).click();
    const panel = panelOf(page, 'Key google-2');
    await panel.getByText('Your API key was reported as leaked').first().waitFor();
    await panel
      .getByText(/^Google says that the key was reported as leaked; needs action/)
      .first()
      .waitFor();
    await page.goto(`${app.url}/dashboard#request=${id}`);
    await trace.getByText('2 attempts').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.url()).toBe(`${app.url}/dashboard`);
  });

  it('zooms into the last day by keyboard, pointer and buttons, and has it as a table', async () => {
    const app = await startApp({ environment: TWO });
    await ask(app, 2);
    app.clock.advance(3 * 60 * MINUTE);
    await ask(app, 3);
    const page = await open(app);
    const history = page.getByRole('region', { name: 'Requests', exact: true });
    const legend = history.getByRole('listitem').filter({ hasText: 'answered' }).first();
    await expect.poll(() => textOf(legend)).toMatch(/answered ?3$/);
    await history.getByRole('button', { name: '6 h' }).click();
    await expect.poll(() => textOf(legend)).toMatch(/answered ?5$/);
    await history.getByText('As a table').click();
    await expect.poll(() => history.getByRole('row').count()).toBe(3);
    const chart = history.getByRole('slider');
    await chart.focus();
    await page.keyboard.press('End');
    expect(await chart.getAttribute('aria-valuetext')).toMatch(/3 answered/);
    await page.keyboard.press('Enter');
    await expect.poll(() => textOf(legend)).toMatch(/answered ?3$/);
    await history.getByRole('button', { name: 'Back to now' }).click();
    await history.getByRole('button', { name: '24 h' }).click();
    await expect.poll(() => textOf(legend)).toMatch(/answered ?5$/);
    const box = await chart.boundingBox();
    if (box === null) throw new Error('the chart is not shown');
    await page.mouse.move(box.x + box.width - 60, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 2, box.y + 60);
    await page.mouse.up();
    await expect.poll(() => textOf(legend)).toMatch(/answered ?3$/);
  });

  it('adds a key that is used at once, checks a bad one, and retires one under load without a refusal', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN },
      standin: {
        keys: [
          { key: 'g-one', service: 'google' },
          { key: GOOD_KEY, service: 'google' },
          { key: 'g-bad-key-0123456789', service: 'google', fault: { kind: 'leaked' } },
        ],
      },
    });
    const page = await open(app);
    const statuses: number[] = [];
    let isLoaded = true;
    const load = (async () => {
      while (isLoaded) statuses.push((await app.chat('Hi')).status);
    })();
    await addKey(page, GOOD_KEY, 'team-a');
    const panel = panelOf(page, 'Key google-r1');
    await panel.getByText('team-a').waitFor();
    await expect.poll(() => app.standin.callsOf(GOOD_KEY)).toBeGreaterThan(0);
    await panel.getByRole('button', { name: 'Retire…' }).click();
    await page.getByRole('button', { name: 'Retire key' }).click();
    await page.getByText('google-r1 was retired.').waitFor({ state: 'attached' });
    const after = app.standin.callsOf(GOOD_KEY);
    const soFar = statuses.length;
    await expect.poll(() => statuses.length).toBeGreaterThan(soFar + 5);
    expect(app.standin.callsOf(GOOD_KEY)).toBeLessThanOrEqual(after + 1);
    isLoaded = false;
    await load;
    expect(new Set(statuses)).toEqual(new Set([200]));

    await addKey(page, 'g-bad-key-0123456789', '');
    await page
      .getByRole('dialog', { name: 'Add key' })
      .getByRole('link', { name: 'google-r2' })
      .click();
    await panelOf(page, 'Key google-r2')
      .getByRole('button', { name: 'Check', exact: true })
      .click();
    await page.getByRole('button', { name: 'Check key' }).click();
    await page
      .getByRole('dialog', { name: 'Check google-r2' })
      .getByText('rejected', { exact: true })
      .waitFor();
    await page.getByRole('button', { name: 'Close' }).last().click();
    await panelOf(page, 'Key google-r2').getByText('Last check').waitFor();
    expect(await page.content()).not.toContain('g-bad-key');
  });

  it('makes a client whose token is shown once, gives it a limit, and revokes it', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app);
    const clients = page.getByRole('region', { name: 'Clients' });
    await clients.getByRole('button', { name: 'New client' }).click();
    await page.getByLabel('Name').fill('shop');
    await page.getByLabel('Requests a minute').fill('2');
    await page.getByRole('button', { name: 'Make client' }).click();
    const token = await page.getByLabel('Token', { exact: true }).inputValue();
    await page
      .getByRole('dialog', { name: 'New client' })
      .getByRole('button', { name: 'Close' })
      .click();
    await expect.poll(() => page.content()).not.toContain(token);
    const asShop = { authorization: `Bearer ${token}` };
    const chat = async () => (await app.post('/api/chat', { message: 'Hi' }, asShop)).status;
    expect([await chat(), await chat(), await chat()]).toEqual([200, 200, 429]);
    await clients.getByText('2 / 2').waitFor();
    await clients.getByRole('link', { name: 'shop' }).click();
    await panelOf(page, 'Client shop').getByRole('button', { name: 'Revoke…' }).click();
    await page.getByRole('button', { name: 'Revoke client' }).click();
    await expect.poll(() => clients.getByRole('link', { name: 'shop' }).count()).toBe(0);
    expect(await chat()).toBe(401);
    await page.goto(`${app.url}/dashboard#client=shop`);
    await panelOf(page, 'Client shop').getByText('There is no such client.').waitFor();
  });

  it('parks a key with the keyboard alone, and keeps a dialog open while it polls', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app);
    await page.getByRole('link', { name: 'google-2', exact: true }).focus();
    await page.keyboard.press('Enter');
    const panel = panelOf(page, 'Key google-2');
    await panel.getByRole('button', { name: 'Park…' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Park google-2' }).waitFor();
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Tab');
    await page.keyboard.type('strange bill');
    await page.keyboard.press('Enter');
    await panel.getByText(/^park, by Ana: strange bill/).waitFor();
    expect(app.logs.findLast(({ msg }) => msg === 'operator')).toMatchObject({
      key: 'google-2',
      action: 'park',
      who: 'Ana',
      why: 'strange bill',
    });
    await panel.getByRole('button', { name: 'Park…' }).click();
    await page.getByLabel('Reason').fill('half a sen');
    await ask(app, 2);
    expect(app.standin.callsOf('g-two')).toBe(0);
    await expect.poll(() => page.locator('.requests tbody tr').count(), { timeout: 5000 }).toBe(2);
    expect(await page.getByLabel('Reason').inputValue()).toBe('half a sen');
    await page.keyboard.press('Escape');
    await panel.getByText('Fingerprint').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe('google-2');
    expect(await secondsIn(page, 'google-2')).toBeLessThanOrEqual(900);
  });

  it('shows a lost connection, and begins with the first page of keys when the server is back', async () => {
    const before = await startApp({ environment: manyKeys(120) });
    const page = await open(before, /ERR_CONNECTION_|ERR_EMPTY|status of 400/);
    await page.getByRole('button', { name: 'Next keys' }).click();
    await keyRow(page, 'google-100').waitFor();
    await flow(before.clock, before.stop());
    await page.getByText(/^Connection lost\. The data is from .* Retrying…$/).waitFor();
    await page.locator('.verdict.stale').waitFor();
    const { port } = new URL(before.url);
    const after = await startApp({ environment: { ...TWO, PORT: port } });
    await keyRow(page, 'google').waitFor();
    expect(await page.getByText('Connection lost').count()).toBe(0);
    expect(page.url()).toBe(`${after.url}/dashboard`);
  });

  it('shows no number for the tokens of today while Redis is down, and says why', async () => {
    const REDIS_URL = `redis://127.0.0.1:${await freePort()}`;
    const { url } = await startInstance({ environment: { ...TWO, REDIS_URL } });
    const page = await openAsAdmin(browser, `${url}/dashboard`, /status of 503/);
    const tile = page.locator('.tiles > div').filter({ hasText: 'Tokens' });
    await expect.poll(() => textOf(tile)).toBe('Tokens– today, UTC');
    expect(await tile.getAttribute('title')).toBe(
      'Unknown: the store of the usage could not be read.',
    );
  });

  it('says that incidents may be missing while Redis is gone, and shows those that are known', async () => {
    const REDIS_URL = `redis://127.0.0.1:${await freePort()}`;
    const app = await startApp({ environment: { ...TWO, REDIS_URL } });
    const page = await open(app, /status of 503/);
    const incidents = page.getByRole('region', { name: 'Incidents' });
    await incidents
      .getByText('The store does not answer: other incidents may be missing.')
      .waitFor();
    expect(await incidents.getByText('None.').count()).toBe(0);
    await page.goto(`${app.url}/dashboard#incident=of-another-instance`);
    await panelOf(page, 'Incident of-another-instance')
      .getByText('This incident cannot be read now.')
      .waitFor();
    await page.keyboard.press('Escape');
    await incidents.scrollIntoViewIfNeeded();
    await expect
      .poll(
        () => {
          app.clock.advance(3000);
          return incidents.getByText('going on').count();
        },
        { timeout: 25_000, interval: 200 },
      )
      .toBe(1);
  });

  it('finds a retired key by its filter, and resumes it there', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app);
    await keyRow(page, 'google-2').getByRole('link').click();
    const panel = panelOf(page, 'Key google-2');
    await panel.getByText('The environment: a change to it holds until the restart').waitFor();
    await panel.getByRole('button', { name: 'Retire…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Retire google-2' });
    await dialog.getByText(/stays retired until the restart, or until it is resumed/).waitFor();
    await dialog.getByRole('button', { name: 'Retire key' }).click();
    await expect.poll(() => keyRow(page, 'google-2').count()).toBe(0);
    await page.getByLabel('State').selectOption('retired');
    await keyRow(page, 'google-2').getByText('retired').waitFor();
    await page.getByLabel('State').selectOption('Every state');
    await keyRow(page, 'google').waitFor();
    await page.goto(`${app.url}/dashboard#key=google-2`);
    await panel.getByText('Retired by the operator; out of use until it is resumed.').waitFor();
    expect(await panel.locator('.actions button').allInnerTexts()).toEqual(['Check', 'Resume']);
    await panel.getByRole('button', { name: 'Resume' }).click();
    await page.getByRole('button', { name: 'Resume key' }).click();
    await panel.getByText('● available').waitFor();
  });

  it.each([
    [{}, 'in memory until the restart. To keep them, set MASTER_KEY, and REDIS_URL or DATA_DIR.'],
    [{ DATA_DIR: '' }, 'in memory until the restart. To keep them, set MASTER_KEY.'],
    [{ MASTER_KEY }, 'in memory until the restart. To keep them, set REDIS_URL or DATA_DIR.'],
    [{ MASTER_KEY, DATA_DIR: '' }, 'in DATA_DIR and outlive a restart.'],
  ])(
    'says what keeps changes to keys, and what that means for a retired one: %j',
    async (given, says) => {
      const dataDir = 'DATA_DIR' in given ? { DATA_DIR: await emptyFolder() } : {};
      const app = await startApp({ environment: { ...TWO, ...given, ...dataDir } });
      const page = await open(app);
      await page.getByText(`Changes to keys are kept ${says}`, { exact: true }).waitFor();
      await keyRow(page, 'google-2').getByRole('link').click();
      const panel = panelOf(page, 'Key google-2');
      await panel.getByText(/^The environment/).waitFor();
      const lasts = says.endsWith('outlive a restart.');
      expect(await panel.getByText('holds until the restart').count()).toBe(lasts ? 0 : 1);
      await panel.getByRole('button', { name: 'Retire…' }).click();
      const until = lasts
        ? 'until its text changes, or until it is resumed'
        : 'until the restart, or';
      await page.getByRole('dialog', { name: 'Retire google-2' }).getByText(until).waitFor();
    },
  );

  it('speaks of force, not of JSON, where a key that is still refused is to be released', async () => {
    const environment = { GOOGLE_API_KEY: 'g-one', KEY_WAIT_SECONDS: '0', ADMIN_TOKEN };
    const app = await startApp({ environment, standin: firstIs({ fault: { kind: 'leaked' } }) });
    await ask(app, 1);
    const page = await open(app, /status of 409/);
    await keyRow(page, 'google').getByRole('link').click();
    await panelOf(page, 'Key google').getByRole('button', { name: 'Release' }).click();
    const dialog = page.getByRole('dialog', { name: 'Release google' });
    await dialog.getByRole('button', { name: 'Release key' }).click();
    await dialog
      .getByText(/not released: fix it at the provider, or release it by force\.$/)
      .waitFor();
    await dialog.getByLabel(/^Release it by force/).check();
    await dialog.getByRole('button', { name: 'Release key' }).click();
    await panelOf(page, 'Key google').getByText('● available').waitFor();
  });

  it('goes to the login when the session has ended', async () => {
    const app = await startApp({ environment: TWO });
    const page = await open(app, /status of 401/);
    await keyRow(page, 'google').getByRole('link').click();
    app.clock.advance(12 * 60 * MINUTE);
    await page.waitForURL(`${app.url}/login?to=/dashboard#key=google`);
  });

  it('shows ten thousand keys page by page within a second each, and finds one', async () => {
    const app = await startApp({
      environment: manyKeys(10_000),
      standin: { keys: [{ key: 'g-key-10000', service: 'google' }] },
    });
    await app.post('/api/keys/google-7777/park', {}, AS_ADMIN);
    const page = await open(app);
    await page.getByText('9,999 of 10,000 available').first().waitFor();
    await expect.poll(() => page.locator('.keys tbody tr').count()).toBe(50);
    expect(await textOf(page.locator('.keys tbody th a').first())).toBe('google-7777');
    await page.getByRole('button', { name: 'Next keys' }).click();
    await keyRow(page, 'google-60').waitFor({ timeout: 1500 });
    await page.getByRole('button', { name: 'Previous keys' }).click();
    await keyRow(page, 'google-1').waitFor({ timeout: 1500 });
    await page.getByLabel('Search keys').fill('google-987');
    await expect.poll(() => page.locator('.keys tbody tr').count(), { timeout: 1500 }).toBe(11);
    await page.getByLabel('Search keys').fill('');
    await page.getByLabel('State').selectOption('cooling down');
    await expect.poll(() => page.locator('.keys tbody tr').count(), { timeout: 1500 }).toBe(1);
  });

  it('is readable in both themes, without scrolling sideways on a phone, with all that it can show', async () => {
    const app = await startApp({
      environment: {
        ...TWO,
        GOOGLE_API_KEY_3: 'g-three',
        GOOGLE_API_KEY_4: 'g-four',
        ANAM_API_KEY: 'a-one',
        RATE_LIMIT_CHAT: '6',
        CLIENT_TOKENS: 'a-client-token-0123456789',
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
    await waitForHeadline(page, 'wait', /.+/);
    await page.getByText('1 of 4 available').waitFor();
    for (const summary of await page.locator('summary').all()) await summary.click();
    await expectReadable(page);
    await page.goto(`${app.url}/dashboard#key=google`);
    const panel = panelOf(page, 'Key google');
    await panel.getByText('Last error').waitFor();
    await expectReadable(page);
    await panel.getByRole('button', { name: 'Labels…' }).click();
    await page.getByRole('dialog', { name: 'Labels of google' }).waitFor();
    await expectReadable(page);
  });
});

/** How many tiles of services each row has, and whether the numbers of the hour fill their card. */
const ROWS = `(() => {
  const boxes = [...document.querySelectorAll('.services li')].map((tile) => tile.getBoundingClientRect());
  const numbers = document.querySelector('dl.tiles');
  const rows = [...Map.groupBy(boxes, ({ top }) => top).values()].map((row) => row.length);
  const inner = Math.max(...[...numbers.querySelectorAll('.note')].map((note) => note.getBoundingClientRect().bottom));
  return { rows, isFilled: numbers.getBoundingClientRect().bottom - inner < 24 };
})()`;

async function addKey(page: Page, key: string, project: string): Promise<void> {
  await page.getByRole('button', { name: 'Add key' }).first().click();
  await page.getByLabel('API key').fill(key);
  await page.getByLabel('Project').fill(project);
  await page
    .getByRole('dialog', { name: 'Add key' })
    .getByRole('button', { name: 'Add key' })
    .click();
}
