import type { Page } from 'playwright-core';
import { ADMIN_TOKEN } from './admin.ts';
import type { InBrowser } from './browser.ts';

/** Opens a page behind the login, as an admin called Ana. */
export async function openAsAdmin(
  { open }: InBrowser,
  url: string,
  forgives?: RegExp,
): Promise<Page> {
  const { origin, pathname } = new URL(url);
  const page = await open(`${origin}/login?to=${pathname}`, forgives);
  await logIn(page);
  await page.waitForURL(url);
  return page;
}

export async function logIn(page: Page): Promise<void> {
  await page.getByLabel('Admin token').fill(ADMIN_TOKEN);
  await page.getByLabel('Your name').fill('Ana');
  await page.getByRole('button', { name: 'Log in' }).click();
}
