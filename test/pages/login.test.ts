import { expect, it } from 'vitest';
import { seriousFaults } from '../support/accessibility.ts';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { openAsAdmin, overflowOf, VIEWS } from '../support/log-in.ts';
import { startApp } from '../support/start-app.ts';

const start = () => startApp({ environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN } });

describeInBrowser('the login', (browser) => {
  it('leads to the dashboard with the right token, by a cookie that no script can read', async () => {
    const app = await start();
    const page = await openAsAdmin(browser, app.url, '/dashboard');
    await page.getByRole('heading', { name: 'All is well' }).waitFor();
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({
      name: 'understudy_session',
      httpOnly: true,
      sameSite: 'Lax',
      path: '/',
    });
    expect(await page.evaluate('document.cookie')).toBe('');
  });

  it('says that a token is wrong, and stays', async () => {
    const app = await start();
    const page = await browser.open(`${app.url}/dashboard`, { forgives: /status of 401/ });
    await page.waitForURL(`${app.url}/login`);
    await page.keyboard.type('not-the-admin-token');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('This token is wrong.').waitFor();
    expect(page.url()).toBe(`${app.url}/login`);
  });

  it('says when somebody has guessed too often', async () => {
    const app = await start();
    const page = await browser.open(`${app.url}/login`, { forgives: /status of 4(01|29)/ });
    await page.getByLabel('Admin token').fill('not-the-admin-token');
    for (let i = 0; i < 11; i += 1) {
      const answered = page.waitForResponse('**/api/login');
      await page.getByRole('button', { name: 'Log in' }).click();
      await answered;
    }
    await page
      .getByRole('alert')
      .getByText(/Too many wrong tokens.*seconds/)
      .waitFor();
  });

  it('goes nowhere but to our own pages', async () => {
    const app = await start();
    const page = await browser.open(`${app.url}/login?to=https://evil.example/`);
    await page.getByLabel('Admin token').fill(ADMIN_TOKEN);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${app.url}/dashboard`);
  });

  it('ends with the button on the dashboard', async () => {
    const app = await start();
    const page = await openAsAdmin(browser, app.url, '/dashboard', {
      forgives: /status of 401/,
    });
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL(`${app.url}/login`);
    expect(await page.context().cookies()).toEqual([]);
  });

  it.each(VIEWS)('reads well at %o', async (view) => {
    const app = await start();
    const page = await browser.open(`${app.url}/login`, view);
    await page.getByLabel('Admin token').waitFor();
    expect([await overflowOf(page), await seriousFaults(page)]).toEqual([0, []]);
  });
});
