import { expect, it } from 'vitest';
import { seriousFaults } from '../support/accessibility.ts';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { openAsAdmin, overflowOf, VIEWS } from '../support/log-in.ts';
import { startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ADMIN_TOKEN };
const LEAKED = { key: 'g-one', service: 'google', fault: { kind: 'leaked' } } as const;

/** What the browser itself says of an answer that is a refusal. */
const REFUSED = { forgives: /status of (429|503)/ };

describeInBrowser('the playground', (browser) => {
  it('streams an answer, and says which model and the how manyth key it was, but not which', async () => {
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
    const answer = page.getByLabel('Conversation');
    const whole = answer.getByText('one two three four five six').waitFor();
    await whileTimePasses(app.clock, answer.getByText(/one two(?!.*six)/).waitFor(), 2);
    await whileTimePasses(app.clock, whole);
    const facts = await answer.getByText(/^answered (at|after|by)/).textContent();
    expect(facts).toMatch(
      /^answered after 2 attempts · gemini-flash-latest · first words after \d+ ms · \d+ tokens · stop$/,
    );
  });

  it('says which key it was to whoever has logged in', async () => {
    const app = await startApp({
      environment: TWO,
      standin: { keys: [LEAKED, { key: 'g-two', service: 'google' }] },
    });
    const page = await openAsAdmin(browser, app.url, '/playground');
    await page.getByLabel('Message').fill('Hello');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByText('answered by google-2 after 2 attempts').waitFor();
    expect(await page.getByText('to see which key has answered').count()).toBe(0);
  });

  it('sends what was said before along', async () => {
    const app = await startApp({ environment: TWO });
    const page = await browser.open(`${app.url}/playground`);
    for (const message of ['First question', 'Second question']) {
      await page.getByLabel('Message').fill(message);
      await page.keyboard.press('Enter');
      await page.getByLabel('Conversation').getByText(`You said: ${message}`).waitFor();
    }
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user', parts: [{ text: 'First question' }] },
        { role: 'model', parts: [{ text: 'You said: First question' }] },
        { role: 'user', parts: [{ text: 'Second question' }] },
      ],
    });
  });

  it('shows a refusal as the server says it, and counts down until it makes sense to ask again', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN, KEY_COOLDOWN_SECONDS: '90' },
      standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'day_spent' } }] },
    });
    const page = await browser.open(`${app.url}/playground`, REFUSED);
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    const notice = page.getByLabel('Conversation').locator('.notice');
    await notice.getByText("I'm experiencing high demand right now.").waitFor();
    await notice.getByText(/Ask again in 01:2\d/).waitFor();
  });

  it('stops an answer, and the call to the provider with it', async () => {
    const app = await startApp({
      environment: TWO,
      standin: { answer: { chunks: 50, chunkMs: 200, text: 'on and on and on '.repeat(10) } },
    });
    const page = await browser.open(`${app.url}/playground`);
    await page.getByLabel('Message').fill('Go on');
    await page.keyboard.press('Enter');
    const talk = page.getByLabel('Conversation');
    await whileTimePasses(app.clock, talk.getByText('on and on').waitFor(), 2);
    await page.getByRole('button', { name: 'Stop' }).click();
    await talk.getByText('Stopped.').waitFor();
    await expect.poll(() => app.standin.calls.at(-1)?.aborted).toBe(true);
    await page.getByRole('button', { name: 'Send' }).waitFor();
  });

  it('asks many at once, and counts who was answered by which attempt, and who was refused', async () => {
    const app = await startApp({
      environment: { ...TWO, KEY_WAIT_SECONDS: '0' },
      standin: { keys: [LEAKED, { key: 'g-two', service: 'google', limits: { rpm: 10 } }] },
    });
    const page = await browser.open(`${app.url}/playground`, REFUSED);
    await page.getByRole('button', { name: 'Ask 24 at once' }).click();
    const result = page.getByRole('region', { name: 'Many at once' }).getByRole('listitem');
    await result.filter({ hasText: '14 refused: I' }).waitFor();
    const texts = (await result.allInnerTexts()).filter((text) => text.includes('answered'));
    const answered = texts.reduce((sum, text) => sum + Number.parseInt(text, 10), 0);
    expect(answered).toBe(10);
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
    await panel.getByText('A session token was minted.').waitFor();
    await panel.getByText(/^The session has started: [0-9a-f-]{36}\.$/).waitFor();
    await panel.getByText('video needs the real service').waitFor();
    expect(app.logText()).toContain('another key stepped in');
  });

  it('says what is missing where no avatar is set up', async () => {
    const app = await startApp({ mode: 'demo', environment: TWO });
    const page = await browser.open(`${app.url}/playground`, REFUSED);
    await page.getByRole('button', { name: 'Start a session' }).click();
    await page.getByText('No API keys available. Set ANAM_API_KEY.').first().waitFor();
  });

  it.each(VIEWS)('reads well at %o, with an answer and a refusal in it', async (view) => {
    const app = await startApp({
      environment: { ...TWO, KEY_WAIT_SECONDS: '0' },
      standin: { keys: [LEAKED, { key: 'g-two', service: 'google', limits: { rpm: 1 } }] },
    });
    const page = await browser.open(`${app.url}/playground`, { ...view, ...REFUSED });
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    await page
      .getByText(/^answered (at|after|by)/)
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Ask 24 at once' }).click();
    await page.getByText('24 refused').waitFor();
    await page.getByLabel('Message').fill('Hello again');
    await page.keyboard.press('Enter');
    await page.getByText(/Ask again in/).waitFor();
    expect([await overflowOf(page), await seriousFaults(page)]).toEqual([0, []]);
  });
});
