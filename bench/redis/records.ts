import { monitorEventLoopDelay } from 'node:perf_hooks';
import { printTable } from '../support/table.ts';
import {
  createInstance,
  PREFIX,
  parkSome,
  type Stage,
  since,
  startStage,
  until,
  usageOf,
} from './stage.ts';

const KEYS = [10, 1000, 100_000];
const PARKED = 0.9;

/** One instance parks most of its keys at once, then a second one is started. */
export async function measureRecords(): Promise<void> {
  const rows: string[][] = [];
  for (const keys of KEYS) rows.push(await measure(keys));
  console.log('### What is known, and reading it at the start\n');
  printTable(HEAD, rows);
}

const HEAD = [
  'keys',
  'parked at once',
  'published within, s',
  'Redis memory, MB',
  'bytes a record',
  '`MEMORY USAGE` of one',
  'read by a new instance within, s',
  'its longest pause, ms',
  'MB read',
];

async function measure(keys: number): Promise<string[]> {
  const stage = await startStage();
  const empty = await usageOf(stage.client);
  const count = keys * PARKED;
  const publishedMs = await parkAndPublish(stage, keys, count);
  const full = await usageOf(stage.client);
  const { memory } = since(empty, full);
  const [name = ''] = await stage.client.zrange(`${PREFIX}scopes`, '0', '0');
  const usage = await stage.client.memory('USAGE', `${PREFIX}scope:${name}`);
  const { readMs, longestPauseMs } = await readAll(stage, keys, count);
  const { bytesOut } = since(full, await usageOf(stage.client));
  await stage.stop();
  return [
    keys.toLocaleString('en'),
    count.toLocaleString('en'),
    (publishedMs / 1000).toFixed(2),
    (memory / 1e6).toFixed(2),
    (memory / count).toFixed(0),
    String(usage),
    (readMs / 1000).toFixed(2),
    longestPauseMs.toFixed(0),
    (bytesOut / 1e6).toFixed(2),
  ];
}

async function parkAndPublish({ url }: Stage, keys: number, count: number): Promise<number> {
  const { pool, sharing, store, join } = createInstance(url, keys);
  await join();
  const startedAt = performance.now();
  parkSome(pool, count);
  await until(() => sharing.counts.backlog === 0 && sharing.counts.published >= count);
  const publishedMs = performance.now() - startedAt;
  store.connection.close();
  return publishedMs;
}

async function readAll({ url }: Stage, keys: number, count: number) {
  const { pool, store, join } = createInstance(url, keys);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const startedAt = performance.now();
  await join();
  const readMs = performance.now() - startedAt;
  delay.disable();
  const { cooling_down: known } = pool.inspection.counts('google');
  if (known !== count) throw new Error(`${known} of ${count} are known`);
  store.connection.close();
  return { readMs, longestPauseMs: delay.max / 1e6 };
}
