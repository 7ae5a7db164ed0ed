import { setTimeout } from 'node:timers/promises';
import { watchHighWater } from '../support/high-water.ts';
import { printTable } from '../support/table.ts';
import { startCrowd, warmUp } from './crowd.ts';
import { type Pace, SERVERS, type ServerName, startServer, startStandinProcess } from './stage.ts';

const STREAMS = 1000;
/** Long enough that the last is open before the first has ended. */
const PACE: Pace = { chunks: 20, chunkMs: 300 };
const AFTER_SECONDS = 3;
const MOST_RESIDENT_MB = 300;
/** What Node takes for its heap where the machine has 512 MB; where it has more, garbage lies longer. */
const SMALL_HEAP = ['--max-old-space-size=256'];

/** @returns a sentence for each bound that Understudy missed */
export async function measureAtOnce(): Promise<readonly string[]> {
  const bare = await measure('bare');
  const understudy = await measure('understudy');
  const inSmallHeap = await measure('understudy', SMALL_HEAP);
  console.log(`### ${STREAMS.toLocaleString('en')} streams at once\n`);
  printTable(HEAD, [
    [SERVERS.bare, ...toCells(bare, bare)],
    [SERVERS.understudy, ...toCells(understudy, bare)],
    [`… with \`${SMALL_HEAP.join(' ')}\``, ...toCells(inSmallHeap, bare)],
  ]);
  return [...brokenOff(understudy), ...brokenOff(inSmallHeap), ...tooLarge(inSmallHeap)];
}

const HEAD = [
  'server',
  'before, MB',
  'all open, MB',
  'at most, MB',
  `${AFTER_SECONDS} s after, MB`,
  'CPU ms a stream',
  'beside bare',
];

interface Figures {
  /** Resident memory. */
  readonly beforeMb: number;
  readonly openMb: number;
  readonly mostMb: number;
  readonly afterMb: number;
  /** For one stream. */
  readonly cpuMs: number;
  /** How many streams came to their end. */
  readonly whole: number;
}

const toCells = ({ beforeMb, openMb, mostMb, afterMb, cpuMs }: Figures, bare: Figures) => [
  ...[beforeMb, openMb, mostMb, afterMb].map((megabytes) => megabytes.toFixed(0)),
  cpuMs.toFixed(2),
  `${(cpuMs / bare.cpuMs).toFixed(2)} ×`,
];

async function measure(name: ServerName, flags: readonly string[] = []): Promise<Figures> {
  const standin = await startStandinProcess(PACE);
  const server = await startServer(name, standin, { flags });
  await warmUp(server.streamUrl);
  const figures = await watch(server);
  for (const child of [server, standin]) await child.stop();
  return figures;
}

async function watch(server: Awaited<ReturnType<typeof startServer>>): Promise<Figures> {
  const beforeMb = server.residentMb();
  const cpuBefore = server.cpuMs();
  const memory = watchHighWater(server.residentMb);
  const crowd = await startCrowd(server.streamUrl, STREAMS);
  const openMb = server.residentMb();
  const whole = await crowd.countWhole();
  const cpuMs = (server.cpuMs() - cpuBefore) / STREAMS;
  await setTimeout(AFTER_SECONDS * 1000);
  const mostMb = memory.stop();
  return { beforeMb, openMb, mostMb, afterMb: server.residentMb(), cpuMs, whole };
}

const tooLarge = ({ mostMb }: Figures) =>
  mostMb < MOST_RESIDENT_MB
    ? []
    : [`at once: ${mostMb.toFixed(0)} MB resident, not under ${MOST_RESIDENT_MB}`];

const brokenOff = ({ whole }: Figures) =>
  whole === STREAMS ? [] : [`at once: ${STREAMS - whole} streams without their end`];
