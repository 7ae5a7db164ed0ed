import type { Page } from 'playwright-core';
import { ADMIN_TOKEN } from './admin.ts';
import type { InBrowser, View } from './browser.ts';

/** A page behind the login, as somebody sees it who has just given the token. */
export async function openAsAdmin(
  { open }: InBrowser,
  url: string,
  path: string,
  view?: View,
): Promise<Page> {
  const page = await open(`${url}/login?to=${path}`, view);
  await page.getByLabel('Admin token').fill(ADMIN_TOKEN);
  await page.getByLabel('Your name').fill('Ana');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.waitForURL(url + path);
  return page;
}

/** Both themes, on a phone and on a desk. */
export const VIEWS = [390, 1280].flatMap((width) =>
  (['light', 'dark'] as const).map((colorScheme) => ({ width, colorScheme })),
);

/** By how many pixels the page is wider than its window. */
export const overflowOf = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
