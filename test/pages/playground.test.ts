import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { expectReadable } from '../support/accessibility.ts';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { describeInBrowser } from '../support/browser.ts';
import { logIn, openAsAdmin } from '../support/log-in.ts';
import { startApp } from '../support/start-app.ts';
import { writeToolsFile } from '../support/tools-file.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const TWO = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ADMIN_TOKEN };
const PRICES = { currency: 'EUR', models: { 'gemini-flash-latest': { request: 0.00042 } } };
const LEAKED = { key: 'g-one', service: 'google', fault: { kind: 'leaked' } } as const;

/** The browser's own message: the page asks whether an admin is logged in. */
const LOGGED_OUT = /status of 401/;
const REFUSED = /status of (401|429|503)/;

const EXAMPLE_TOOLS = fileURLToPath(new URL('../../examples/nextjs/tools.json', import.meta.url));
const APPROVED_TOOL = { name: 'send_mail', description: 'Sends a mail.', needsApproval: true };
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

describeInBrowser('the playground', (browser) => {
  it('streams an answer with its model and number of attempts, and key and cost only for an admin', async () => {
    const app = await startApp({
      environment: { ...TWO, PRICES: writeToolsFile(PRICES) },
      standin: {
        answer: { chunks: 6, chunkMs: 200, text: 'one two three four five six' },
        keys: [LEAKED, { key: 'g-two', service: 'google' }],
      },
    });
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
    await page.getByText('You are not logged in').waitFor();
    await page.getByLabel('Message').fill('Count to six');
    await page.keyboard.press('Enter');
    const talk = page.getByLabel('Conversation');
    const whole = talk.getByText('one two three four five six').waitFor();
    await whileTimePasses(app.clock, talk.getByText(/one two(?!.*six)/).waitFor(), 2);
    await whileTimePasses(app.clock, whole);
    expect(await talk.getByText(/^answered (at|after|by)/).textContent()).toMatch(
      /^answered after 2 attempts · gemini-flash-latest · first words after \d+ ms · \d+ tokens \(\d+ in, \d+ out\)$/,
    );
    await page.getByRole('banner').getByRole('link', { name: 'Log in' }).click();
    await logIn(page);
    await page.waitForURL(`${app.url}/playground`);
    await page.getByLabel('Message').fill('Hello');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    const priced = /^answered by google-2 at the first.* tokens \(.*\) · 0\.00042 EUR/;
    await whileTimePasses(app.clock, talk.getByText(priced).waitFor());
    await talk.getByText('Attempts', { exact: true }).click();
    const attempt = talk.locator('.attempts').getByRole('listitem');
    await attempt.filter({ hasText: /after \d+ ms, 0\.00042 EUR/ }).waitFor();
    expect(await page.getByText('You are not logged in').isVisible()).toBe(false);
    await page.getByRole('banner').getByText('Ana').waitFor();
    await expectReadable(page);
    await talk.locator('.attempts').getByRole('link').click();
    await page
      .getByRole('dialog', { name: /^Request / })
      .getByText(/\d+ tokens · 0\.00042 EUR$/)
      .waitFor();
  });

  it('sends the earlier turns, and aborts the call to the provider with the button', async () => {
    const app = await startApp({ environment: TWO });
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
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

  it('keeps the newest message in view until the reader scrolls up', async () => {
    const app = await startApp({
      environment: { ...TWO, CHAT_REASONING: 'true' },
      standin: {
        answer: ({ lastUserText }) => ({
          thoughts: 'It is a long story.',
          text: `${'Once more.\n'.repeat(12)}The end of ${lastUserText}.`,
          ...(lastUserText === 'four' ? { chunks: 12, chunkMs: 1000 } : {}),
        }),
      },
    });
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
    const talk = page.getByLabel('Conversation');
    const send = async (message: string) => {
      await page.getByLabel('Message').fill(message);
      await page.keyboard.press('Enter');
    };
    for (const message of ['one', 'two', 'three']) {
      await send(message);
      await talk.getByText(`The end of ${message}.`).waitFor();
      await expect.poll(() => page.evaluate(COVERED)).toBeLessThanOrEqual(0);
    }
    await send('four');
    const thoughts = talk.getByText('It is a long story.').last();
    const begun = talk.getByText(/^Answer: Once more\.(?!.*The end)/s).waitFor();
    await whileTimePasses(app.clock, begun, 2);
    expect(await thoughts.isVisible()).toBe(true);
    expect(await page.evaluate(COVERED)).toBeLessThanOrEqual(0);
    await page.mouse.move(200, 400);
    await page.mouse.wheel(0, -200);
    await expect.poll(() => page.evaluate(COVERED)).toBeGreaterThan(100);
    const before = await page.evaluate('scrollY');
    await whileTimePasses(app.clock, talk.getByText('The end of four.').waitFor());
    await expect.poll(() => thoughts.isVisible()).toBe(false);
    expect(await page.evaluate('scrollY')).toBe(before);
  });

  it('waits for an answer that is late, and does not guess who has answered', async () => {
    const app = await startApp({
      environment: TWO,
      standin: { answer: { firstChunkMs: 12_000 } },
    });
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
    const talk = page.getByLabel('Conversation');
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    await whileTimePasses(app.clock, talk.getByText(/^answered late · .*out\)$/).waitFor(), 100);
  });

  it('shows reasoning, a tool with its result, and images, and sends them on', async () => {
    const app = await startApp({
      environment: { ...TWO, CHAT_TOOLS: EXAMPLE_TOOLS, CHAT_REASONING: 'true' },
      standin: {
        answer: ({ functions, lastUserText }) => ({
          text: 'It is late.',
          thoughts: 'The clock knows.',
          image: { mimeType: 'image/png', data: PIXEL },
          functionCalls:
            lastUserText === 'When?'
              ? functions.map((name) => ({ name, args: { timeZone: 'UTC' } }))
              : [],
        }),
      },
    });
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
    const talk = page.getByLabel('Conversation');
    await page.getByLabel('Add a file').setInputFiles({
      name: 'pixel.png',
      mimeType: 'image/png',
      buffer: Buffer.from(PIXEL, 'base64'),
    });
    await page.getByRole('button', { name: 'Remove pixel.png' }).waitFor();
    await page.getByLabel('Message').fill('When?');
    await page.keyboard.press('Enter');
    await talk.getByText('waits for its result').waitFor();
    await talk.getByText(/ · calls a tool$/).waitFor();
    expect(await talk.getByText('The clock knows.').isVisible()).toBe(false);
    await talk.getByText('Reasoning', { exact: true }).click();
    await talk.getByText('The clock knows.').waitFor();
    await talk.getByText('"timeZone": "UTC"').waitFor();
    await talk.getByRole('img', { name: 'Attached image: pixel.png' }).waitFor();
    await talk.getByRole('img', { name: 'Generated image' }).waitFor();
    await expectReadable(page);
    await talk.getByLabel('Result').fill('{"time": "23:59"}');
    await talk.getByRole('button', { name: 'Send the result' }).click();
    await expect.poll(() => app.standin.calls.length).toBe(2);
    const [first, second] = app.standin.calls.map(({ body }) => JSON.stringify(body));
    expect(first).toContain(`"inlineData":{"mimeType":"image/png","data":"${PIXEL}"}`);
    expect(second).toMatch(/"functionCall":.*"functionResponse":.*"time":"23:59"/);
    await expectReadable(page);
    await talk.getByText('done', { exact: true }).waitFor();
    await page.getByLabel('Message').fill('When?');
    await page.keyboard.press('Enter');
    await talk.getByText('waits for its result').waitFor();
    await page.getByLabel('Message').fill('Never mind');
    await page.keyboard.press('Enter');
    await talk.getByText('got no result').waitFor();
    expect(await talk.getByText('waits for its result').count()).toBe(0);
  });

  it('asks for a decision where a tool needs approval', async () => {
    const app = await startApp({
      environment: { ...TWO, CHAT_TOOLS: writeToolsFile([APPROVED_TOOL]) },
      standin: { answer: { functionCalls: [{ name: 'send_mail', args: {} }] } },
    });
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
    const talk = page.getByLabel('Conversation');
    await page.getByLabel('Message').fill('Send it');
    await page.keyboard.press('Enter');
    await talk.getByRole('button', { name: 'Approve' }).click();
    await talk.getByLabel('Result').fill('sent');
    expect(app.standin.calls.length).toBe(1);
    await talk.getByRole('button', { name: 'Send the result' }).click();
    await expect.poll(() => JSON.stringify(app.standin.calls.at(-1)?.body)).toContain('"sent"');
  });

  it('shows the sources of an answer, and to the admin its attempts', async () => {
    const app = await startApp({
      environment: { ...TWO, CHAT_GROUNDING: 'true' },
      standin: {
        answer: { sources: [{ uri: 'https://clock.example/', title: 'A clock' }] },
        keys: [LEAKED, { key: 'g-two', service: 'google' }],
      },
    });
    const page = await openAsAdmin(browser, `${app.url}/playground`, LOGGED_OUT);
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    const source = page.getByRole('link', { name: 'A clock' });
    expect(await source.getAttribute('href')).toBe('https://clock.example/');
    await page.getByText('Attempts', { exact: true }).click();
    const attempts = page.locator('.attempts').getByRole('listitem');
    await attempts.filter({ hasText: 'google gemini-flash-latest key rejected after' }).waitFor();
    await attempts.filter({ hasText: 'google-2 gemini-flash-latest success after' }).waitFor();
    const requestId = String(app.logs.find(({ path }) => path === '/api/chat')?.requestId);
    const link = page.getByRole('link', { name: requestId });
    expect(await link.getAttribute('href')).toBe(`/dashboard#request=${requestId}`);
    await expectReadable(page);
  });

  it('keeps its bursts, with the key of each answer and when to retry', async () => {
    const app = await startApp({
      environment: { ...TWO, KEY_WAIT_SECONDS: '0' },
      standin: { keys: [LEAKED, { key: 'g-two', service: 'google', limits: { rpm: 10 } }] },
    });
    const page = await openAsAdmin(browser, `${app.url}/playground`, REFUSED);
    const panel = page.getByRole('region', { name: 'Burst' });
    await panel.getByRole('button', { name: 'Send 24 requests' }).click();
    await panel.getByText('14 refused: I').waitFor();
    await panel.getByText('10 answered by google-2').waitFor();
    await panel.getByLabel('Number of requests').selectOption('6 requests');
    await panel.getByRole('button', { name: 'Send 6 requests' }).click();
    await panel.getByText(/0 answered, 6 refused, in/).waitFor();
    await page.reload();
    await panel.getByText(/10 answered, 14 refused, in/).click();
    const answers = panel.getByLabel('Each request').last().getByRole('listitem');
    await answers.filter({ hasText: 'google-2' }).nth(9).waitFor();
    expect(await answers.count()).toBe(24);
    await page.getByLabel('Message').fill('Hello');
    await page.keyboard.press('Enter');
    const notice = page.getByLabel('Conversation').locator('.notice');
    await notice.getByText("I'm experiencing high demand right now.").waitFor();
    await notice.getByText(/Retry in 0[01]:\d\d/).waitFor();
    await page.getByRole('button', { name: 'Start a session' }).click();
    await page.getByText('No API keys available. Set ANAM_API_KEY.').first().waitFor();
    await expectReadable(page);
  });

  it('times each request of a burst without its wait for a connection of the browser', async () => {
    const app = await startApp({
      environment: TWO,
      standin: {
        answer: ({ lastUserText }) => ({
          firstChunkMs: /^Request [1-6] /.test(lastUserText) ? 1000 : 0,
        }),
      },
    });
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
    const panel = page.getByRole('region', { name: 'Burst' });
    await panel.getByLabel('Number of requests').selectOption('12 requests');
    const sentAt = Number(await page.evaluate('performance.now()'));
    await panel.getByRole('button', { name: 'Send 12 requests' }).click();
    await expect.poll(() => app.standin.calls.length).toBe(6);
    const elapsed = async () => Number(await page.evaluate('performance.now()')) - sentAt;
    await expect.poll(elapsed, { timeout: 5000 }).toBeGreaterThan(1000);
    app.clock.advance(1000);
    await panel.getByText('12 answered, 0 refused, in').waitFor();
    const slow = async () => {
      const cells = await panel.getByLabel('Each request').getByRole('listitem').allTextContents();
      return cells.filter((cell) => Number(/(\d+) ms/.exec(cell)?.[1]) > 700).length;
    };
    await expect.poll(slow).toBe(6);
    expect(await panel.getByText('Times include the wait').count()).toBe(0);
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
    const page = await browser.open(`${app.url}/playground`, LOGGED_OUT);
    const panel = page.getByRole('region', { name: 'Avatar' });
    const video = panel.locator('video');
    expect(await video.isVisible()).toBe(false);
    await panel.getByRole('button', { name: 'Start a session' }).click();
    await panel.getByText('Session token received.').waitFor();
    await panel.getByText(/^Session started: [0-9a-f-]{36}\.$/).waitFor();
    await panel.getByText('This picture is made up by the demo').waitFor();
    await expect.poll(() => page.evaluate(PICTURE)).toEqual({ width: 640, isDark: false });
    expect(await video.isVisible()).toBe(true);
    expect(app.logText()).toContain('another key stepped in');
    await panel.getByRole('button', { name: 'Stop' }).click();
    expect(await page.evaluate('document.querySelector("video").srcObject')).toBeNull();
    expect(await video.isVisible()).toBe(false);
  });
});

/** How many pixels of the conversation are below the window or behind the form. */
const COVERED = `Math.round(document.querySelector('.talk').getBoundingClientRect().bottom
  - document.querySelector('.say').getBoundingClientRect().top)`;

/** What the video shows in its middle. */
const PICTURE = `(() => {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const [red] = context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
  return { width: video.videoWidth, isDark: red < 100 };
})()`;
