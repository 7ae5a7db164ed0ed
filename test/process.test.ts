import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Standin, type StandinOptions, startStandin } from '../standin/standin.ts';
import { startCollector } from './support/collector.ts';
import { createFakeClock, type FakeClock } from './support/fake-clock.ts';
import { freePort } from './support/redis.ts';

const ROOT = resolve(import.meta.dirname, '..');
const PATIENCE = { timeout: 10_000, interval: 20 };

/** Built apart from `dist/`, which another process may be building or running at the same time. */
let built: string;

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'understudy-built-'));
  await writeFile(join(built, 'package.json'), '{"type":"module"}');
  await symlink(join(ROOT, 'node_modules'), join(built, 'node_modules'));
  await symlink(join(ROOT, 'src'), join(built, 'src'));
  const dist = join(built, 'dist');
  const run = promisify(execFile);
  await run('node', ['bundle-packages.mjs', dist], { cwd: ROOT });
  await run('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', dist], { cwd: ROOT });
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
  keys: StandinOptions['keys'],
): Promise<{ standin: Standin; clock: FakeClock; environment: Record<string, string> }> {
  const clock = createFakeClock();
  const standin = await startStandin({ clock, keys });
  opened.push(() => standin.close());
  const variables = keys.map(({ key }, index) => [`GOOGLE_API_KEY_${index + 1}`, key]);
  const environment = { ...Object.fromEntries(variables), GOOGLE_BASE_URL: standin.url };
  return { standin, clock, environment };
}

const KEY = { key: 'g-one', service: 'google' } as const;

/** What standard error has besides the report at the start. */
const complaints = (stderr: string) =>
  stderr
    .split('\n')
    .filter((line) => line !== '' && !/^(google|anam|on call|settings): /.test(line));

interface Reply {
  readonly status: number | undefined;
  /** Of the header `connection`. */
  readonly connection: string | undefined;
  readonly text: string;
}

const JSON_BODY = { 'content-type': 'application/json' };

/** Over the agent's connections, which stay open; by default over one that nothing else uses. */
function post(
  url: string,
  body: string,
  { agent = keptAgent(), headers = {}, signal }: Over = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const how = { method: 'POST', agent, headers: { ...JSON_BODY, ...headers }, signal };
    const asked = request(url, how, async (response) => {
      const { statusCode: status, headers: given } = response;
      let text = '';
      for await (const part of response.setEncoding('utf8')) text += part;
      resolve({ status, connection: given.connection, text });
    });
    asked.once('error', reject);
    asked.end(body);
  });
}

interface Over {
  readonly agent?: Agent;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

function keptAgent(): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  opened.push(() => agent.destroy());
  return agent;
}

const chat = (url: string, more: object = {}, over?: Over) =>
  post(`${url}/api/chat`, JSON.stringify({ message: 'Hi', ...more }), over);

const messagesIn = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).msg);

describe('the process', () => {
  it('starts with one key, answers, and says last that it has stopped', async () => {
    const { environment, standin } = await standIn([KEY]);
    const startedAt = performance.now();
    const server = await start(environment);
    const health = await fetch(`${server.url}/health`);
    const coldStartMs = Math.round(performance.now() - startedAt);
    process.stdout.write(`cold start until /health: ${coldStartMs} ms\n`);
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok', mode: 'live' }]);
    expect((await chat(server.url)).status).toBe(200);
    expect(standin.callsOf('g-one')).toBe(1);
    server.process.kill('SIGINT');
    expect(await server.ended).toBe(0);
    expect(messagesIn(server.stdout()).slice(-3)).toEqual([
      'request',
      'stopping: no new connections, answers in flight go out',
      'stopped',
    ]);
    expect(server.stderr().trim().split('\n')).toEqual([
      'google: 1 key (google-1) in 1 project; answers with gemini-flash-latest.',
      'anam: no key, so there is no avatar. Set ANAM_API_KEY if there is to be one.',
      'on call: no dashboard and no metrics. Set ADMIN_TOKEN to have them.',
    ]);
    expect(server.stdout() + server.stderr()).not.toContain('g-one');
  });

  it('starts without any key, and ends although its log is no longer read', async () => {
    const server = await start({});
    const { status, text } = await chat(server.url);
    expect([status, JSON.parse(text).error.code]).toEqual([503, 'no_keys_configured']);
    server.process.stdout?.destroy();
    server.process.kill('SIGINT');
    await vi.waitFor(() => expect(server.process.exitCode).toBe(0), PATIENCE);
  });

  it('reads the .env file of the working directory, where a real variable wins', async () => {
    const { standin, environment } = await standIn([KEY]);
    const dotenv = `GOOGLE_API_KEY_1=from-the-file\nGOOGLE_BASE_URL="${standin.url}"\n`;
    const { GOOGLE_API_KEY_1 = '' } = environment;
    const { url, stderr } = await start({ GOOGLE_API_KEY_1 }, { dotenv });
    expect((await chat(url)).status).toBe(200);
    expect(standin.calls.map(({ key }) => key)).toEqual(['g-one']);
    expect(complaints(stderr())).toEqual([]);
  });
});

