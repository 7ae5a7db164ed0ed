import { setTimeout } from 'node:timers/promises';
import { watchHighWater } from '../support/high-water.ts';
import { openFilesLimit } from '../support/proc.ts';
import { printTable } from '../support/table.ts';
import { startCrowd, warmUp } from './crowd.ts';
import {
  type Pace,
  SERVERS,
  type ServerName,
  type StreamingServer,
  startStandinProcess,
  startStreamingServer,
} from './stage.ts';

const WANTED = 5000;
/** Besides two connections of each stream. */
const OTHER_FILES = 200;
/** Slow enough for one core, and long enough that the last is open before the first has ended. */
const PACE: Pace = { chunks: 10, chunkMs: 3000 };
const AFTER_SECONDS = 3;
const MOST_RESIDENT_MB = 250;
/** What Node takes for its heap where the machine has 512 MB; where it has more, garbage lies longer. */
const SMALL_HEAP = ['--max-old-space-size=256'];

/** @returns a sentence for each bound that Understudy missed */
export async function measureAtOnce(): Promise<readonly string[]> {
  const streams = Math.min(WANTED, Math.floor((openFilesLimit() - OTHER_FILES) / 2));
  const bare = await measure('bare', streams);
  const understudy = await measure('understudy', streams);
  console.log(`### ${streams.toLocaleString('en')} streams at once\n`);
  if (streams < WANTED) console.log(`Not ${WANTED}: \`ulimit -Hn\` allows no more.\n`);
  printTable(HEAD, [
    [SERVERS.bare, ...toCells(bare, bare)],
    [SERVERS.understudy, ...toCells(understudy, bare)],
  ]);
  return [...lost(understudy, streams), ...tooLarge(understudy)];
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
  /** How many streams were open together. */
  readonly together: number;
  /** How many came to their end. */
  readonly whole: number;
}

const toCells = ({ beforeMb, openMb, mostMb, afterMb, cpuMs }: Figures, bare: Figures) => [
  ...[beforeMb, openMb, mostMb, afterMb].map((megabytes) => megabytes.toFixed(0)),
  cpuMs.toFixed(2),
  `${(cpuMs / bare.cpuMs).toFixed(2)} ×`,
];

async function measure(name: ServerName, streams: number): Promise<Figures> {
  const standin = await startStandinProcess(PACE);
  const server = await startStreamingServer(name, standin, SMALL_HEAP);
  await warmUp(server.streamUrl);
  const figures = await watch(server, streams);
  for (const child of [server, standin]) await child.stop();
  return figures;
}

async function watch(server: StreamingServer, streams: number): Promise<Figures> {
  const beforeMb = server.residentMb();
  const cpuBefore = server.cpuMs();
  const memory = watchHighWater(server.residentMb);
  const crowd = await startCrowd(server.streamUrl, streams);
  const openMb = server.residentMb();
  const whole = await crowd.countWhole();
  const cpuMs = (server.cpuMs() - cpuBefore) / streams;
  await setTimeout(AFTER_SECONDS * 1000);
  const mostMb = memory.stop();
  return {
    beforeMb,
    openMb,
    mostMb,
    afterMb: server.residentMb(),
    cpuMs,
    together: crowd.open,
    whole,
  };
}

const tooLarge = ({ mostMb }: Figures) =>
  mostMb < MOST_RESIDENT_MB
    ? []
    : [`at once: ${mostMb.toFixed(0)} MB resident, not under ${MOST_RESIDENT_MB}`];

function lost({ together, whole }: Figures, streams: number): readonly string[] {
  return [
    ...(together < streams ? [`at once: only ${together} streams were open together`] : []),
    ...(whole < streams ? [`at once: ${streams - whole} streams without their end`] : []),
  ];
}
