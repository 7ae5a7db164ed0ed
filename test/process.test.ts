import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { Agent, get, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Standin, type StandinOptions, startStandin } from '../standin/standin.ts';
import { createFakeClock, type FakeClock } from './support/fake-clock.ts';

const ROOT = resolve(import.meta.dirname, '..');
const PATIENCE = { timeout: 10_000, interval: 20 };

/** Built apart from `dist/`, which somebody else may be building or running at the same time. */
let built: string;

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'understudy-built-'));
  await writeFile(join(built, 'package.json'), '{"type":"module"}');
  await symlink(join(ROOT, 'node_modules'), join(built, 'node_modules'));
  await symlink(join(ROOT, 'src'), join(built, 'src'));
  const build = ['tsc', '-p', 'tsconfig.build.json', '--outDir', join(built, 'dist')];
  await promisify(execFile)('npx', build, { cwd: ROOT });
}, 120_000);

afterAll(() => rm(built, { recursive: true, force: true }));

const opened: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

interface Server {
  /** Once it listens. */
  readonly url: string;
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** The exit code; a signal's name where one ended it. */
  readonly ended: Promise<number | string | null>;
}

type Starting = Omit<Server, 'url'>;

/** `node dist/main.js` in an empty directory and with an environment of its own, until the end of the test. */
async function launch(
  environment: Record<string, string>,
  { args = [], dotenv }: { args?: string[]; dotenv?: string } = {},
): Promise<Starting> {
  const directory = await mkdtemp(join(tmpdir(), 'understudy-'));
  if (dotenv !== undefined) await writeFile(join(directory, '.env'), dotenv);
  const child = spawn(process.execPath, [join(built, 'dist/main.js'), ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    texts.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    texts.stderr += chunk;
  });
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  opened.push(async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(directory, { recursive: true, force: true });
  });
  return { process: child, stdout: () => texts.stdout, stderr: () => texts.stderr, ended };
}

const HERE = { HOST: '127.0.0.1', PORT: '0' };

async function start(
  environment: Record<string, string>,
  options?: Parameters<typeof launch>[1],
): Promise<Server> {
  const starting = await launch({ ...HERE, ...environment }, options);
  const url = await vi.waitFor(() => {
    const port = /"port":(\d+).*"msg":"listening"/.exec(starting.stdout())?.[1];
    expect(port, starting.stdout() + starting.stderr()).toBeDefined();
    return `http://127.0.0.1:${port}`;
  }, PATIENCE);
  return { ...starting, url };
}

/** Providers in this process, whose time stands still until the test moves it. */
async function standIn(
  options: Omit<StandinOptions, 'clock'>,
): Promise<{ standin: Standin; clock: FakeClock; environment: Record<string, string> }> {
  const clock = createFakeClock();
  const standin = await startStandin({ clock, ...options });
  opened.push(() => standin.close());
  const [key = ''] = options.keys.map((held) => held.key);
  const environment = {
    GOOGLE_API_KEY: key,
    GOOGLE_BASE_URL: standin.url,
    ANAM_BASE_URL: standin.url,
  };
  return { standin, clock, environment };
}

const KEY = { key: 'g-one', service: 'google' } as const;
const HALFWAY = { chunks: 2, chunkMs: 1000, text: 'The whole answer.' };

/** What stands there besides the report at the start. */
const complaints = (stderr: string) =>
  stderr
    .split('\n')
    .filter((line) => line !== '' && !/^(google|anam|on call|settings): /.test(line));