describe('the process ends with 1', () => {
  it('after it has listed every faulty setting, also those of .env, without any value', async () => {
    const secret = ['AI', 'zaSy', 'Oops-this-went-on-the-wrong-line0'].join('');
    const environment = {
      LOG_LEVEL: secret,
      TRUST_PROXY: 'true',
      ANAM_PERSONA_CONFIG: `{"apiKey":"${secret}"`,
      GOOGLE_API_KEY: `${secret} and more`,
      GOOGLE_BASE_URL: `https://user:${secret}@example.test`,
    };
    const dotenv = `PORT=Oops-my-password\nHOST="a b"\n`;
    const { ended, stdout, stderr } = await launch(environment, { dotenv });
    expect(await ended).toBe(1);
    const lines = stderr().trim().split('\n');
    expect(lines.map((line) => line.split(':')[0]).toSorted()).toEqual([
      'ANAM_PERSONA_CONFIG',
      'GOOGLE_API_KEY',
      'GOOGLE_BASE_URL',
      'HOST',
      'LOG_LEVEL',
      'PORT',
      'TRUST_PROXY',
    ]);
    expect(stderr() + stdout()).not.toContain('Oops');
    expect(stderr() + stdout()).not.toMatch(/ {4}at /);
  });

  it('and one line when its port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    opened.push(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    const { ended, stderr } = await launch({ HOST: '127.0.0.1', PORT: String(port) });
    expect(await ended).toBe(1);
    expect(complaints(stderr())).toEqual([`PORT: ${port} is already in use on 127.0.0.1.`]);
  });

  it('and one line when its address belongs to another machine', async () => {
    const { ended, stderr } = await launch({ HOST: '203.0.113.1', PORT: '0' });
    expect(await ended).toBe(1);
    expect(complaints(stderr())).toEqual([expect.stringContaining('203.0.113.1')]);
  });

  it('and the command of the demo when it is started with --demo', async () => {
    const { ended, stderr } = await launch(HERE, { args: ['--demo'] });
    expect(await ended).toBe(1);
    expect(stderr()).toBe('The demo is no part of the server: npm run demo\n');
  });
});

it('prints its usage for --help, and for an argument that it does not know, which ends it with 2', async () => {
  const USAGE = /^Usage: node dist\/main\.js \[--check\]\n/;
  const help = await launch(HERE, { args: ['--help'] });
  expect([await help.ended, help.stdout()]).toEqual([0, expect.stringMatching(USAGE)]);
  for (const args of [['--chek'], ['--check', '--now']]) {
    const wrong = await launch(HERE, { args });
    expect([await wrong.ended, wrong.stderr()]).toEqual([2, expect.stringMatching(USAGE)]);
  }
});

