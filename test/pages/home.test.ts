import { describe, expect, it } from 'vitest';
import { expectReadable } from '../support/accessibility.ts';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { loadPage } from '../support/load-page.ts';
import { send } from '../support/send.ts';
import { startApp } from '../support/start-app.ts';

const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };

describe('the start page', () => {
  it.each(['*/*', 'application/json'])(
    'is JSON with the paths of this server for a program that accepts %s',
    async (accept) => {
      const app = await startApp({ environment: { ADMIN_TOKEN } });
      const { status, headers, body } = await app.get('/', { accept });
      expect([status, headers.get('vary')]).toEqual([200, expect.stringContaining('accept')]);
      const { name, mode, chat, avatar, ...others } = body;
      expect([name, mode]).toEqual(['Understudy', 'live']);
      expect((await app.post(chat, {})).body.error.code).toBe('invalid_request');
      expect((await app.post(avatar, {})).body.error.code).toBe('no_keys_configured');
      expect(Object.keys(others)).toContain('dashboard');
      for (const path of Object.values(others).map(String)) {
        const answer = await app.get(path, { ...BROWSER, ...AS_ADMIN });
        expect([path, answer.status]).toEqual([path, 200]);
      }
    },
  );

  it('is a page for a browser, with all that it loads, and names no page that does not exist', async () => {
    const app = await startApp({ environment: {} });
    const { headers, text } = await app.get('/', BROWSER);
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(headers.get('content-security-policy')).toContain(
      "default-src 'none';script-src 'self'",
    );
    expect(text).toContain('<title>Understudy</title>');
    const statuses = await loadPage(`${app.url}/`, BROWSER);
    expect([...statuses.keys()]).toContain('/home/frame.css');
    expect([...statuses].filter(([, status]) => status !== 200)).toEqual([]);
    expect((await app.get('/')).body).not.toHaveProperty('dashboard');
    expect((await app.get('/home')).status).toBe(404);
    expect((await app.get('/home/index.html')).status).toBe(404);
    expect((await send(app, '/', { method: 'POST' })).status).toBe(405);
  });
});

describeInBrowser('the start page in a browser', ({ open }) => {
  it('shows a call that works, the usable keys, and where to go', async () => {
    const environment = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ADMIN_TOKEN };
    const app = await startApp({ environment });
    const page = await open(app.url);
    await page.getByText('Usable now: 2 of 2 keys of google.').waitFor();
    const command = await page.locator('#command').textContent();
    expect(command).toContain(`curl ${app.url}/api/chat `);
    const body = /-d '(.*)'$/.exec(command ?? '')?.[1] ?? '';
    expect((await app.post('/api/chat', JSON.parse(body))).status).toBe(200);
    await expectReadable(page);
    await page.getByLabel('Where to go').getByRole('link', { name: 'Dashboard' }).click();
    await page.waitForURL(`${app.url}/login`);
  });

  it('links no page of the operator without an admin token', async () => {
    const app = await startApp({ environment: {} });
    const page = await open(app.url);
    await page.getByText('Set ADMIN_TOKEN and restart').waitFor();
    await page.getByText('No API keys are set. Set GOOGLE_API_KEY').waitFor();
    expect(await page.getByRole('link', { name: /Dashboard|Playground/ }).count()).toBe(0);
  });
});