const chat = (url: string) =>
  fetch(`${url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"message":"Hi"}',
  });

const isRefused = (url: string) =>
  fetch(`${url}/health`).then(
    () => false,
    ({ cause }) => cause?.code === 'ECONNREFUSED',
  );

describe('the process', () => {
  it('starts with one key and answers', async () => {
    const { environment, standin } = await standIn({ keys: [KEY] });
    const startedAt = performance.now();
    const { url, stdout, stderr } = await start(environment);
    const health = await fetch(`${url}/health`);
    const coldStartMs = Math.round(performance.now() - startedAt);
    process.stdout.write(`cold start until /health: ${coldStartMs} ms\n`);
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok', mode: 'live' }]);
    expect((await chat(url)).status).toBe(200);
    expect(standin.callsOf('g-one')).toBe(1);
    expect(stderr().trim().split('\n')).toEqual([
      'google: 1 key (google) in 1 project; answers with gemini-flash-latest.',
      'anam: no key, so there is no avatar. Set ANAM_API_KEY if there is to be one.',
      'on call: no dashboard and no metrics. Set ADMIN_TOKEN to have them.',
    ]);
    for (const line of stdout().trim().split('\n'))
      expect(JSON.parse(line).msg).toBeTypeOf('string');
    expect(stdout() + stderr()).not.toContain('g-one');
  });

  it('starts without any key, and says what is missing when asked', async () => {
    const { url } = await start({});
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const answer = await chat(url);
    expect([answer.status, ((await answer.json()) as { error: object }).error]).toEqual([
      503,
      expect.objectContaining({ code: 'no_keys_configured' }),
    ]);
  });

  it('lists every faulty setting at once, without any value, and ends with 1', async () => {
    const secret = ['AI', 'zaSy', 'Oops-this-went-on-the-wrong-line0'].join('');
    const { ended, stdout, stderr } = await launch({
      PORT: '99999',
      LOG_LEVEL: secret,
      TRUST_PROXY: 'true',
      ANAM_PERSONA_CONFIG: `{"apiKey":"${secret}"`,
      GOOGLE_API_KEY: `${secret} and more`,
      GOOGLE_BASE_URL: `https://user:${secret}@example.test`,
    });
    expect(await ended).toBe(1);
    const named = stderr()
      .trim()
      .split('\n')
      .map((line) => line.split(':')[0]);
    expect(named.toSorted()).toEqual([
      'ANAM_PERSONA_CONFIG',
      'GOOGLE_API_KEY',
      'GOOGLE_BASE_URL',
      'LOG_LEVEL',
      'PORT',
      'TRUST_PROXY',
    ]);
    expect(stderr() + stdout()).not.toContain('Oops');
    expect(stderr() + stdout()).not.toMatch(/ {4}at /);
  });

  it('says in one line that its port is taken, and ends with 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    opened.push(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    const { ended, stderr } = await launch({ HOST: '127.0.0.1', PORT: String(port) });
    expect(await ended).toBe(1);
    expect(complaints(stderr())).toEqual([`PORT: ${port} is already in use on 127.0.0.1.`]);
  });

  it('names the command of the demo when it is started with --demo, and ends with 1', async () => {
    const { ended, stderr } = await launch(HERE, { args: ['--demo'] });
    expect(await ended).toBe(1);
    expect(stderr()).toBe('The demo is no part of the server: npm run demo\n');
  });

  it('says in one line that its address is not to be had, and ends with 1', async () => {
    const { ended, stderr } = await launch({ HOST: '203.0.113.1', PORT: '0' });
    expect(await ended).toBe(1);
    expect(complaints(stderr())).toEqual([expect.stringContaining('203.0.113.1')]);
  });
});

describe('the .env file', () => {
  it('of the working directory is read', async () => {
    const { standin, environment } = await standIn({ keys: [KEY] });
    const dotenv = Object.entries(environment)
      .map(([name, text]) => `${name}="${text}"`)
      .join('\n');
    const { url, stderr } = await start({}, { dotenv });
    expect((await chat(url)).status).toBe(200);
    expect(standin.callsOf('g-one')).toBe(1);
    expect(complaints(stderr())).toEqual([]);
  });

  it('gives way to a real variable', async () => {
    const { standin, environment } = await standIn({ keys: [KEY] });
    const { url } = await start(environment, { dotenv: 'GOOGLE_API_KEY=from-the-file\n' });
    expect((await chat(url)).status).toBe(200);
    expect(standin.calls.map(({ key }) => key)).toEqual(['g-one']);
  });

  it('is checked like any other, and its faults show no value', async () => {
    const { ended, stderr } = await launch({}, { dotenv: 'PORT=my-password\nHOST="a b"\n' });
    expect(await ended).toBe(1);
    expect(stderr()).toMatch(/^PORT: .*\nHOST: .*\n$/);
    expect(stderr()).not.toContain('my-password');
  });
});

