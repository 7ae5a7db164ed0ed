import { setTimeout } from 'node:timers/promises';
import { printTable } from '../support/table.ts';
import {
  createInstance,
  type Instance,
  PREFIX,
  parkSome,
  type Stage,
  since,
  startStage,
  until,
  usageOf,
} from './stage.ts';

const INSTANCES = [1, 10, 50];
const KEYS = 1000;
const PARKED = 900;
/** By then every instance has published what it knows. */
const SETTLE_MS = 3000;
const LOOK_MS = 5;

/** All know the same, and Redis loses everything: each instance publishes what it does not find there. */
export async function measureComeBack(): Promise<void> {
  const rows: string[][] = [];
  for (const instances of INSTANCES) rows.push(await measure(instances));
  console.log('### Redis has lost everything\n');
  printTable(
    [
      'instances',
      'known to each',
      'commands',
      'MB to Redis',
      'MB from it',
      'CPU ms of Redis',
      'all is there again after, s',
    ],
    rows,
  );
}

async function measure(count: number): Promise<string[]> {
  const stage = await startStage();
  const instances = await startAll(stage, count);
  const before = await usageOf(stage.client);
  const startedAt = performance.now();
  await stage.client.flushall();
  while ((await stage.client.zcard(`${PREFIX}scopes`)) < PARKED) await setTimeout(LOOK_MS);
  const backMs = performance.now() - startedAt;
  await setTimeout(SETTLE_MS);
  const { commands, bytesIn, bytesOut, cpuUs } = since(before, await usageOf(stage.client));
  for (const { store } of instances) store.connection.close();
  await stage.stop();
  return [
    String(count),
    String(PARKED),
    commands.toLocaleString('en'),
    (bytesIn / 1e6).toFixed(1),
    (bytesOut / 1e6).toFixed(1),
    (cpuUs / 1000).toFixed(0),
    (backMs / 1000).toFixed(1),
  ];
}

/** @returns instances that all know what the first has found */
async function startAll({ url }: Stage, count: number): Promise<readonly Instance[]> {
  const instances = Array.from({ length: count }, () => createInstance(url, KEYS));
  await Promise.all(instances.map(({ join }) => join()));
  const [first] = instances;
  if (first !== undefined) parkSome(first.pool, PARKED);
  await until(() => instances.every(knowsAll));
  return instances;
}

const knowsAll = ({ pool }: Instance) => pool.inspection.counts('google').cooling_down === PARKED;
