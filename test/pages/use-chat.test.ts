import { once } from 'node:events';
import { createServer } from 'node:http';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { describeInBrowser } from '../support/browser.ts';
import { type App, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const TEXT = 'one two now red six end ';
const PATH = /^\/api\/chat\/\{id\}\/stream$/;

/**
 * An app that stores each state of its conversation: the chat's id and a partial answer survive a reload. A photo is too large
 * for the browser's storage.
 */
const PAGE = `
  import { Chat } from '@ai-sdk/react';
  import { DefaultChatTransport } from 'ai';
  const api = new URLSearchParams(location.search).get('api');
  sessionStorage.id ??= crypto.randomUUID();
  const { id } = sessionStorage;
  const messages = JSON.parse(sessionStorage.messages ?? '[]');
  const chat = new Chat({ id, messages, transport: new DefaultChatTransport({ api }) });
  const show = () => {
    const stored = JSON.stringify(chat.messages);
    if (stored.length < 1e6) sessionStorage.messages = stored;
    document.querySelector('main').replaceChildren(...chat.messages.map(({ role, parts }) => {
      const line = document.createElement('p');
      line.className = role;
      line.textContent = parts.map(({ text }) => text ?? '').join('');
      return line;
    }));
  };
  const tell = () => { document.querySelector('output').textContent = chat.status; };
  chat['~registerMessagesCallback'](show);
  chat['~registerStatusCallback'](tell);
  const photo = document.querySelector('input');
  document.querySelector('#ask').onclick = async () => {
    await chat.sendMessage({ text: 'Count', files: photo.files });
    photo.value = '';
  };
  document.querySelector('#stop').onclick = async () => {
    await chat.stop();
    await fetch(api + '/' + id + '/stream', { method: 'DELETE' });
  };
  show();
  await chat.resumeStream();
  tell();
`;
const HTML = `<!doctype html><title>Chat</title><link rel="icon" href="data:,">
  <main></main><output></output><input type="file"><button id="ask">Ask</button><button id="stop">Stop</button>
  <script type="module" src="/page.js"></script>`;

/** A frontend on an origin of its own. */
const frontend = createServer();
let script = '';
let origin = '';

beforeAll(async () => {
  const built = await build({
    stdin: { contents: PAGE, resolveDir: process.cwd() },
    ...{ bundle: true, format: 'esm', write: false, minify: true, logLevel: 'silent' },
    define: { 'process.env.NODE_ENV': '"production"' },
  });
  script = built.outputFiles[0]?.text ?? '';
  frontend.on('request', ({ url }, response) => {
    const isScript = url === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : HTML);
  });
  await once(frontend.listen(0, '127.0.0.1'), 'listening');
  const address = frontend.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  origin = `http://127.0.0.1:${address.port}`;
}, 60_000);

afterAll(() => {
  frontend.closeAllConnections();
  frontend.close();
});

const start = () =>
  startApp({
    environment: { GOOGLE_API_KEY: 'g-one', CHAT_RESUME: 'true' },
    standin: { answer: { chunks: 6, chunkMs: 1000, text: TEXT } },
  });

const PHOTO = Buffer.alloc(6_000_000, 'photo');

const resumesOf = (app: App) =>
  app.logs.filter(({ method, path }) => method === 'GET' && PATH.test(String(path)));

describeInBrowser('a page that resumes', ({ open }) => {
  it('and is reloaded in mid-answer shows the whole answer once, after one call', async () => {
    const app = await start();
    const page = await open(`${origin}/?api=${app.url}/api/chat`);
    const answer = page.locator('.assistant');
    await page.click('#ask');
    await answer.getByText('one', { exact: true }).waitFor();
    await page.reload();
    const whole = answer.getByText(TEXT.trim(), { exact: true }).waitFor();
    await whileTimePasses(app.clock, whole);
    expect(await page.locator('p').allTextContents()).toEqual(['Count', TEXT]);
    await page.getByText('ready').waitFor();
    for (let turn = 0; turn < 2; turn += 1) {
      await page.reload();
      await page.getByText('ready').waitFor();
      expect(await page.locator('p').allTextContents()).toEqual(['Count', TEXT]);
    }
    expect(app.standin.calls).toHaveLength(1);
    expect(resumesOf(app).map(({ status }) => status)).toEqual([204, 200, 204, 204]);
  });

  it('and stops ends the call to the provider, also after a reload', async () => {
    const app = await start();
    const page = await open(`${origin}/?api=${app.url}/api/chat`);
    await page.click('#ask');
    await page.locator('.assistant').getByText('one', { exact: true }).waitFor();
    await page.click('#stop');
    await vi.waitFor(() => expect(app.standin.calls[0]?.aborted).toBe(true));
    await page.getByText('ready').waitFor();
    await page.click('#ask');
    await page.locator('.assistant').nth(1).getByText('one', { exact: true }).waitFor();
    await page.reload();
    await page.getByText('streaming').waitFor();
    await page.click('#stop');
    await vi.waitFor(() => expect(app.standin.calls[1]?.aborted).toBe(true));
    await page.reload();
    await page.getByText('ready').waitFor();
    expect(await page.locator('p').allTextContents()).toEqual(['Count', 'one ', 'Count', 'one ']);
  });
});

describeInBrowser('a page with a photo', ({ open }) => {
  it('of 6 MB is answered, and so are ten turns that send it again', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { answer: { text: 'A photo.' }, longestBodyKept: 20_000_000 },
    });
    const page = await open(`${origin}/?api=${app.url}/api/chat`);
    await page.getByText('ready').waitFor();
    const file = { name: 'photo.jpg', mimeType: 'image/jpeg', buffer: PHOTO };
    await page.locator('input').setInputFiles(file);
    for (let turn = 1; turn <= 11; turn += 1) {
      await page.click('#ask');
      await page
        .locator('.assistant')
        .nth(turn - 1)
        .getByText('A photo.')
        .waitFor();
      await page.getByText('ready').waitFor();
    }
    const inlineData = { mimeType: 'image/jpeg', data: PHOTO.toString('base64') };
    expect(app.standin.calls).toHaveLength(11);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user', parts: [{ inlineData }, { text: 'Count' }] },
        ...Array.from({ length: 20 }, () => expect.anything()),
      ],
    });
  }, 60_000);
});