describe.each(['SIGTERM', 'SIGINT'] as const)('at %s', (signal) => {
  it('an answer that is halfway comes to its end, nobody new is let in, and it ends with 0', async () => {
    const { standin, clock, environment } = await standIn({ keys: [{ ...KEY, answer: HALFWAY }] });
    const server = await start(environment);
    const answer = chat(server.url);
    await vi.waitFor(() => expect(clock.pendingTimers()).toBe(1), PATIENCE);
    server.process.kill(signal);
    await vi.waitFor(async () => expect(await isRefused(server.url)).toBe(true), PATIENCE);
    expect([server.process.exitCode, standin.openRequests()]).toEqual([null, 1]);

    clock.advance(1000);
    const { status, body } = await answer.then(async (response) => ({
      status: response.status,
      body: (await response.json()) as Record<string, unknown>,
    }));
    expect([status, body.reply, body.finishReason]).toEqual([200, 'The whole answer.', 'stop']);
    expect(await server.ended).toBe(0);
    expect(server.stdout()).toContain('"endedByItself":true');
    expect(complaints(server.stderr())).toEqual([]);
  });

  it('an answer that has not begun yet comes too', async () => {
    const slow = { ...KEY, fault: { kind: 'slow', ms: 3000 } as const };
    const { clock, environment } = await standIn({ keys: [slow] });
    const server = await start(environment);
    const answer = chat(server.url);
    await vi.waitFor(() => expect(clock.pendingTimers()).toBe(1), PATIENCE);
    server.process.kill(signal);
    await vi.waitFor(() => expect(server.stdout()).toContain('stopping'), PATIENCE);
    clock.advance(3000);
    expect((await answer).status).toBe(200);
    expect(await server.ended).toBe(0);
  });
});

describe('when it is told to stop', () => {
  it('a stream that has begun goes on to its last word', async () => {
    const { clock, environment } = await standIn({ keys: [{ ...KEY, answer: HALFWAY }] });
    const server = await start(environment);
    const response = await fetch(`${server.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'Hi', stream: true }),
    });
    await vi.waitFor(() => expect(clock.pendingTimers()).toBe(1), PATIENCE);
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.stdout()).toContain('stopping'), PATIENCE);
    clock.advance(1000);
    expect(await response.text()).toMatch(/event: done\ndata: .*"finishReason":"stop"/);
    expect(await server.ended).toBe(0);
    expect(server.stdout()).toContain('"endedByItself":true');
  });

  it('a second time, it ends at once', async () => {
    const { standin, environment } = await standIn({
      keys: [{ ...KEY, fault: { kind: 'hang_mid_stream' } }],
    });
    const server = await start(environment);
    const answer = chat(server.url);
    await vi.waitFor(() => expect(standin.openRequests()).toBe(1), PATIENCE);
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.stdout()).toContain('stopping'), PATIENCE);
    expect(server.process.exitCode).toBeNull();
    server.process.kill('SIGTERM');
    await expect(answer).rejects.toThrow();
    expect(await server.ended).toBe(1);
    await vi.waitFor(() => expect(standin.openRequests()).toBe(0), PATIENCE);
  });

  it('connections on which nothing happens any more do not hold it back', async () => {
    const server = await start({});
    const agent = new Agent({ keepAlive: true, maxSockets: 5 });
    opened.push(() => agent.destroy());
    await Promise.all(Array.from({ length: 5 }, () => healthOver(agent, server.url)));
    expect(Object.values(agent.freeSockets).flat()).toHaveLength(5);
    server.process.kill('SIGTERM');
    expect(await server.ended).toBe(0);
  });

  it('connections on which nothing ever happened, as browsers open in advance, do not either', async () => {
    const server = await start({});
    const silent = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(silent, 'connect');
    opened.push(() => silent.destroy());
    await fetch(`${server.url}/health`);
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.process.exitCode).toBe(0), PATIENCE);
  });

  it('a kept connection that still had an answer to come does not hold it back afterwards', async () => {
    const { clock, environment } = await standIn({ keys: [{ ...KEY, answer: HALFWAY }] });
    const server = await start(environment);
    const answer = chat(server.url);
    await vi.waitFor(() => expect(clock.pendingTimers()).toBe(1), PATIENCE);
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.stdout()).toContain('stopping'), PATIENCE);
    clock.advance(1000);
    expect((await answer).status).toBe(200);
    expect(await server.ended).toBe(0);
  });

  it('it ends although nobody reads its log any more', async () => {
    const { environment } = await standIn({ keys: [KEY] });
    const server = await start(environment);
    server.process.stdout?.destroy();
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.process.exitCode).toBe(0), PATIENCE);
  });

  it('it says last that it has stopped, after everything else', async () => {
    const { environment } = await standIn({ keys: [KEY] });
    const server = await start(environment);
    expect((await chat(server.url)).status).toBe(200);
    server.process.kill('SIGTERM');
    await server.ended;
    const messages = server
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).msg);
    expect(messages.slice(-3)).toEqual([
      'request',
      'stopping: no new connections, answers in flight go out',
      'stopped',
    ]);
  });

  it('the answer says that it is the last of its connection, so that nobody asks once more on it', async () => {
    const { clock, environment } = await standIn({ keys: [{ ...KEY, answer: HALFWAY }] });
    const server = await start(environment);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    opened.push(() => agent.destroy());
    const connection = connectionAfterChat(agent, server.url);
    await vi.waitFor(() => expect(clock.pendingTimers()).toBe(1), PATIENCE);
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.stdout()).toContain('stopping'), PATIENCE);
    clock.advance(1000);
    expect(await connection).toBe('close');
    expect(await server.ended).toBe(0);
  });

  it('a client that leaves meanwhile does not hold it back', async () => {
    const { standin, environment } = await standIn({ keys: [{ ...KEY, fault: { kind: 'hang' } }] });
    const server = await start(environment);
    const controller = new AbortController();
    const answer = fetch(`${server.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"message":"Hi"}',
      signal: controller.signal,
    });
    await vi.waitFor(() => expect(standin.openRequests()).toBe(1), PATIENCE);
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.stdout()).toContain('stopping'), PATIENCE);
    controller.abort();
    await expect(answer).rejects.toThrow();
    expect(await server.ended).toBe(0);
    expect(standin.calls[0]?.aborted).toBe(true);
  });
});

