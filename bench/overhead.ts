/**
 * What stands between a caller and the provider costs: Understudy's three protocols beside a bare
 * pass-through, in turns, each server on one core with everything on. Then the start and the memory.
 *
 *     npm run bench:overhead [-- OPTION … [/path/to/another/node …]]
 *       --quick             bare and chat only, fewer and shorter rounds
 *       --rows bare,chat    these rows only; `start` is the start and the memory
 *       --rounds 5          of each row
 *       --seconds 2         a round
 *       --portkey           Portkey's gateway beside it, installed by npm in a temporary folder
 *       --profile FOLDER    a CPU profile of each Understudy, from its start to its end
 */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { installPortkey, type Kind, ROWS, type Row } from './overhead/rows.ts';
import { measureStart } from './overhead/start.ts';
import {
  type Load,
  type LoadGenerator,
  type LoadReport,
  startLoadGenerator,
} from './support/load.ts';
import { machine } from './support/machine.ts';
import { pinSelf } from './support/pin.ts';
import { median } from './support/quantile.ts';
import { type Server, startServer } from './support/server.ts';
import { printTable } from './support/table.ts';

const CALLERS = 32;
const CHUNKS: Readonly<Record<Kind, number>> = { unary: 1, stream: 20 };
/** Until what is used often has been compiled. */
const WARM_UP = { ms: 2000, answers: 5000, atMostMs: 20_000 };
const QUICK_WARM_UP = { ms: 1000, answers: 3000, atMostMs: 10_000 };
const SETTLE = { ms: 200, answers: 0 };
/** Of its core: a server that had less was not the bottleneck, or other work ran on the machine. */
const LEAST_BUSY = 0.95;
const HEAD = ['CPU µs a request', 'beside bare', 'requests/s', 'beside bare', 'p99 ms'];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rows: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    portkey: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const preset = options.quick
  ? { rows: 'bare,chat', rounds: '3', seconds: '1.2', warmUp: QUICK_WARM_UP }
  : { rows: [...Object.keys(ROWS), 'start'].join(), rounds: '5', seconds: '2', warmUp: WARM_UP };
const { rows, rounds, seconds, warmUp } = { ...preset, ...options };

console.log(`Measured on ${machine()}.\n`);
pinSelf();
const portkey = options.portkey ? installPortkey() : null;
const known: Readonly<Record<string, Row>> = { ...ROWS, ...(portkey === null ? {} : { portkey }) };
const wanted = [...rows.split(','), ...(portkey === null ? [] : ['portkey'])];
for (const name of wanted)
  if (name !== 'start' && !(name in known)) throw new Error(`no row ${name}`);
const chosen = Object.entries(known).filter(([name]) => wanted.includes(name));
const flags =
  options.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', resolve(options.profile)];
const missed: string[] = [];
for (const node of positionals.length > 0 ? positionals : [process.execPath]) {
  const load = await startLoadGenerator();
  const version = execFileSync(node, ['--version']).toString().trim();
  if (chosen.length > 0) {
    console.log(`Node ${version}, ${CALLERS} callers:\n`);
    await compare(new Map(chosen), node, load);
  }
  if (wanted.includes('start')) {
    console.log(`Node ${version}, start and memory:\n`);
    const beside = portkey === null ? {} : { portkey };
    missed.push(...(await measureStart(node, load, { chat: ROWS.chat, ...beside })));
  }
  load.stop();
}
for (const sentence of missed) console.log(`MISSED ${sentence}`);
process.exitCode = missed.length === 0 ? 0 : 1;

/** The servers all run, and wait while another one is asked. */
async function compare(
  chosen: ReadonlyMap<string, Row>,
  node: string,
  load: LoadGenerator,
): Promise<void> {
  const contenders: Contender[] = [];
  for (const [name, row] of chosen) {
    const command = row.commandFor(load.upstreamUrl);
    const server = await startServer(command, { node, flags, isPinned: true });
    contenders.push({ row, server, isBare: name === 'bare', unary: [], stream: [] });
  }
  for (const kind of ['unary', 'stream'] as const) await measure(kind, contenders, load);
  for (const { server } of contenders) await server.stop();
  const bare = contenders.find(({ isBare }) => isBare);
  printTable(
    ['server', ...HEAD, ...HEAD.map((title) => `stream: ${title}`)],
    contenders.map(({ row, unary, stream }) => [
      row.title,
      ...toCells(unary, bare?.unary ?? []),
      ...toCells(stream, bare?.stream ?? []),
    ]),
  );
  printBusy(contenders);
}

interface Contender extends Readonly<Record<Kind, LoadReport[]>> {
  readonly row: Row;
  readonly server: Server;
  readonly isBare: boolean;
}

/** Every server in turn, several times around. */
async function measure(kind: Kind, contenders: readonly Contender[], load: LoadGenerator) {
  for (const contender of contenders) await ask(kind, contender, load, warmUp, 0);
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const contender of contenders) {
      contender[kind].push(await ask(kind, contender, load, SETTLE, Number(seconds)));
      contender.server.forgetLog();
    }
  }
}

async function ask(
  kind: Kind,
  { row, server }: Contender,
  load: LoadGenerator,
  settle: NonNullable<Load['settle']>,
  forSeconds: number,
): Promise<LoadReport> {
  try {
    return await load.run({
      urls: [server.url],
      pid: server.pid,
      request: row.requestFor(kind, load.upstreamUrl),
      chunks: CHUNKS[kind],
      callers: CALLERS,
      settle,
      seconds: forSeconds,
    });
  } catch (cause) {
    throw new Error(`${row.title}, ${kind}; its log ends: ${server.readLog().slice(-2000)}`, {
      cause,
    });
  }
}

/** The median of the rounds; beside the bare server, that of the same round. */
function toCells(reports: readonly LoadReport[], bare: readonly LoadReport[]): string[] {
  const beside = (of: (report: LoadReport) => number) => {
    const ratios = bare.map((one, round) => of(reports[round] ?? one) / of(one));
    return ratios.length === 0 ? '' : `${median(ratios).toFixed(2)} ×`;
  };
  return [
    median(reports.map(({ serverUs }) => serverUs)).toFixed(0),
    beside(({ serverUs }) => serverUs),
    median(reports.map(({ perSecond }) => perSecond)).toFixed(0),
    beside(({ perSecond }) => perSecond),
    median(reports.map(({ p99 }) => p99)).toFixed(1),
  ];
}

/** Whether the server was the bottleneck: else its rate says nothing, and only its CPU counts. */
function printBusy(contenders: readonly Contender[]): void {
  const all = contenders.flatMap(({ unary, stream }) => [unary, stream]);
  const servers = all.map((reports) => median(reports.map(({ serverCore }) => serverCore)));
  const loads = all.map((reports) => median(reports.map(({ loadCore }) => loadCore)));
  console.log(
    `A server had ${range(servers)} of its core, provider and callers ${range(loads)}.\n`,
  );
  if (Math.min(...servers) >= LEAST_BUSY) return;
  console.log('CAUTION: not every server had its core to itself, or enough to do: read the CPU.\n');
}

function range(shares: readonly number[]): string {
  const [least, most] = [Math.min(...shares), Math.max(...shares)];
  return `${(least * 100).toFixed(0)} to ${(most * 100).toFixed(0)}%`;
}
