import { setTimeout } from 'node:timers/promises';
import { REPORTING } from '../support/server.ts';
import type { CallReport } from '../support/standin-process.ts';
import { printTable } from '../support/table.ts';
import { type Counts, countsOf } from './counts.ts';
import { type Crowd, startCrowd } from './crowd.ts';
import {
  type Pace,
  SERVERS,
  type ServerName,
  startStandinProcess,
  startStreamingServer,
} from './stage.ts';

const CLIENTS = 1000;
/** Four minutes: no stream ends by itself before. */
const PACE: Pace = { chunks: 120, chunkMs: 2000 };
const AFTER_SECONDS = 2;

/** @returns a sentence for each bound that Understudy missed */
export async function measureHangUps(): Promise<readonly string[]> {
  const bare = await measure('bare');
  const understudy = await measure('understudy');
  console.log(`### ${CLIENTS.toLocaleString('en')} clients who hang up\n`);
  printTable(HEAD, [...toRows('bare', bare), ...toRows('understudy', understudy)]);
  for (const [name, { aborted }] of Object.entries({ bare, understudy })) {
    console.log(`Calls that the stand-in saw aborted, ${name}: ${aborted} of ${CLIENTS}.\n`);
  }
  return missedBy(understudy);
}

const HEAD = [
  'server',
  'holds',
  'before',
  'all open',
  `${AFTER_SECONDS} s after they left`,
  'upstream gone too',
];

const COUNTED = {
  sockets: 'sockets',
  clients: '… to clients',
  upstream: '… to the stand-in',
  timers: 'timers',
  listeners: 'listeners',
} as const satisfies Partial<Record<keyof Counts, string>>;
type Kind = keyof typeof COUNTED;
const KINDS = Object.keys(COUNTED) as Kind[];
/** The others may belong to connections that are kept for the next call. */
const FREED_AT_ONCE: readonly Kind[] = ['clients', 'timers'];

interface Figures {
  readonly before: Counts;
  readonly open: Counts;
  readonly left: Counts;
  /** After the stand-in has ended, and every connection to it. */
  readonly alone: Counts;
  readonly aborted: number;
}

function toRows(name: ServerName, { before, open, left, alone }: Figures): string[][] {
  const moments = [before, open, left, alone];
  return [
    ...KINDS.map((kind) => [
      SERVERS[name],
      COUNTED[kind],
      ...moments.map((at) => String(at[kind])),
    ]),
    [SERVERS[name], 'alive on the heap, MB', ...moments.map(({ heapMb }) => heapMb.toFixed(0))],
  ];
}

async function measure(name: ServerName): Promise<Figures> {
  const standin = await startStandinProcess(PACE);
  const server = await startStreamingServer(name, standin, name === 'bare' ? [] : REPORTING);
  // What the first call creates stays: the pool of connections.
  await leave(await startCrowd(server.streamUrl, 1));
  const { aborted: earlier } = (await standin.report()) as CallReport;
  const before = await countsOf(server, standin);
  const crowd = await startCrowd(server.streamUrl, CLIENTS);
  const open = await countsOf(server, standin);
  await settle();
  await leave(crowd);
  const left = await countsOf(server, standin);
  const { aborted } = (await standin.report()) as CallReport;
  await standin.stop();
  await settle();
  const alone = await countsOf(server, standin);
  await server.stop();
  return { before, open, left, alone, aborted: aborted - earlier };
}

async function leave(crowd: Crowd): Promise<void> {
  crowd.leave();
  await crowd.countWhole();
  await settle();
}

const settle = () => setTimeout(AFTER_SECONDS * 1000);

function missedBy({ before, left, alone, aborted }: Figures): readonly string[] {
  const notAborted = CLIENTS - aborted;
  return [
    ...FREED_AT_ONCE.filter((kind) => left[kind] > before[kind]).map(
      (kind) => `hang-ups: ${COUNTED[kind]}: ${left[kind]} left, ${before[kind]} before`,
    ),
    ...KINDS.filter((kind) => alone[kind] > before[kind]).map(
      (kind) => `hang-ups: ${COUNTED[kind]}: ${alone[kind]} for good, ${before[kind]} before`,
    ),
    ...(notAborted > 0 ? [`hang-ups: ${notAborted} calls upstream were not aborted`] : []),
  ];
}