/** What the answer says of its connection. */
function connectionAfterChat(agent: Agent, url: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const asked = request(`${url}/api/chat`, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.headers.connection));
    });
    asked.once('error', reject);
    asked.end('{"message":"Hi"}');
  });
}

function healthOver(agent: Agent, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(`${url}/health`, { agent }, (response) => {
      response.resume();
      response.once('end', () => setImmediate(resolve));
    }).once('error', reject);
  });
}

describe('400 connections that stay open after a megabyte each', () => {
  const CLIENT_TOKEN = 'program-token-0123456789';
  const junk = JSON.stringify('x'.repeat(1_000_000));

  it.each([
    ['/api/login', 413],
    ['/api/chat', 400],
    ['/v1beta/models/gemini-flash-latest:generateContent', 400],
  ])(
    'at %s leave a process with a heap of 256 MB below 350 MB',
    async (path, status) => {
      const { environment } = await standIn({ keys: [KEY] });
      const { url, process: server } = await start({
        ...environment,
        ADMIN_TOKEN: 'admin-token-0123456789',
        CLIENT_TOKENS: CLIENT_TOKEN,
        RATE_LIMIT_CHAT: '0',
        NODE_OPTIONS: '--max-old-space-size=256',
        // Each connection has an address of its own, so that no limit by address ends this early.
        TRUST_PROXY: '1',
      });
      for (let from = 0; from < 20; from += 1) {
        const headers = (index: number) => ({
          'content-type': 'application/json',
          'x-goog-api-key': CLIENT_TOKEN,
          'x-forwarded-for': `198.51.${from}.${index}`,
        });
        const answers = Array.from({ length: 20 }, (_, index) =>
          postOnItsOwn(url + path, junk, headers(index)),
        );
        expect(await Promise.all(answers)).toEqual(answers.map(() => status));
      }
      expect((await fetch(`${url}/health`)).status).toBe(200);
      expect(await residentMb(server)).toBeLessThan(350);
    },
    60_000,
  );

  /** On a connection that stays open, and is not used again. */
  async function postOnItsOwn(url: string, body: string, headers: Record<string, string>) {
    const agent = new Agent({ keepAlive: true });
    opened.push(() => agent.destroy());
    const asked = request(url, { method: 'POST', agent, headers });
    asked.on('error', () => {});
    asked.end(body);
    const [response] = await once(asked, 'response');
    response.resume();
    await once(response, 'end');
    return response.statusCode;
  }

  async function residentMb({ pid }: ChildProcess): Promise<number> {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }
});
