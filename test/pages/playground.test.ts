import { expect, it } from 'vitest';
import { expectReadable } from '../support/accessibility.ts';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { logIn } from '../support/log-in.ts';
import { startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ADMIN_TOKEN };
const LEAKED = { key: 'g-one', service: 'google', fault: { kind: 'leaked' } } as const;

/** The browser's own message about a refusal. */
const REFUSED = /status of (429|503)/;

describeInBrowser('the playground', (browser) => {
  it('streams an answer with its model and number of attempts, and the key only for an admin', async () => {
    const app = await startApp({
      environment: TWO,
      standin: {
        answer: { chunks: 6, chunkMs: 200, text: 'one two three four five six' },
        keys: [LEAKED, { key: 'g-two', service: 'google' }],
      },
    });
    const page = await browser.open(`${app.url}/playground`);
    await page.getByLabel('Message').fill('Count to six');
    await page.keyboard.press('Enter');
    const talk = page.getByLabel('Conversation');
    const whole = talk.getByText('one two three four five six').waitFor();
    await whileTimePasses(app.clock, talk.getByText(/one two(?!.*six)/).waitFor(), 2);
    await whileTimePasses(app.clock, whole);
    expect(await talk.getByText(/^answered (at|after|by)/).textContent()).toMatch(
      /^answered after 2 attempts · gemini-flash-latest · first text after \d+ ms · \d+ tokens · stop$/,
    );
    await page.getByRole('link', { name: 'Log in' }).click();
    await logIn(page);
    await page.waitForURL(`${app.url}/playground`);
    await page.getByLabel('Message').fill('Hello');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await whileTimePasses(app.clock, page.getByText(/answered by google-2 at the first/).waitFor());
    expect(await page.getByText('to see which key has answered').count()).toBe(0);
  });

  it('sends the earlier turns, and aborts the call to the provider with the button', async () => {
    const app = await startApp({ environment: TWO });
    const page = await browser.open(`${app.url}/playground`);
    const talk = page.getByLabel('Conversation');
    for (const message of ['First question', 'Second question']) {
      await page.getByLabel('Message').fill(message);
      await page.keyboard.press('Enter');
      await talk.getByText(`You said: ${message}`).waitFor();
    }
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user', parts: [{ text: 'First question' }] },
        { role: 'model', parts: [{ text: 'You said: First question' }] },
        { role: 'user', parts: [{ text: 'Second question' }] },
      ],
    });
    app.standin.setFault('g-one', { kind: 'hang' });
    app.standin.setFault('g-two', { kind: 'hang' });
    await page.getByLabel('Message').fill('Go on');
    await page.keyboard.press('Enter');
    await expect.poll(() => app.standin.calls.length).toBe(3);
    await page.getByRole('button', { name: 'Stop' }).click();
    await talk.getByText('Stopped.').waitFor();
    await expect.poll(() => app.standin.calls.at(-1)?.aborted).toBe(true);
    await page.getByRole('button', { name: 'Send', exact: true }).waitFor();
  });

  it('waits for an answer that is late, and does not guess who has answered', async () => {
    const app = await startApp({
      environment: TWO,
      standin: { answer: { firstChunkMs: 12_000 } },
    });
    const page = await browser.open(`${app.url}/playground`);
    const talk = page.getByLabel('Conversation');
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    await whileTimePasses(app.clock, talk.getByText(/^answered late · .*stop$/).waitFor(), 100);
  });

  it('counts the answers and refusals of a burst, and shows when to retry', async () => {
    const app = await startApp({
      environment: { ...TWO, KEY_WAIT_SECONDS: '0' },
      standin: { keys: [LEAKED, { key: 'g-two', service: 'google', limits: { rpm: 10 } }] },
    });
    const page = await browser.open(`${app.url}/playground`, REFUSED);
    await page.getByRole('button', { name: 'Send 24 requests' }).click();
    const result = page.getByRole('region', { name: 'Burst' }).getByRole('listitem');
    await result.filter({ hasText: '14 refused: I' }).waitFor();
    const texts = (await result.allInnerTexts()).filter((text) => text.includes('answered'));
    expect(texts.reduce((sum, text) => sum + Number.parseInt(text, 10), 0)).toBe(10);
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    const notice = page.getByLabel('Conversation').locator('.notice');
    await notice.getByText("I'm experiencing high demand right now.").waitFor();
    await notice.getByText(/Retry in 0[01]:\d\d/).waitFor();
    await page.getByRole('button', { name: 'Start a session' }).click();
    await page.getByText('No API keys available. Set ANAM_API_KEY.').first().waitFor();
    await expectReadable(page);
  });

  it("starts an avatar's session with the real SDK, on another account when one has no slot", async () => {
    const app = await startApp({
      mode: 'demo',
      environment: { ANAM_API_KEY: 'a-one', ANAM_API_KEY_2: 'a-two', ADMIN_TOKEN },
      standin: {
        keys: [
          { key: 'a-one', service: 'anam', account: { slots: 0 } },
          { key: 'a-two', service: 'anam' },
        ],
      },
    });
    const page = await browser.open(`${app.url}/playground`);
    const panel = page.getByRole('region', { name: 'Avatar' });
    await panel.getByRole('button', { name: 'Start a session' }).click();
    await panel.getByText('Session token received.').waitFor();
    await panel.getByText(/^Session started: [0-9a-f-]{36}\.$/).waitFor();
    await panel.getByText('video needs the real Anam service').waitFor();
    expect(app.logText()).toContain('another key stepped in');
  });
});
