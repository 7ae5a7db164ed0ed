import { setTimeout } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { quantile } from '../support/quantile.ts';
import type { RedisProcess } from '../support/redis-process.ts';
import { runScript } from '../support/run-script.ts';
import { printTable } from '../support/table.ts';
import {
  SETTINGS,
  type Setting,
  type StandinShape,
  settingsFor,
  startFleet,
  startStandinProcess,
} from './stage.ts';

const SHAPE: StandinShape = {
  answer: { firstChunkMs: 200, chunks: 1 },
  keys: Array.from({ length: 30 }, (_, index) => ({
    key: `bench-key-${index + 1}`,
    service: 'google' as const,
  })),
};
const TOKEN = 'bench-admin-token-0123456789';
const CHANGES = 200;
/** So that changes fall on no particular moment. */
const PAUSE_MS = 20;
const WARM_UP = 20;
/** A finding must be known everywhere within a second. */
const MOST_MS = 1000;
const LOADS = [0, 150];

/** @returns a sentence for each bound that was missed */
export async function measurePropagation(redis: RedisProcess): Promise<readonly string[]> {
  const setting = SETTINGS.find(({ hasRedis, instances }) => hasRedis && instances === 2);
  if (setting === undefined) return [];
  const rows: string[][] = [];
  const missed: string[] = [];
  for (const perSecond of LOADS) {
    const took = (await measure(setting, perSecond, redis)).toSorted((a, b) => a - b);
    const most = took.at(-1) ?? Number.NaN;
    const shares = [0.5, 0.9, 0.99].map((share) => quantile(took, share));
    rows.push([String(perSecond), String(took.length), ...[...shares, most].map(inMs)]);
    if (!(most < MOST_MS)) missed.push(`propagation: ${inMs(most)} ms at ${perSecond} requests/s`);
  }
  console.log('### A finding on its way from one instance to another through Redis\n');
  printTable(
    ['requests/s meanwhile', 'changes', 'p50 ms', 'p90 ms', 'p99 ms', 'at most, ms'],
    rows,
  );
  return missed;
}

const inMs = (ms: number) => ms.toFixed(1);

async function measure(setting: Setting, perSecond: number, redis: RedisProcess) {
  const standin = await startStandinProcess(SHAPE);
  const environment = { ADMIN_TOKEN: TOKEN, ...settingsFor(SHAPE, standin) };
  const fleet = await startFleet(setting, environment, redis);
  const load = perSecond === 0 ? null : loadWhile(fleet.urls, perSecond);
  const [sender = '', receiver = ''] = fleet.urls;
  const took: number[] = [];
  for (let change = 0; change < WARM_UP + CHANGES; change += 1) {
    took.push(await timeOne(sender, receiver, change % 2 === 0 ? 'park' : 'release'));
    await setTimeout(PAUSE_MS);
  }
  await load;
  await fleet.stop();
  await standin.stop();
  return took.slice(WARM_UP);
}

/** A little longer than all changes take. */
const loadWhile = (urls: readonly string[], perSecond: number) =>
  runScript('cluster/callers-process.ts', urls.join(','), String(perSecond), '10', '1');

const agent = new Agent();

/** @returns milliseconds from asking one instance to knowing that the other one knows; two HTTP requests are in it */
async function timeOne(
  sender: string,
  receiver: string,
  action: 'park' | 'release',
): Promise<number> {
  const expected = SHAPE.keys.length - (action === 'park' ? 1 : 0);
  const startedAt = performance.now();
  const sent = request(`${sender}/api/keys/google-7/${action}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(action === 'park' ? { seconds: 600 } : {}),
    dispatcher: agent,
  });
  while ((await availableAt(receiver)) !== expected) {
    if (performance.now() - startedAt > 10 * MOST_MS) throw new Error('the finding never arrived');
  }
  const ms = performance.now() - startedAt;
  const { statusCode, body } = await sent;
  await body.dump();
  if (statusCode !== 200) throw new Error(`${action}: ${statusCode}`);
  return ms;
}

async function availableAt(url: string): Promise<number> {
  const { body } = await request(`${url}/api/keys/status`, { dispatcher: agent });
  const status = (await body.json()) as { api_keys: { google: { available: number } } };
  return status.api_keys.google.available;
}
