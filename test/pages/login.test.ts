import { expect, it } from 'vitest';
import { expectReadable } from '../support/accessibility.ts';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { logIn } from '../support/log-in.ts';
import { startApp } from '../support/start-app.ts';

describeInBrowser('the login', (browser) => {
  it('leads to our own pages only, by a cookie that no script can read, until the logout', async () => {
    const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN } });
    const page = await browser.open(`${app.url}/login?to=https://evil.example/`, /status of 401/);
    await expectReadable(page);
    await logIn(page);
    await page.waitForURL(`${app.url}/dashboard`);
    await page.getByRole('heading', { name: 'All keys are available.' }).waitFor();
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({
      name: 'understudy_session',
      httpOnly: true,
      sameSite: 'Lax',
      path: '/',
    });
    expect(await page.evaluate('document.cookie')).toBe('');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL(`${app.url}/login`);
    expect(await page.context().cookies()).toEqual([]);
  });

  it('leads a link to what it names, and to no other server by its fragment', async () => {
    const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN } });
    const page = await browser.open(`${app.url}/dashboard#key=google`);
    await page.waitForURL(`${app.url}/login#key=google`);
    await logIn(page);
    await page.waitForURL(`${app.url}/dashboard#key=google`);
    await page.getByRole('dialog', { name: 'Key google' }).getByText('Fingerprint').waitFor();
    await page.goto(`${app.url}/login?to=/playground#@evil.example/`);
    await logIn(page);
    await page.waitForURL(`${app.url}/playground#@evil.example/`);
  });

  it('shows that a token is wrong, and that there were too many wrong tokens', async () => {
    const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN } });
    const page = await browser.open(`${app.url}/dashboard`, /status of 4(01|29)/);
    await page.waitForURL(`${app.url}/login`);
    await page.keyboard.type('not-the-admin-token');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('This token is wrong.').waitFor();
    expect(page.url()).toBe(`${app.url}/login`);
    for (let i = 0; i < 10; i += 1) {
      const answered = page.waitForResponse('**/api/login');
      await page.getByRole('button', { name: 'Log in' }).click();
      await answered;
    }
    const sentence = /Too many wrong tokens.*seconds/;
    await page.getByRole('alert').getByText(sentence).waitFor();
  });
});
