/**
 * What stands between a caller and the provider costs: CPU time, rate and latency of Understudy's three
 * protocols beside a bare pass-through, in turns, on one core, with everything on.
 *
 *     npm run bench:overhead [-- --quick] [-- --rows bare,chat --rounds 5 /path/to/another/node …]
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { startBuiltServer } from './support/built-server.ts';
import { startChild } from './support/child.ts';
import { canPin, pinned, SERVER_CORE } from './support/core.ts';
import { type LoadGenerator, type LoadReport, post, startLoadGenerator } from './support/load.ts';
import { machine } from './support/machine.ts';
import { script } from './support/script.ts';
import { printTable } from './support/table.ts';

const CALLERS = 32;
const WARM_UP = { ms: 2000, answers: 5000, atMostMs: 6000 };
const QUICK_WARM_UP = { ms: 1000, answers: 3000, atMostMs: 8000 };
const SETTLE = { ms: 200, answers: 0, atMostMs: 200 };
const KINDS = { unary: 1, stream: 20 };
type Kind = keyof typeof KINDS;

const HEAD = ['CPU µs', 'requests/s', 'beside bare', 'p99 ms', 'core', "load's core"];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rows: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
  },
});

const CLIENT_TOKEN = 'bench-client-token';
const MESSAGE = 'Hello there';
const CHAT = { message: MESSAGE };
const GEMINI = { contents: [{ role: 'user', parts: [{ text: MESSAGE }] }] };
const OPENAI = { model: 'gemini-flash-latest', messages: [{ role: 'user', content: MESSAGE }] };
const GEMINI_PATHS = {
  unary: '/v1beta/models/gemini-flash-latest:generateContent',
  stream: '/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse',
};
const asGemini = (kind: Kind) =>
  post(GEMINI_PATHS[kind], GEMINI, { 'x-goog-api-key': CLIENT_TOKEN });

interface Server {
  readonly url: string;
  readonly pid: number;
  forgetLog?(): void;
  stop(): Promise<void>;
}

interface Row {
  readonly title: string;
  start(node: string, upstreamUrl: string): Promise<Server>;
  requestOf(kind: Kind): string;
}

const ROWS: Readonly<Record<string, Row>> = {
  bare: {
    title: '`node:http` and undici, bytes passed through',
    start: startReference('bare'),
    requestOf: asGemini,
  },
  express: {
    title: 'Express 5, prototypes fixed, bytes passed through',
    start: startReference('express'),
    requestOf: asGemini,
  },
  chat: {
    title: '**Understudy `/api/chat`**',
    start: startUnderstudy,
    requestOf: (kind) =>
      post('/api/chat', CHAT, kind === 'stream' ? { accept: 'text/event-stream' } : {}),
  },
  gemini: {
    title: "**Understudy, Gemini's protocol**",
    start: startUnderstudy,
    requestOf: asGemini,
  },
  openai: {
    title: "**Understudy, OpenAI's protocol**",
    start: startUnderstudy,
    requestOf: (kind) =>
      post(
        '/v1/chat/completions',
        { ...OPENAI, stream: kind === 'stream' },
        { authorization: `Bearer ${CLIENT_TOKEN}` },
      ),
  },
};

const quick = { rows: 'bare,chat', rounds: '3', seconds: '1.5' };
const whole = { rows: Object.keys(ROWS).join(','), rounds: '5', seconds: '2' };
const { rows, rounds, seconds } = { ...(options.quick ? quick : whole), ...options };

console.log(`Measured on ${machine()}.\n`);
if (!canPin) console.log('Not pinned: no `taskset`, or one core only.\n');
for (const node of positionals.length > 0 ? positionals : [process.execPath]) await compare(node);

async function compare(node: string): Promise<void> {
  const load = await startLoadGenerator();
  const servers = new Map<string, Server>();
  for (const name of (rows ?? '').split(',')) {
    servers.set(name, await rowOf(name).start(node, load.upstreamUrl));
  }
  const table: string[][] = [...servers.keys()].map((name) => [rowOf(name).title]);
  for (const kind of ['unary', 'stream'] as const) {
    const columns = await measure(kind, servers, load);
    for (const [index, cells] of columns.entries()) table[index]?.push(...cells);
  }
  const version = execFileSync(node, ['--version']).toString().trim();
  console.log(`Node ${version}, ${CALLERS} callers:\n`);
  printTable(
    [
      'server',
      ...['unary', '20-chunk stream'].flatMap((kind) => HEAD.map((of) => `${kind}: ${of}`)),
    ],
    table,
  );
  for (const server of servers.values()) await server.stop();
  load.stop();
}

/** Every server in turn, several times around; the median of its rounds counts. */
async function measure(
  kind: Kind,
  servers: ReadonlyMap<string, Server>,
  load: LoadGenerator,
): Promise<string[][]> {
  const reports = new Map<string, LoadReport[]>([...servers.keys()].map((name) => [name, []]));
  const run = (name: string, server: Server, settle: typeof SETTLE, forSeconds: number) =>
    load.run({
      urls: [server.url],
      pid: server.pid,
      request: rowOf(name).requestOf(kind),
      chunks: KINDS[kind],
      callers: CALLERS,
      settle,
      seconds: forSeconds,
    });
  for (const [name, server] of servers)
    await run(name, server, options.quick ? QUICK_WARM_UP : WARM_UP, 0.1);
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const [name, server] of servers) {
      reports.get(name)?.push(await run(name, server, SETTLE, Number(seconds)));
      server.forgetLog?.();
    }
  }
  const bare = reports.get('bare') ?? [];
  return [...reports.values()].map((list) => toCells(list, bare));
}

function toCells(list: readonly LoadReport[], bare: readonly LoadReport[]): string[] {
  const median = (pick: (report: LoadReport, index: number) => number) => {
    const sorted = list.map(pick).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  };
  return [
    median(({ serverUs }) => serverUs).toFixed(0),
    median(({ perSecond }) => perSecond).toFixed(0),
    median(({ perSecond }, round) => perSecond / (bare[round]?.perSecond ?? Number.NaN)).toFixed(2),
    median(({ p99 }) => p99).toFixed(1),
    median(({ serverCore }) => serverCore).toFixed(2),
    median(({ loadCore }) => loadCore).toFixed(2),
  ];
}

function rowOf(name: string): Row {
  const row = ROWS[name];
  if (row === undefined) throw new Error(`rows: some of ${Object.keys(ROWS).join(', ')}`);
  return row;
}

function startReference(variant: string) {
  return (node: string, upstreamUrl: string): Promise<Server> =>
    startChild(
      ...pinned(SERVER_CORE, node, script('support/reference-server.ts', variant, upstreamUrl)),
    );
}

/** Everything on; the calls of one address are not limited, as one address sends all. */
function startUnderstudy(node: string, upstreamUrl: string): Promise<Server> {
  const settings = {
    GOOGLE_API_KEY: 'bench-key',
    GOOGLE_BASE_URL: upstreamUrl,
    CLIENT_TOKENS: CLIENT_TOKEN,
    ADMIN_TOKEN: 'bench-admin-token',
    RATE_LIMIT_CHAT: '0',
    LOG_LEVEL: 'info',
  };
  return startBuiltServer(settings, { node, core: SERVER_CORE });
}
