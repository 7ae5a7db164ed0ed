import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { expectReadable } from '../support/accessibility.ts';
import { describeExample } from '../support/example.ts';
import { type Setting, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const NOW = Date.UTC(2026, 10, 24, 18);
const ENVIRONMENT = { GOOGLE_API_KEY: 'g-one' };
const SLOWLY = { chunks: 6, chunkMs: 1_000, text: 'one two three four five six ' };

describeExample('plain-page', (browser, example) => {
  const running: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const stop of running.splice(0)) await stop();
  });

  /** The page on an origin of its own, with the server's address filled in. */
  async function openWith(standin: NonNullable<Setting['standin']>, forgives?: RegExp) {
    const app = await startApp({ environment: ENVIRONMENT, standin });
    const folder = await mkdtemp(join(tmpdir(), 'understudy-page-'));
    running.push(() => rm(folder, { recursive: true }));
    const text = await readFile(join(example.folder, 'index.html'), 'utf8');
    expect(text.split('http://localhost:3000')).toHaveLength(2);
    await writeFile(join(folder, 'index.html'), text.replace('http://localhost:3000', app.url));
    const server = await example.serve('sirv-cli/bin.js', ['.', '--port', '0'], { cwd: folder });
    running.push(server.stop);
    return { app, page: await browser.open(server.url, forgives) };
  }

  it('shows the words as they come, and sends them along with the next question', async () => {
    const { app, page } = await openWith({ answer: SLOWLY });
    await page.getByLabel('Message').fill('Count to six');
    await page.keyboard.press('Enter');
    const talk = page.getByLabel('Conversation');
    // Time stands still: the stand-in has sent its first chunk and holds the others.
    await talk.getByText(/^one/).waitFor();
    expect(await talk.textContent()).not.toContain('six ');
    expect(app.standin.openRequests()).toBe(1);
    await whileTimePasses(
      app.clock,
      talk.getByText(/^gemini-flash-latest · \d+ tokens$/).waitFor(),
    );
    await page.getByLabel('Message').fill('And now?');
    await page.keyboard.press('Enter');
    await whileTimePasses(
      app.clock,
      talk
        .getByText(/^gemini-flash-latest · \d+ tokens$/)
        .nth(1)
        .waitFor(),
    );
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user', parts: [{ text: 'Count to six' }] },
        { role: 'model', parts: [{ text: SLOWLY.text }] },
        { role: 'user', parts: [{ text: 'And now?' }] },
      ],
    });
    await expectReadable(page);
  });

  it('stops the call to the provider with its button', async () => {
    const { app, page } = await openWith({ answer: SLOWLY });
    await page.getByLabel('Message').fill('Count to six');
    await page.keyboard.press('Enter');
    await page.getByText(/^one/).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await expect.poll(() => app.standin.calls.at(-1)?.aborted, { timeout: 10_000 }).toBe(true);
    await page.getByRole('button', { name: 'Send' }).waitFor();
  });

  it('shows the sentence and the time when all keys are exhausted', async () => {
    const { page } = await openWith(
      { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'leaked' } }] },
      /status of 503/,
    );
    await page.clock.setFixedTime(NOW);
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    await page.getByText('high demand').waitFor();
    const inAnHour = await page.evaluate(`new Date(${NOW + 3_600_000}).toLocaleTimeString()`);
    expect(await page.getByRole('alert').textContent()).toBe(
      `I'm experiencing high demand right now. Please try again in a few minutes. Try again after ${inAnHour}.`,
    );
    await expectReadable(page);
  });
});
