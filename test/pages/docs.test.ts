import { expect, it } from 'vitest';
import { expectReadable } from '../support/accessibility.ts';
import { describeInBrowser } from '../support/browser.ts';
import { startForPrograms } from '../support/programs.ts';
import { startApp } from '../support/start-app.ts';

describeInBrowser('the API page', ({ open }) => {
  it('shows every operation of this server, and sends a request', async () => {
    const app = await startForPrograms();
    const page = await open(`${app.url}/docs`);
    await page.waitForSelector('.opblock');
    const { body } = await app.get('/openapi.json');
    const shown = await page.locator('.opblock-summary-path').evaluateAll(pathsIn);
    const paths = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods as object).map(() => path),
    );
    expect(shown.toSorted()).toEqual(paths.toSorted());
    await page.click('#operations-Operation-getHealth .opblock-summary-control');
    await page.click('#operations-Chat-chat .opblock-summary-control');
    await page.click('#operations-Chat-chat .try-out__btn');
    await page.click('#operations-Chat-chat .execute');
    const answer = page.locator('.live-responses-table .response').first();
    expect(await answer.textContent()).toMatch(/^200[\s\S]*"reply": "one two three"/);
    await expectReadable(page);
    await page.waitForSelector('html.dark-mode');
    await page.click('.btn.authorize');
    await page.waitForSelector('.auth-container');
    await expectReadable(page);
  }, 120_000);
});

/** The visible text has invisible characters, where a path may be broken. */
const pathsIn = (elements: readonly { getAttribute(name: string): string | null }[]) =>
  elements.map((element) => element.getAttribute('data-path'));

it('serves only the files of its library that it loads', async () => {
  const app = await startApp({ environment: {} });
  expect((await app.get('/docs/lib/swagger-ui/swagger-ui.css')).status).toBe(200);
  expect((await app.get('/docs/lib/swagger-ui/package.json')).status).toBe(404);
});
