import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { seriousFaults } from '../support/accessibility.ts';
import { describeInBrowser } from '../support/browser.ts';
import { startForPrograms } from '../support/programs.ts';
import { startApp } from '../support/start-app.ts';

const PATIENCE_MS = 60_000;

describeInBrowser('the page of routes', ({ open }) => {
  it(
    'shows every operation of this very server',
    async () => {
      const app = await startForPrograms();
      const page = await open(`${app.url}/docs`);
      await page.waitForSelector('.opblock');
      const { body } = await app.get('/openapi.json');
      const shown = await page.locator('.opblock-summary-path').evaluateAll(pathsIn);
      expect(shown.toSorted()).toEqual(Object.keys(body.paths).toSorted());
    },
    PATIENCE_MS,
  );

  it(
    'tries a route and shows its answer',
    async () => {
      const app = await startForPrograms();
      const page = await open(`${app.url}/docs`);
      await tryChat(page);
      const answer = page.locator('.live-responses-table .response').first();
      expect(await answer.textContent()).toMatch(/^200[\s\S]*"reply": "one two three"/);
    },
    PATIENCE_MS,
  );

  it.each([
    [390, 'light'],
    [390, 'dark'],
    [1280, 'light'],
    [1280, 'dark'],
  ] as const)(
    'fits into %i pixels, and everybody can use it (%s)',
    async (width, colorScheme) => {
      const app = await startForPrograms();
      const page = await open(`${app.url}/docs`, { width, colorScheme });
      await page.click('#operations-Operation-getHealth .opblock-summary-control');
      await tryChat(page);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      expect(await page.evaluate(IS_DARK)).toBe(colorScheme === 'dark');
      expect(await seriousFaults(page)).toEqual([]);
      await page.click('.btn.authorize');
      await page.waitForSelector('.auth-container');
      expect(await seriousFaults(page)).toEqual([]);
    },
    PATIENCE_MS,
  );
});

async function tryChat(page: Page): Promise<void> {
  await page.click('#operations-Chat-chat .opblock-summary-control');
  await page.click('#operations-Chat-chat .try-out__btn');
  await page.click('#operations-Chat-chat .execute');
  await page.waitForSelector('.live-responses-table .response');
}

const IS_DARK = "document.documentElement.classList.contains('dark-mode')";

/** The text has invisible places in it, where a path may be broken. */
const pathsIn = (elements: readonly { getAttribute(name: string): string | null }[]) =>
  elements.map((element) => element.getAttribute('data-path'));

it('gives out of its library only what it loads', async () => {
  const app = await startApp({ environment: {} });
  expect((await app.get('/docs/lib/swagger-ui/swagger-ui.css')).status).toBe(200);
  expect((await app.get('/docs/lib/swagger-ui/package.json')).status).toBe(404);
});
