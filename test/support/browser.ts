import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest';
import { ifInstalled } from './installed.ts';

export interface View {
  /** In pixels. Default 1280. */
  readonly width?: number;
  /** Default: light. */
  readonly colorScheme?: 'light' | 'dark';
  /** What the browser itself says of an answer or of none that the test is about; everything else is a fault. */
  readonly forgives?: RegExp;
}

export interface InBrowser {
  /** A page of its own, with nothing remembered; closed after the test. */
  open(url: string, view?: View): Promise<Page>;
}

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];

/**
 * Tests in a real browser. Each fails for whatever the console complains of, for errors of the page,
 * and for what its content policy forbids.
 */
export function describeInBrowser(name: string, define: (browser: InBrowser) => void): void {
  ifInstalled(CHROMIUM, name, () => {
    // A page asks the server every two seconds, and several browsers share a machine.
    vi.setConfig({ testTimeout: 45_000 });
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
      async open(url, { width = 1280, colorScheme = 'light', forgives } = {}) {
        if (browser === null) throw new Error('the browser has not started');
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
        contexts.push(context);
        const page = await context.newPage();
        await listen(page, (complaint) => {
          if (forgives?.test(complaint) !== true) complaints.push(complaint);
        });
        await page.goto(url);
        return page;
      },
    });
  });
}

async function listen(page: Page, complain: (complaint: string) => void): Promise<void> {
  page.on('pageerror', ({ message }) => complain(message));
  page.on('console', (said) => {
    if (said.type() === 'error' || said.type() === 'warning') complain(said.text());
  });
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    console.error('policy:', event.effectiveDirective, event.blockedURI, event.sample));`);
}
