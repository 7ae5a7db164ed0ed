import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest';
import { ifInstalled } from './installed.ts';

export interface InBrowser {
  /**
   * Opens a page without cookies; it is closed after the test. Its timers run ten times as fast.
   *
   * @param forgives messages of the browser that the test expects; all others fail it
   */
  open(url: string, forgives?: RegExp): Promise<Page>;
}

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];

/**
 * Tests in a real browser. Each fails for console errors and warnings, for errors of the page, and for
 * violations of its content policy.
 */
export function describeInBrowser(name: string, define: (browser: InBrowser) => void): void {
  ifInstalled(CHROMIUM, name, () => {
    vi.setConfig({ testTimeout: 60_000 });
    let browser: Browser | null = null;
    const contexts: BrowserContext[] = [];
    const complaints: string[] = [];
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
    }, 30_000);
    afterAll(() => browser?.close());
    afterEach(async () => {
      await Promise.all(contexts.splice(0).map((context) => context.close()));
      expect(complaints.splice(0)).toEqual([]);
    });
    define({
      async open(url, forgives) {
        if (browser === null) throw new Error('the browser has not started');
        const viewport = { width: 1280, height: 900 };
        const context = await browser.newContext({
          viewport,
          reducedMotion: 'reduce',
          timezoneId: 'Europe/Berlin',
        });
        contexts.push(context);
        const page = await context.newPage();
        await listen(page, (complaint) => {
          if (forgives?.test(complaint) !== true) complaints.push(complaint);
        });
        await page.addInitScript(FAST_TIMERS);
        await page.goto(url);
        return page;
      },
    });
  });
}

const FAST_TIMERS = `for (const name of ['setTimeout', 'setInterval']) {
  const real = window[name];
  window[name] = (callback, ms, ...rest) => real(callback, ms / 10, ...rest);
}`;

async function listen(page: Page, complain: (complaint: string) => void): Promise<void> {
  page.on('pageerror', ({ message }) => complain(message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complain(message.text());
  });
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    console.error('policy:', event.effectiveDirective, event.blockedURI, event.sample));`);
}