describe('--check', () => {
  const table = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/));

  it('prints what each key is worth and starts no server; the exit status says whether all work', async () => {
    const { environment } = await standIn([
      KEY,
      { key: 'g-two', service: 'google', fault: { kind: 'leaked' } },
    ]);
    const bad = await launch(
      { ...environment, GOOGLE_API_KEY_2_PROJECT: 'shop' },
      { args: ['--check'] },
    );
    expect(await bad.ended).toBe(1);
    expect(table(bad.stdout())).toEqual([
      ['KEY', 'PROJECT', 'VERDICT'],
      ['google-1', 'google-1', 'works', expect.stringMatching(/accepts the key/)],
      ['google-2', 'shop', 'rejected', expect.stringMatching(/leaked/)],
    ]);
    expect(bad.stdout() + bad.stderr()).not.toMatch(/g-one|g-two|listening/);
    const { GOOGLE_API_KEY_2: _, ...one } = environment;
    const good = await launch(one, { args: ['--check'] });
    expect(await good.ended).toBe(0);
  });

  it('checks the keys of the store too, and ends with 2 when the store cannot be used', async () => {
    const { environment, standin } = await standIn([{ key: 'g-stored-12345', service: 'google' }]);
    const { GOOGLE_API_KEY_1: stored = '', ...rest } = environment;
    const folder = await mkdtemp(join(tmpdir(), 'understudy-store-'));
    opened.push(() => rm(folder, { recursive: true, force: true }));
    const ADMIN_TOKEN = 'admin-token-0123456789';
    const MASTER_KEY = 'a-master-key-of-forty-characters-or-so-1';
    const store = { ...rest, DATA_DIR: folder, MASTER_KEY };
    const empty = await launch(store, { args: ['--check'] });
    expect([await empty.ended, empty.stdout()]).toEqual([1, 'There is no key to check.\n']);
    const server = await start({ ...store, ADMIN_TOKEN });
    const body = JSON.stringify({ provider: 'google', key: stored });
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    expect((await post(`${server.url}/api/keys`, body, { headers })).status).toBe(201);
    expect(server.stderr()).toMatch(/^google: no key in the settings; .*store/m);
    expect(server.stderr()).toMatch(/^store: 0 keys besides/m);
    server.process.kill('SIGINT');
    await server.ended;
    const again = await start(store);
    expect(again.stderr()).toMatch(/^store: 1 key besides/m);
    const checked = await launch(store, { args: ['--check'] });
    expect(await checked.ended, checked.stderr()).toBe(0);
    expect(table(checked.stdout())[1]?.slice(0, 3)).toEqual(['google-r1', 'google-r1', 'works']);
    expect(standin.callsOf(stored)).toBe(1);
    const other = { ...store, MASTER_KEY: 'another-master-key-of-another-deploy' };
    const refused = await launch(other, { args: ['--check'] });
    expect(await refused.ended).toBe(2);
    expect(refused.stderr()).toMatch(/^MASTER_KEY: does not open the store/m);
    const away = { ...rest, MASTER_KEY, REDIS_URL: 'redis://127.0.0.1:1' };
    const unreached = await launch(away, { args: ['--check'] });
    expect(await unreached.ended).toBe(2);
    expect(unreached.stderr()).toBe('The store of the keys does not answer.\n');
  });

  it('says without a network that the provider is unreachable, and tells bad settings by the exit status', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const away = {
      GOOGLE_API_KEY: 'g-one',
      ANAM_API_KEY: 'a-one',
      GOOGLE_BASE_URL: url,
      ANAM_BASE_URL: url,
    };
    const unreachable = await launch(away, { args: ['--check'] });
    expect(await unreachable.ended).toBe(1);
    expect(
      table(unreachable.stdout())
        .map(([id, , verdict]) => [id, verdict])
        .slice(1),
    ).toEqual([
      ['google', 'unreachable'],
      ['anam', 'unreachable'],
    ]);
    expect(unreachable.stdout().match(/ECONNREFUSED/g)).toHaveLength(2);
    const faulty = await launch({ PORT: 'many' }, { args: ['--check'] });
    expect(await faulty.ended).toBe(2);
    expect([faulty.stdout(), faulty.stderr()]).toEqual(['', expect.stringMatching(/^PORT: /)]);
  });
});

it('CHECK_KEYS checks the keys after the start, and standard error names those that do not work', async () => {
  const { environment } = await standIn([
    KEY,
    { key: 'g-two', service: 'google', fault: { kind: 'leaked' } },
  ]);
  const server = await start({ ...environment, CHECK_KEYS: 'true' });
  await vi.waitFor(() => expect(server.stderr()).toMatch(/^check: google-2: .*leaked/m), PATIENCE);
  await vi.waitFor(
    () =>
      expect(server.stdout()).toMatch(/"listening"[\s\S]*"works":1,"rejected":1.*"keys checked"/),
    PATIENCE,
  );
  expect(server.stderr()).not.toMatch(/check: google-1/);
});

