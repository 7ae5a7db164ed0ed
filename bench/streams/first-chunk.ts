import { quantile } from '../support/quantile.ts';
import { script } from '../support/script.ts';
import { spawnLines } from '../support/spawn-lines.ts';
import { printTable } from '../support/table.ts';
import {
  type Pace,
  SERVERS,
  type ServerName,
  startStandinProcess,
  startStreamingServer,
} from './stage.ts';

interface Setting extends Pace {
  readonly callers: number;
}

/** One caller would ask too seldom if its answers took as long as those of fifty. */
const SETTINGS: readonly Setting[] = [
  { callers: 1, chunks: 20, chunkMs: 2 },
  { callers: 50, chunks: 20, chunkMs: 50 },
];
/** A few milliseconds are expected; on a crowded machine only far more than that is a finding. */
const MOST_ADDED_MS = 25;

/** @returns a sentence for each bound that Understudy missed */
export async function measureFirstChunk(): Promise<readonly string[]> {
  const rows: string[][] = [];
  const missed: string[] = [];
  for (const setting of SETTINGS) {
    const { bare, understudy } = await measure(setting);
    rows.push(toRow('bare', setting, bare, bare), toRow('understudy', setting, understudy, bare));
    const addedMs = understudy.p50 - bare.p50;
    if (!(addedMs <= MOST_ADDED_MS)) missed.push(sentenceOf(setting, addedMs));
  }
  console.log('### The first chunk\n');
  printTable(HEAD, rows);
  return missed;
}

const HEAD = ['callers', 'server', 'streams', 'p50 ms', 'p99 ms', 'added p50', 'added p99'];

interface Figures {
  readonly streams: number;
  readonly p50: number;
  readonly p99: number;
}

const toRow = (
  name: ServerName,
  { callers }: Setting,
  { streams, p50, p99 }: Figures,
  bare: Figures,
) => [
  String(callers),
  SERVERS[name],
  String(streams),
  p50.toFixed(2),
  p99.toFixed(2),
  (p50 - bare.p50).toFixed(2),
  (p99 - bare.p99).toFixed(2),
];

const sentenceOf = ({ callers }: Setting, addedMs: number) =>
  `first chunk, ${callers} caller(s): ${addedMs.toFixed(1)} ms added, more than ${MOST_ADDED_MS}`;

async function measure(setting: Setting): Promise<Record<ServerName, Figures>> {
  const standin = await startStandinProcess(setting);
  const [bare, understudy] = await Promise.all([
    startStreamingServer('bare', standin),
    startStreamingServer('understudy', standin),
  ]);
  const [ofBare = [], ofUnderstudy = []] = await ask(setting, [
    bare.streamUrl,
    understudy.streamUrl,
  ]);
  for (const child of [bare, understudy, standin]) await child.stop();
  return { bare: figuresOf(ofBare), understudy: figuresOf(ofUnderstudy) };
}

async function ask({ callers }: Setting, urls: readonly string[]): Promise<number[][]> {
  const args = script('streams/first-chunk-process.ts', String(callers), ...urls);
  const clients = spawnLines(process.execPath, args);
  const took = JSON.parse(await clients.nextLine()) as number[][];
  await clients.stop();
  return took;
}

function figuresOf(took: readonly number[]): Figures {
  const sorted = took.toSorted((a, b) => a - b);
  return { streams: sorted.length, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}
