import { setTimeout } from 'node:timers/promises';
import { script } from '../support/script.ts';
import { type LineProcess, spawnLines } from '../support/spawn-lines.ts';
import { printTable } from '../support/table.ts';
import {
  createInstance,
  type Instance,
  PREFIX,
  parkSome,
  type Stage,
  since,
  startStage,
  usageOf,
} from './stage.ts';

const LISTENERS = [1, 10, 100, 1000];
/** So many keys are parked, one after the other. */
const PARKED = 300;
const PAUSE_MS = 5;
const SETTLE_MS = 300;

/** A key is parked, and every instance receives the change. */
export async function measureFanOut(): Promise<void> {
  const rows: string[][] = [];
  for (const listeners of LISTENERS) rows.push(await measure(listeners));
  console.log('### One change to many instances\n');
  printTable(HEAD, rows);
}

const HEAD = [
  'other instances that listen',
  'parked one after the other',
  'messages out',
  'bytes out for each parked',
  'CPU µs of Redis for each parked',
  'so many a second fill its core',
  'all have received it after, ms',
];

async function measure(listeners: number): Promise<string[]> {
  const stage = await startStage();
  const instance = createInstance(stage.url, 2 * PARKED);
  await instance.join();
  const crowd = await startListeners(stage, listeners);
  const before = await usageOf(stage.client);
  for (let parked = 0; parked < PARKED; parked += 1) {
    parkSome(instance.pool, 1);
    await setTimeout(PAUSE_MS);
  }
  await setTimeout(SETTLE_MS);
  const { cpuUs, bytesOut } = since(before, await usageOf(stage.client));
  const { received } = await reportOf(crowd);
  const allAfterMs = await timeOne(instance, crowd);
  instance.store.connection.close();
  await crowd.stop();
  await stage.stop();
  return [
    listeners.toLocaleString('en'),
    String(PARKED),
    received.toLocaleString('en'),
    (bytesOut / PARKED).toFixed(0),
    (cpuUs / PARKED).toFixed(0),
    ((1e6 * PARKED) / cpuUs).toFixed(0),
    allAfterMs.toFixed(0),
  ];
}

async function startListeners({ port }: Stage, count: number): Promise<LineProcess> {
  const args = [String(port), `${PREFIX}changes:0`, String(count)];
  const crowd = spawnLines(process.execPath, script('redis/listeners-process.ts', ...args));
  await crowd.nextLine();
  return crowd;
}

async function reportOf(crowd: LineProcess): Promise<{ received: number; lastAt: number }> {
  crowd.signal('SIGUSR2');
  return JSON.parse(await crowd.nextLine());
}

/** Milliseconds until the last one has received the change. */
async function timeOne({ pool }: Instance, crowd: LineProcess): Promise<number> {
  const startedAt = Date.now();
  parkSome(pool, 1);
  await setTimeout(SETTLE_MS);
  return (await reportOf(crowd)).lastAt - startedAt;
}