it('spans leave the built server at the latest when it stops', async () => {
  const collector = await startCollector();
  const { environment } = await standIn([KEY]);
  const server = await start({
    ...environment,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '60000',
  });
  expect((await post(`${server.url}/api/chat`, '{"message":"Hi"}')).status).toBe(200);
  server.process.kill('SIGTERM');
  expect(await server.ended).toBe(0);
  expect(collector.spans.map(({ name }) => name)).toEqual(
    Array(2).fill('chat gemini-flash-latest'),
  );
});

it('npm start without a build says in one sentence what to run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-unbuilt-'));
  opened.push(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'package.json'), await readFile(join(ROOT, 'package.json')));
  const run = promisify(execFile)('npm', ['start', '--silent'], { cwd: folder });
  await expect(run).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^There is no build yet\. Run: npm run build\n$/),
  });
});

describe.each(['SIGTERM', 'SIGINT'] as const)('at %s', (signal) => {
  const SLOW_MS = 3000;
  const HALFWAY = { chunks: 2, chunkMs: 1000, text: 'The whole answer.' };
  /** Some calls get half an answer at once, the others nothing yet. */
  const KEYS = [
    { ...KEY, answer: HALFWAY },
    { key: 'g-two', service: 'google', fault: { kind: 'slow', ms: SLOW_MS } },
  ] as const;

  it('every answer that is under way comes to its end, nothing else holds the process, and it ends with 0', async () => {
    const { standin, clock, environment } = await standIn(KEYS);
    const server = await start(environment);
    const { url } = server;
    const idle = keptAgent();
    await post(`${url}/api/keys/status`, '', { agent: idle });
    const silent = connect(Number(new URL(url).port), '127.0.0.1');
    opened.push(() => silent.destroy());
    await once(silent, 'connect');
    const leaving = new AbortController();
    const answers = [
      chat(url),
      chat(url),
      chat(url, { stream: true }),
      chat(url, { stream: true }),
    ];
    const left = chat(url, {}, { signal: leaving.signal });
    await vi.waitFor(() => expect(clock.pendingTimers()).toBe(5), PATIENCE);
    expect(Object.values(idle.freeSockets).flat()).toHaveLength(1);

    server.process.kill(signal);
    await vi.waitFor(async () => expect(await isRefused(url)).toBe(true), PATIENCE);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await vi.waitFor(() => expect(standin.openRequests()).toBe(4), PATIENCE);
    expect(server.process.exitCode).toBeNull();

    clock.advance(SLOW_MS);
    const replies = await Promise.all(answers);
    for (const { status, connection, text } of replies.slice(0, 2)) {
      expect([status, connection]).toEqual([200, 'close']);
      expect(JSON.parse(text).finishReason).toBe('stop');
    }
    for (const { text } of replies.slice(2)) {
      expect(text).toMatch(/event: done\ndata: .*"finishReason":"stop"/);
    }
    expect(await server.ended).toBe(0);
    expect(server.stdout()).toContain('"endedByItself":true');
    expect(complaints(server.stderr())).toEqual([]);
  });
});

