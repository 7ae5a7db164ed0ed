import { setTimeout } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { quantile } from '../support/quantile.ts';
import type { RedisProcess } from '../support/redis-process.ts';
import { runScript } from '../support/run-script.ts';
import { printTable } from '../support/table.ts';
import { SETTINGS, type Setting, startFleet } from './setting.ts';
import { type StandinShape, settingsFor, startStandinProcess } from './standin.ts';

const SHAPE: StandinShape = {
  answer: { firstChunkMs: 200, chunks: 1 },
  keys: Array.from({ length: 30 }, (_, index) => ({
    key: `bench-key-${index + 1}`,
    service: 'google' as const,
  })),
};
const TOKEN = 'bench-admin-token-0123456789';
const TOLD = 200;
/** So that it is told at no particular moment of anything. */
const PAUSE_MS = 20;
const WARM_UP = 20;
/** Of what must be known within a second. */
const MOST_MS = 1000;
const LOADS = [0, 150];

/** @returns a sentence for each bound that was missed */
export async function measureNews(redis: RedisProcess): Promise<readonly string[]> {
  const setting = SETTINGS.find(({ hasRedis, instances }) => hasRedis && instances === 2);
  if (setting === undefined) return [];
  const rows: string[][] = [];
  const missed: string[] = [];
  for (const perSecond of LOADS) {
    const took = (await measure(setting, perSecond, redis)).toSorted((a, b) => a - b);
    const most = took.at(-1) ?? Number.NaN;
    const shares = [0.5, 0.9, 0.99].map((share) => quantile(took, share));
    rows.push([String(perSecond), String(took.length), ...[...shares, most].map(inMs)]);
    if (!(most < MOST_MS)) missed.push(`news: ${inMs(most)} ms at ${perSecond} requests/s`);
  }
  console.log('### News from one instance to another through Redis\n');
  printTable(['requests/s meanwhile', 'told', 'p50 ms', 'p90 ms', 'p99 ms', 'at most, ms'], rows);
  return missed;
}

const inMs = (ms: number) => ms.toFixed(1);

async function measure(setting: Setting, perSecond: number, redis: RedisProcess) {
  const standin = await startStandinProcess(SHAPE);
  const environment = { ADMIN_TOKEN: TOKEN, ...settingsFor(SHAPE, standin) };
  const fleet = await startFleet(setting, environment, redis);
  const load = perSecond === 0 ? null : loadWhile(fleet.urls, perSecond);
  const [teller = '', hearer = ''] = fleet.urls;
  const took: number[] = [];
  for (let told = 0; told < WARM_UP + TOLD; told += 1) {
    took.push(await tell(teller, hearer, told % 2 === 0 ? 'park' : 'release'));
    await setTimeout(PAUSE_MS);
  }
  await load;
  await fleet.stop();
  await standin.stop();
  return took.slice(WARM_UP);
}

/** As long as it takes to tell all, and a little more. */
const loadWhile = (urls: readonly string[], perSecond: number) =>
  runScript('cluster/callers-process.ts', urls.join(','), String(perSecond), '10', '1');

const agent = new Agent();

/** @returns milliseconds from asking one instance to knowing that the other one knows; two HTTP requests are in it */
async function tell(teller: string, hearer: string, action: 'park' | 'release'): Promise<number> {
  const expected = SHAPE.keys.length - (action === 'park' ? 1 : 0);
  const startedAt = performance.now();
  const said = request(`${teller}/api/keys/google-7/${action}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(action === 'park' ? { seconds: 600 } : {}),
    dispatcher: agent,
  });
  while ((await availableAt(hearer)) !== expected) {
    if (performance.now() - startedAt > 10 * MOST_MS) throw new Error('the news never came');
  }
  const ms = performance.now() - startedAt;
  const { statusCode, body } = await said;
  await body.dump();
  if (statusCode !== 200) throw new Error(`${action}: ${statusCode}`);
  return ms;
}

async function availableAt(url: string): Promise<number> {
  const { body } = await request(`${url}/api/keys/status`, { dispatcher: agent });
  const status = (await body.json()) as { api_keys: { google: { available: number } } };
  return status.api_keys.google.available;
}
