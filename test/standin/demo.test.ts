import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { startStandin } from '../../standin/standin.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { startProgram } from '../support/program.ts';

const DEMO = resolve(import.meta.dirname, '../../standin/demo.ts');
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

test('the demo runs without a key, reads no real one, and stops on SIGTERM', async () => {
  const real = await startStandin({
    clock: createFakeClock(),
    keys: [
      { key: 'g-one', service: 'google' },
      { key: 'a-one', service: 'anam' },
    ],
  });
  const folder = await mkdtemp(join(tmpdir(), 'understudy-demo-'));
  const dotenv = ['GOOGLE_API_KEY_8=g-eight', `GOOGLE_BASE_URL=${real.url}`, 'KEY_WAIT_SECONDS=no'];
  await writeFile(join(folder, '.env'), dotenv.join('\n'));
  const environment = {
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_LEVEL: 'debug',
    GOOGLE_API_KEY: 'g-one',
    GOOGLE_API_KEY_7: 'g-seven',
    ANAM_API_KEY: 'a-one',
    GOOGLE_BASE_URL: real.url,
    ANAM_BASE_URL: real.url,
  };
  const demo = await startProgram(process.execPath, ['--import', TSX, DEMO], {
    cwd: folder,
    environment,
    until: /Listening on (http:\S+)\./,
  });
  try {
    const url = String(demo.ready[1]);
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok', mode: 'demo' });
    for (let turn = 0; turn < 6; turn += 1) expect((await chat(url)).status).toBe(200);
    const { requestId } = (await (await chat(url)).json()) as { requestId: string };
    const trace = await fetch(`${url}/api/requests/${requestId}`, {
      headers: { authorization: 'Bearer demo-admin-token' },
    });
    expect(await trace.json()).toMatchObject({
      request: { currency: 'USD', cost: expect.any(Number) },
    });
    expect((await fetch(`${url}/api/anam/session-token`, { method: 'POST' })).status).toBe(200);
    expect(await uiStream(url, 'Call local_time')).toMatch(
      /"reasoning-delta".*"tool-input-available".*"toolName":"local_time"/s,
    );
    const status = await (await fetch(`${url}/api/keys/status`)).json();
    expect(status).toMatchObject({ api_keys: { google: { total: 4 }, anam: { total: 2 } } });
    expect(await demo.end()).toBe(0);
    expect(real.calls).toEqual([]);
    expect(demo.said()).toMatch(/providers are STAND-INS/);
    expect(demo.said()).toMatch(/"mode":"demo".*"msg":"listening"/);
    expect(demo.said()).not.toMatch(/g-one|a-one|g-seven|g-eight/);
  } finally {
    await demo.stop();
    await real.close();
    await rm(folder, { recursive: true, force: true });
  }
});

const uiStream = async (url: string, text: string) => {
  const messages = [{ id: 'm', role: 'user', parts: [{ type: 'text', text }] }];
  const answer = await fetch(`${url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages }),
  });
  return answer.text();
};

const chat = (url: string) =>
  fetch(`${url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"message":"Hi"}',
  });