it('a second signal ends the process at once', async () => {
  const { standin, environment } = await standIn([{ ...KEY, fault: { kind: 'hang_mid_stream' } }]);
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

describe('the log', () => {
  /** @returns the id of the request; null for any answer but a reply */
  const askForId = (url: string, agent: Agent): Promise<string | null> =>
    chat(url, {}, { agent }).then(
      ({ status, text }) => (status === 200 ? JSON.parse(text).requestId : null),
      () => null,
    );

  /** Chats over many connections, until none of them has a reply any more. */
  async function chatUntilTheEnd(url: string, { after, end }: { after: number; end: () => void }) {
    const answered: string[] = [];
    const chatOn = async (agent: Agent) => {
      let id = await askForId(url, agent);
      while (id !== null) {
        if (answered.push(id) === after) end();
        id = await askForId(url, agent);
      }
    };
    await Promise.all(Array.from({ length: 16 }, () => chatOn(keptAgent())));
    return answered;
  }

  const linesOf = ({ stdout }: Server) =>
    stdout()
      .trim()
      .split('\n')
      .map((line): Record<string, unknown> => JSON.parse(line));

  const requestsIn = (lines: readonly Record<string, unknown>[]) =>
    lines.filter(({ msg }) => msg === 'request').map(({ requestId }) => requestId);

  const MANY = { RATE_LIMIT_CHAT: '0' };

  it('has the line of every answered request, and "stopped" last, after SIGTERM under load', async () => {
    const { environment } = await standIn([KEY]);
    const server = await start({ ...environment, ...MANY });
    const end = () => void server.process.kill('SIGTERM');
    const answered = await chatUntilTheEnd(server.url, { after: 300, end });
    expect(await server.ended).toBe(0);
    const lines = linesOf(server);
    expect(requestsIn(lines)).toEqual(expect.arrayContaining(answered));
    expect(lines.at(-1)).toMatchObject({ msg: 'stopped' });
  });

  it('has the lines before an uncaught exception, and the exception itself', async () => {
    const { environment } = await standIn([KEY]);
    const bug = "process.once('SIGUSR2', () => { throw new Error('a bug') })";
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(bug)}`;
    const server = await start({ ...environment, ...MANY, NODE_OPTIONS });
    const end = () => void server.process.kill('SIGUSR2');
    const answered = await chatUntilTheEnd(server.url, { after: 300, end });
    expect(await server.ended).toBe(1);
    const lines = linesOf(server);
    expect(requestsIn(lines)).toEqual(expect.arrayContaining(answered.slice(0, 300)));
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 60, err: expect.objectContaining({ message: 'a bug' }) }),
    );
  });

  it('that is no longer read holds up no answer', async () => {
    const { environment } = await standIn([KEY]);
    const server = await start({ ...environment, ...MANY });
    server.process.stdout?.destroy();
    for (let index = 0; index < 50; index += 1) {
      expect((await chat(server.url)).status).toBe(200);
    }
    server.process.kill('SIGTERM');
    await vi.waitFor(() => expect(server.process.exitCode).toBe(0), PATIENCE);
  });

  it('that is read late holds up no answer, and is whole in the end', async () => {
    const server = await start({});
    const { stdout } = server.process;
    stdout?.pause();
    const agent = keptAgent();
    const path = `/${'x'.repeat(199)}`;
    // Much more than fits between two processes.
    for (let index = 0; index < 2000; index += 1) {
      expect((await post(server.url + path, '', { agent })).status).toBe(404);
    }
    stdout?.resume();
    server.process.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(requestsIn(linesOf(server))).toHaveLength(2000);
  });
});

const isRefused = (url: string) =>
  fetch(`${url}/health`).then(
    () => false,
    ({ cause }) => cause?.code === 'ECONNREFUSED',
  );

it('connections that stay open after a megabyte each hold none of it', {
  timeout: 60_000,
}, async () => {
  const CLIENT_TOKEN = 'program-token-0123456789';
  const PATHS = [
    ['/api/login', 413],
    ['/api/chat', 400],
    ['/v1beta/models/gemini-flash-latest:generateContent', 400],
  ] as const;
  const CONNECTIONS = 160;
  const junk = JSON.stringify('x'.repeat(1_000_000));
  const { environment } = await standIn([KEY]);
  const { url, process: server } = await start({
    ...environment,
    ADMIN_TOKEN: 'admin-token-0123456789',
    CLIENT_TOKENS: CLIENT_TOKEN,
    RATE_LIMIT_CHAT: '0',
    // Texts of a megabyte would fill it long before the last connection.
    NODE_OPTIONS: '--max-old-space-size=64',
    // Each connection has an address of its own, so that no limit by address ends this early.
    TRUST_PROXY: '1',
  });
  for (const [path, status] of PATHS) {
    const before = await residentMb(server);
    for (let from = 0; from < CONNECTIONS; from += 20) {
      const answers = Array.from({ length: 20 }, (_, index) =>
        post(url + path, junk, {
          headers: {
            'x-goog-api-key': CLIENT_TOKEN,
            'x-forwarded-for': `198.51.${from / 20}.${index}`,
          },
        }),
      );
      for (const answer of await Promise.all(answers)) expect(answer.status).toBe(status);
    }
    expect((await residentMb(server)) - before, path).toBeLessThan(CONNECTIONS * 0.75);
  }
});

async function residentMb({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}
