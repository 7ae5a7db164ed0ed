import type { Page } from 'playwright-core';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { AnamAccountShape } from '../../standin/standin.ts';
import { expectReadable } from '../support/accessibility.ts';
import { describeExample } from '../support/example.ts';
import type { Program } from '../support/program.ts';
import { type App, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const NOW = Date.UTC(2026, 10, 24, 18);
const EXHAUSTED = 'All Anam API keys exhausted. Please try again later.';

/** The browser's own message about a refusal. */
const REFUSED = /status of (429|503)/;
const NO_VIDEO = /WebSocket|SignallingClient|StreamingClient/;

describeExample('vite-avatar', (browser, example) => {
  const running: Program[] = [];

  beforeAll(async () => {
    await example.run('typescript/bin/tsc', []);
    await example.run('vite/bin/vite.js', ['build']);
  }, 60_000);
  afterEach(async () => {
    for (const server of running.splice(0)) await server.stop();
  });

  /** The page with the built files, whose `/api` leads to a server with these accounts. */
  async function openWith(accounts: readonly AnamAccountShape[], forgives: RegExp) {
    const named = accounts.map((account, index) => ({ key: `a-${index + 1}`, account }));
    const app = await startApp({
      environment: Object.fromEntries(
        named.map(({ key }, index) => [`ANAM_API_KEY_${index + 1}`, key]),
      ),
      standin: { keys: named.map((key) => ({ service: 'anam', ...key })) },
    });
    const server = await example.serve(
      'vite/bin/vite.js',
      ['preview', '--host', '127.0.0.1', '--port', '0'],
      { environment: { UNDERSTUDY_URL: app.url } },
    );
    running.push(server);
    const page = await browser.open(server.url, forgives);
    await page.clock.setFixedTime(NOW);
    return { app, page };
  }

  const sessionStarts = ({ standin }: App) =>
    standin.calls.filter(({ path }) => path.endsWith('/engine/session'));
  const inSeconds = (page: Page, seconds: number) =>
    page.evaluate(`new Date(${NOW + seconds * 1000}).toLocaleTimeString()`);

  it('starts the session on another account when the one of the token has no slot', async () => {
    const { app, page } = await openWith([{ slots: 0 }, {}], NO_VIDEO);
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => sessionStarts(app).map(({ status }) => status)).toEqual([429, 200]);
    // The SDK goes on to its WebSocket, which the stand-in does not have.
    await page.getByText('The connection to the avatar was closed').waitFor();
    await expectReadable(page);
  });

  it('shows the sentence and the time when no account may mint a token', async () => {
    const { app, page } = await openWith([{ sessionsPerMinute: 0 }], REFUSED);
    await page.getByRole('button', { name: 'Start' }).click();
    const fault = page.getByRole('alert');
    await whileTimePasses(app.clock, fault.getByText(EXHAUSTED).waitFor());
    expect(await fault.textContent()).toBe(
      `${EXHAUSTED} Try again after ${await inSeconds(page, 60)}.`,
    );
    await expectReadable(page);
  });

  it('shows the sentence and the time when no account can start a session', async () => {
    const { app, page } = await openWith([{ minutes: 0 }, { minutes: 0 }], REFUSED);
    await page.getByRole('button', { name: 'Start' }).click();
    const fault = page.getByRole('alert');
    await fault.getByText(EXHAUSTED).waitFor();
    expect(sessionStarts(app)).toHaveLength(2);
    expect(await fault.textContent()).toBe(
      `${EXHAUSTED} Try again after ${await inSeconds(page, 3_600)}.`,
    );
    expect(await page.getByRole('button', { name: 'Start' }).isEnabled()).toBe(true);
  });
});
