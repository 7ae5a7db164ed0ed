import { setTimeout } from 'node:timers/promises';
import { printTable } from '../support/table.ts';
import {
  createInstance,
  type Instance,
  parkSome,
  type RedisUsage,
  type Stage,
  since,
  startStage,
  TARGET,
  until,
  usageOf,
} from './stage.ts';

const KEYS = 1000;
/** Many, so that their cost stands out from what Redis does for itself. */
const IDLE_INSTANCES = 100;
const IDLE_SECONDS = 10;
const COOLDOWN_MS = 3000;
const WINDOW_MS = 60_000;

/** Two instances: one acts, the other only listens. */
export async function measureEvents(): Promise<void> {
  const stage = await startStage();
  const one = createInstance(stage.url, KEYS, COOLDOWN_MS);
  const other = createInstance(stage.url, KEYS, COOLDOWN_MS);
  await Promise.all([one.join(), other.join()]);
  const measure = (act: () => Promise<unknown>) => measured(stage, act);
  const rows = [
    await idleRow(stage),
    toRow('a key is parked', KEYS, await measure(() => parkAll(one))),
    toRow(
      'its cooldown has passed: one claims the probe, probes it, it is open',
      KEYS,
      await measure(() => openAll(one, other)),
    ),
    toRow('a request whose address is counted', KEYS, await measure(() => countAll(one))),
  ];
  console.log('### What each thing costs Redis, with two instances\n');
  printTable(
    ['what happens', 'commands', 'bytes to Redis', 'bytes from it', 'CPU µs of Redis'],
    rows,
  );
  for (const { store } of [one, other]) store.connection.close();
  await stage.stop();
}

async function measured({ client }: Stage, act: () => Promise<unknown>): Promise<RedisUsage> {
  const before = await usageOf(client);
  await act();
  return since(before, await usageOf(client));
}

const toRow = (
  title: string,
  times: number,
  { commands, bytesIn, bytesOut, cpuUs }: RedisUsage,
) => [
  title,
  (commands / times).toFixed(1),
  ...[bytesIn, bytesOut, cpuUs].map((sum) => (sum / times).toFixed(0)),
];

/** What many cost more than two. */
async function idleRow(stage: Stage): Promise<string[]> {
  const few = await measured(stage, idle);
  const many = Array.from({ length: IDLE_INSTANCES }, () => createInstance(stage.url, 1));
  await Promise.all(many.map(({ join }) => join()));
  const all = await measured(stage, idle);
  for (const { store } of many) store.connection.close();
  const times = IDLE_INSTANCES * IDLE_SECONDS;
  return toRow('one instance for one second, nothing happens', times, since(few, all));
}

const idle = () => setTimeout(IDLE_SECONDS * 1000);

async function parkAll({ pool, sharing }: Instance): Promise<void> {
  parkSome(pool, KEYS);
  await until(() => sharing.counts.backlog === 0);
}

/** Each lease that finds no key claims a few probes at a time. */
async function openAll({ pool, sharing }: Instance, other: Instance): Promise<void> {
  await setTimeout(COOLDOWN_MS);
  for (let opened = 0; opened < KEYS; ) {
    const lease = pool.lease(TARGET);
    if (lease?.isProbe) opened += 1;
    lease?.report({ kind: 'success' });
    await setTimeout(0);
  }
  await until(() => sharing.counts.backlog === 0);
  await until(() => other.pool.inspection.counts('google').available === KEYS);
}

async function countAll({ store }: Instance): Promise<void> {
  const counter = store.counter('chat');
  for (let hits = 0; hits < KEYS; hits += 1) await counter.hit(`address-${hits % 10}`, WINDOW_MS);
}
