import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { expectReadable } from '../support/accessibility.ts';
import { describeExample } from '../support/example.ts';
import type { Program } from '../support/program.ts';
import { answerOf, CHUNKED, chunked, head, startRawUpstream } from '../support/raw-upstream.ts';
import { type App, type Setting, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const SLOWLY = { chunks: 6, chunkMs: 1_000, text: 'one two three four five six' };
const RESUMES = { CHAT_RESUME: 'true' };

const REFUSED = /status of 503/;

describeExample('nextjs', (browser, example) => {
  const address = createFixedAddress();
  let next: (Program & { url: string }) | null = null;

  beforeAll(async () => {
    // The rewrites are fixed by the build, the servers of the tests are not.
    const environment = { UNDERSTUDY_URL: await address.open(), NEXT_PUBLIC_CHAT_RESUME: 'true' };
    await example.run('next/dist/bin/next', ['build'], environment);
    next = await example.serve('next/dist/bin/next', ['start', '-H', '127.0.0.1', '-p', '0']);
  }, 180_000);

  afterAll(async () => {
    await next?.stop();
    address.close();
  });

  async function openWith(setting: Setting, forgives?: RegExp): Promise<{ app: App; page: Page }> {
    const app = await startApp(setting);
    address.leadTo(app.url);
    if (next === null) throw new Error('Next has not started');
    return { app, page: await browser.open(next.url, forgives) };
  }

  const say = async (page: Page, text: string) => {
    await page.getByLabel('Message').fill(text);
    await page.keyboard.press('Enter');
  };

  it('shows the first words while the answer goes on, although Next compresses', async () => {
    const { app, page } = await openWith({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { answer: SLOWLY },
    });
    const { headers } = await fetch(page.url(), { headers: { 'accept-encoding': 'gzip' } });
    expect(headers.get('content-encoding')).toBe('gzip');
    await say(page, 'Count to six');
    const answer = page.getByLabel('Answer');
    // Time stands still: the stand-in has sent its first chunk and holds the others.
    await answer.getByText(/^one/).waitFor();
    expect(await answer.textContent()).not.toContain('six');
    expect(app.standin.openRequests()).toBe(1);
    await whileTimePasses(app.clock, answer.getByText(SLOWLY.text).waitFor());
    await answer.getByText(/^gemini-flash-latest · \d+ tokens$/).waitFor();
    await expectReadable(page);
  });

  it('stops the call to the provider with its button', async () => {
    const setting = {
      environment: { GOOGLE_API_KEY: 'g-one', ...RESUMES },
      standin: { answer: SLOWLY },
    };
    const { app, page } = await openWith(setting);
    await say(page, 'Count to six');
    await page.getByText(/^one/).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await expect.poll(() => app.standin.calls.at(-1)?.aborted, { timeout: 10_000 }).toBe(true);
    await page.getByRole('button', { name: 'Send' }).waitFor();
  });

  it('shows the sentence and the time when all keys are exhausted, and tries again', async () => {
    const { app, page } = await openWith(
      {
        environment: { GOOGLE_API_KEY: 'g-one' },
        standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'leaked' } }] },
      },
      REFUSED,
    );
    const now = Date.UTC(2026, 10, 24, 18);
    await page.clock.setFixedTime(now);
    await say(page, 'Hello');
    const inAnHour = await page.evaluate(`new Date(${now + 3_600_000}).toLocaleTimeString()`);
    const fault = page.getByRole('alert').filter({ hasText: 'high demand' });
    await fault.waitFor();
    expect(await fault.locator('span').textContent()).toBe(
      `I'm experiencing high demand right now. Please try again in a few minutes. Try again after ${inAnHour}.`,
    );
    await expectReadable(page);
    app.standin.setFault('g-one', null);
    app.clock.advance(3_600_000);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('You said: Hello').waitFor();
    expect(await fault.count()).toBe(0);
  });

  it.each([
    ['20', 200, /"text-delta"/],
    ['8', 413, /8 MB/],
  ])(
    'a photo of 12 MB is answered by the server, whose limit is %s MB',
    async (limit, status, words) => {
      const { page } = await openWith({
        environment: { GOOGLE_API_KEY: 'g-one', MAX_BODY_MB: limit },
      });
      const photo = `data:image/jpeg;base64,${'A'.repeat(12 * 2 ** 20)}`;
      const parts = [{ type: 'file', mediaType: 'image/jpeg', url: photo }];
      const response = await fetch(`${page.url()}api/chat`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ id: 'chat-1', messages: [{ id: 'm1', role: 'user', parts }] }),
      });
      expect(response.status).toBe(status);
      expect(await response.text()).toMatch(words);
    },
  );

  it('calls the tool of the page, and the model gets its result', async () => {
    const call = { name: 'local_time', args: { timeZone: 'Asia/Tokyo' } };
    const { app, page } = await openWith({
      environment: {
        GOOGLE_API_KEY: 'g-one',
        CHAT_TOOLS: join(example.folder, 'tools.json'),
        ...RESUMES,
      },
      standin: { answer: { functionCalls: [call] } },
    });
    await say(page, 'What time is it in Tokyo?');
    await page.getByText(/^Looked at the clock: .* \(Asia\/Tokyo\)\.$/).waitFor();
    await page.getByText('You said:').waitFor();
    // Both steps are one message: with another id for the second, the page would show the first twice.
    expect(await page.getByLabel('Answer').count()).toBe(1);
    expect(app.standin.calls).toHaveLength(2);
    const result = { name: 'local_time', response: expect.anything() };
    expect(app.standin.calls[1]?.body).toMatchObject({
      contents: [
        { role: 'user' },
        { role: 'model', parts: [{ functionCall: call }] },
        { role: 'user', parts: [{ functionResponse: result }] },
      ],
    });
    // Only the output of the page's tool has the word "at" before the time.
    expect(JSON.stringify(app.standin.calls[1]?.body)).toMatch(/ at \d+:\d\d [AP]M/);
    await expectReadable(page);
  });

  /** The example before a model that reasons. */
  async function openThinking(baseUrl: string) {
    const reasoning = { CHAT_REASONING: 'true', GOOGLE_BASE_URL: baseUrl };
    return (await openWith({ environment: { GOOGLE_API_KEY: 'g-one', ...reasoning, ...RESUMES } }))
      .page;
  }

  it('shows the thoughts of the model', async () => {
    const google = await startRawUpstream(({ reply }) => reply(THOUGHTFUL));
    const page = await openThinking(google.url);
    await say(page, 'Hello');
    await page.getByText('Hi there.').waitFor();
    await page.getByText('Thoughts').click();
    await page.getByText('A greeting asks for a greeting.').waitFor();
    await expectReadable(page);
  });

  it('shows no longer that the model thinks after a stop, nor after a reload', async () => {
    const google = await startRawUpstream(({ socket }) => {
      socket.write(head(CHUNKED));
      socket.write(chunked([A_THOUGHT]));
    });
    const page = await openThinking(google.url);
    await say(page, 'Hello');
    await page.getByText('Thinking…').waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Thoughts').waitFor();
    await page.getByRole('button', { name: 'Send' }).waitFor();
    await page.reload();
    await page.getByText('Thoughts').waitFor();
    expect(await page.getByText('Thinking…').count()).toBe(0);
  });

  it('shows a whole answer once after a reload in the middle of it', async () => {
    const { app, page } = await openWith({
      environment: { GOOGLE_API_KEY: 'g-one', ...RESUMES },
      standin: { answer: SLOWLY },
    });
    await say(page, 'Count to six');
    await page.getByText(/^one/).waitFor();
    await page.reload();
    await page.getByText(/^one/).waitFor();
    const answer = page.getByLabel('Answer');
    await whileTimePasses(app.clock, answer.getByText(SLOWLY.text, { exact: true }).waitFor());
    expect(await answer.count()).toBe(1);
    expect(app.standin.calls).toHaveLength(1);
    await page.getByRole('button', { name: 'Send' }).waitFor();
    await page.reload();
    await answer.getByText(SLOWLY.text, { exact: true }).waitFor();
    expect(await answer.count()).toBe(1);
  });
});

const event = (parts: object[], more = {}) =>
  `data: ${JSON.stringify({ candidates: [{ content: { role: 'model', parts }, index: 0, ...more }] })}\n\n`;

const A_THOUGHT = event([{ text: 'A greeting asks for a greeting.', thought: true }]);

const THOUGHTFUL = answerOf([A_THOUGHT, event([{ text: 'Hi there.' }], { finishReason: 'STOP' })]);

/** One address for all tests. It leads to the server of the current test. */
function createFixedAddress() {
  let port = 0;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    open.add(near);
    near.on('error', () => {}).on('close', () => far.destroy());
    far.on('error', () => {}).on('close', () => near.destroy());
    near.on('close', () => open.delete(near));
    near.pipe(far).pipe(near);
  });
  return {
    async open() {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    leadTo(url: string) {
      port = Number(new URL(url).port);
      // Next keeps its connections, which still lead to the server of the test before.
      for (const socket of open) socket.destroy();
    },
    close: () => void server.close(),
  };
}
