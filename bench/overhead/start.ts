import type { LoadGenerator } from '../support/load.ts';
import { median } from '../support/quantile.ts';
import { type Command, startServer } from '../support/server.ts';
import { printTable } from '../support/table.ts';
import type { Row } from './rows.ts';

const STARTS = 10;
const REQUESTS = 10_000;
/** What Node takes for its heap where the machine has 512 MB. */
const SMALL_HEAP = '--max-old-space-size=256';
const MOST_RESIDENT_MB = 120;

/** The least that a server can do. */
const EMPTY_SERVER: Command = {
  args: ['-e', `require('node:http').createServer((_, res) => res.end()).listen(process.env.PORT)`],
  readyPath: '/',
};

/**
 * From starting the process to its first answer, and what it holds after many requests.
 *
 * @returns a sentence for each bound that Understudy missed
 */
export async function measureStart(
  node: string,
  load: LoadGenerator,
  { chat, ...others }: { readonly chat: Row; readonly portkey?: Row },
): Promise<readonly string[]> {
  const table = [['an empty `node:http` server', await medianStart(EMPTY_SERVER, node), '']];
  const memory: number[] = [];
  for (const row of [chat, ...Object.values(others)]) {
    const residentMb = await measureMemory(row, node, load);
    memory.push(residentMb);
    table.push([
      row.title,
      await medianStart(row.commandFor(load.upstreamUrl), node),
      residentMb.toFixed(0),
    ]);
  }
  printTable(
    ['server', 'start to first answer, ms', `MB after ${REQUESTS.toLocaleString('en')} requests`],
    table,
  );
  const [ours = 0] = memory;
  if (ours < MOST_RESIDENT_MB) return [];
  return [
    `memory: ${ours.toFixed(0)} MB after ${REQUESTS} requests, not under ${MOST_RESIDENT_MB}`,
  ];
}

async function medianStart(command: Command, node: string): Promise<string> {
  const times: number[] = [];
  while (times.length < STARTS) {
    const server = await startServer(command, { node, isPinned: true });
    times.push(server.startMs);
    await server.stop();
  }
  return median(times).toFixed(0);
}

async function measureMemory(row: Row, node: string, load: LoadGenerator): Promise<number> {
  const { upstreamUrl } = load;
  const run = { node, flags: [SMALL_HEAP], isPinned: true };
  const server = await startServer(row.commandFor(upstreamUrl), run);
  await load.run({
    urls: [server.url],
    request: row.requestFor('unary', upstreamUrl),
    callers: 32,
    settle: { ms: 0, answers: REQUESTS },
    seconds: 0,
  });
  const residentMb = server.residentMb();
  await server.stop();
  return residentMb;
}
