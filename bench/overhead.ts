/**
 * What stands between a caller and the provider costs: requests a second, CPU time and latency of
 * `/api/chat` beside a bare pass-through, one layer after the other, against the same stand-in.
 *
 *     npm run bench:overhead [-- /path/to/another/node …]   the servers under test run on the Node named here
 */
import { execFileSync } from 'node:child_process';
import { type Child, startChild } from './support/child.ts';
import { loadOf } from './support/load-of.ts';
import { machine } from './support/machine.ts';
import { script } from './support/script.ts';
import { printTable } from './support/table.ts';

const VARIANTS = {
  bare: '`node:http`, bytes passed through',
  express: 'Express 5, bytes passed through',
  'express-lean': 'Express 5 with its prototypes from the start',
  'sdk-over-lean-fetch': '… + the SDK over our exchange, answer collected',
  'sdk-as-it-comes': '… + the SDK as it comes, answer collected',
  understudy: '**Understudy `/api/chat`**',
};
const CONCURRENCIES = [1, 32];
const SECONDS = 4;
const WARM_UP_SECONDS = 2;
const ROUNDS = 3;

const given = process.argv.slice(2);
const nodes = given.length > 0 ? given : [process.execPath];
console.log(`Measured on ${machine()}.\n`);
for (const node of nodes) for (const chunks of [1, 20]) await compare(node, chunks);

async function compare(node: string, chunks: number): Promise<void> {
  const version = execFileSync(node, ['--version']).toString().trim();
  const standin = await startChild(
    process.execPath,
    script('support/standin-process.ts', String(chunks)),
  );
  const servers = new Map<string, Child>();
  for (const name of Object.keys(VARIANTS)) {
    servers.set(
      name,
      await startChild(node, script('support/overhead-server.ts', name, standin.url)),
    );
  }
  for (const server of servers.values()) await loadOf([server.url], 32, WARM_UP_SECONDS);
  for (const concurrency of CONCURRENCIES) {
    console.log(`Node ${version}, ${chunks} chunk(s) an answer, ${concurrency} caller(s):\n`);
    printTable(
      [
        'server',
        'requests/s',
        'CPU µs a request',
        'beside bare',
        'p50 ms',
        'p99 ms',
        'added p50',
        'added p99',
      ],
      await measure(servers, concurrency),
    );
  }
  for (const child of [...servers.values(), standin]) await child.stop();
}

/** Every server in turn, several times around; of each the round with the least CPU counts. */
async function measure(servers: Map<string, Child>, concurrency: number): Promise<string[][]> {
  const best = new Map<string, Result>();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, server] of servers) {
      const result = await loadAndCount(server, concurrency);
      const before = best.get(name);
      if (before === undefined || result.cpuUs < before.cpuUs) best.set(name, result);
    }
  }
  const bare = best.get('bare');
  if (bare === undefined) return [];
  return [...best].map(([name, result]) =>
    toRow(VARIANTS[name as keyof typeof VARIANTS], result, bare),
  );
}

interface Result {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly p50: number;
  readonly p99: number;
}

function toRow(name: string, { perSecond, cpuUs, p50, p99 }: Result, bare: Result): string[] {
  return [
    name,
    perSecond.toFixed(0),
    cpuUs.toFixed(0),
    `${(cpuUs / bare.cpuUs).toFixed(2)} ×`,
    p50.toFixed(2),
    p99.toFixed(2),
    (p50 - bare.p50).toFixed(2),
    (p99 - bare.p99).toFixed(2),
  ];
}

async function loadAndCount(server: Child, concurrency: number): Promise<Result> {
  const before = server.cpuMs();
  const { total, perSecond, p50, p99 } = await loadOf([server.url], concurrency, SECONDS);
  return { perSecond, cpuUs: ((server.cpuMs() - before) * 1000) / total, p50, p99 };
}
