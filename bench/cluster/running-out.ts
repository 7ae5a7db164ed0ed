import type { Child } from '../support/child.ts';
import type { RedisProcess } from '../support/redis-process.ts';
import { runScript } from '../support/run-script.ts';
import { printTable } from '../support/table.ts';
import type { CallersReport } from './callers-process.ts';
import {
  isShared,
  ONE,
  SETTINGS,
  type Setting,
  type StandinShape,
  settingsFor,
  startFleet,
  startStandinProcess,
} from './stage.ts';

/** So many times faster than real ones the quota windows are: a minute lasts 5 seconds. */
const SPEED = 12;
const WINDOW_MS = 60_000 / SPEED;
const WINDOWS = 5;
/** Of 60 keys: the 15 each of the first two kinds run out in every window, the others never. */
const PER_MINUTE = [5, 10, 20, 40];
/** 12 more have so many answers a day: once they are spent, each is tried again after the cooldown. */
const PER_DAY = 20;
const COOLDOWN_SECONDS = 10;
const REQUESTS_PER_SECOND = 150;

const SHAPE: StandinShape = {
  speed: SPEED,
  answer: { firstChunkMs: 200, chunks: 3, chunkMs: 50 },
  keys: [
    ...Array.from({ length: 60 }, (_, index) => ({ rpm: PER_MINUTE[index % 4] ?? 0 })),
    ...Array.from({ length: 12 }, () => ({ rpd: PER_DAY })),
  ].map((limits, index) => ({ key: `bench-key-${index + 1}`, service: 'google', limits })),
};

/** Compared with one instance; calls made while a finding is on its way are wasted too. */
const MOST_BESIDE_ONE = 1.5;

/** @returns a sentence for each bound that was missed */
export async function measureRunningOut(redis: RedisProcess): Promise<readonly string[]> {
  const all: Measured[] = [];
  for (const setting of SETTINGS) all.push({ setting, ...(await measure(setting, redis)) });
  const wastedByOne = all.find(({ setting }) => setting === ONE)?.wasted ?? 0;
  console.log('### Keys that run out\n');
  printTable(
    HEAD,
    all.map((measured) => toRow(measured, wastedByOne)),
  );
  return all.flatMap((measured) => missedBy(measured, wastedByOne));
}

const HEAD = [
  'who serves',
  'requests',
  'answered',
  'calls upstream',
  'wasted',
  'beside one',
  'p50 ms',
  'p99 ms',
];

interface Figures extends CallersReport {
  readonly calls: number;
  /** Calls upstream that answered no request. */
  readonly wasted: number;
}

interface Measured extends Figures {
  readonly setting: Setting;
}

const toRow = (
  { setting, asked, served, calls, wasted, p50, p99 }: Measured,
  wastedByOne: number,
) => [
  setting.title,
  ...[asked, served, calls, wasted].map(String),
  `${(wasted / wastedByOne).toFixed(2)} ×`,
  p50.toFixed(0),
  p99.toFixed(0),
];

function missedBy({ setting, asked, served, wasted }: Measured, wastedByOne: number): string[] {
  const { title } = setting;
  const missed: string[] = [];
  if (served < asked) missed.push(`running out, ${title}: ${asked - served} without an answer`);
  if (isShared(setting) && wasted > wastedByOne * MOST_BESIDE_ONE) {
    missed.push(
      `running out, ${title}: ${wasted} calls wasted, one instance wastes ${wastedByOne}`,
    );
  }
  return missed;
}

async function measure(setting: Setting, redis: RedisProcess): Promise<Figures> {
  const standin = await startStandinProcess(SHAPE);
  const environment = {
    KEY_COOLDOWN_SECONDS: String(COOLDOWN_SECONDS),
    ...settingsFor(SHAPE, standin),
  };
  const fleet = await startFleet(setting, environment, redis);
  const figures = await ask(fleet.urls, standin);
  await fleet.stop();
  await standin.stop();
  return figures;
}

async function ask(urls: readonly string[], standin: Child): Promise<Figures> {
  const seconds = (WINDOWS * WINDOW_MS) / 1000;
  const args = [urls.join(','), ...[REQUESTS_PER_SECOND, seconds, WINDOW_MS].map(String)];
  const report = (await runScript('cluster/callers-process.ts', ...args)) as CallersReport;
  const calls = Number(await standin.report());
  return { ...report, calls, wasted: calls - report.served };
}
