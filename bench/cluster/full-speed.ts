import { type LoadGenerator, post, startLoadGenerator } from '../support/load.ts';
import type { RedisProcess } from '../support/redis-process.ts';
import { printTable } from '../support/table.ts';
import { ONE, ONE_WITH_REDIS, SETTINGS, type Setting, settingsFor, startFleet } from './stage.ts';

const KEYS = Array.from({ length: 30 }, (_, index) => ({ key: `bench-key-${index + 1}` }));
const REQUEST = post('/api/chat', { message: 'Hello there' });
/** As by default every request of an address is counted, where there is a Redis by all together; all come from one. */
const COUNTED = '1000000';
const UNCOUNTED = '0';
const CALLERS = 16;
const SECONDS = 4;
/** For each process: every one has to be warm. */
const WARM_UP_SECONDS = 2;
const ROUNDS = 2;
/** Nothing is published while nothing changes, so only chance may differ. */
const MOST_CPU_BESIDE_ONE = 1.5;

/** @returns a sentence for each bound that was missed */
export async function measureFullSpeed(redis: RedisProcess): Promise<readonly string[]> {
  const load = await startLoadGenerator();
  const best = new Map<Row, Figures>();
  // Of each setting the round with the least CPU counts; a slower minute of the machine meets all.
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const row of ROWS) {
      const figures = await measure(row, load, redis);
      const before = best.get(row);
      if (before === undefined || figures.cpuUs < before.cpuUs) best.set(row, figures);
    }
  }
  load.stop();
  const [one] = best.values();
  if (one === undefined) return [];
  console.log('### Full speed, nothing spent\n');
  printTable(
    HEAD,
    [...best].map(([{ title }, figures]) => toRow(title, figures, one)),
  );
  return [...best].flatMap(([row, figures]) => missedBy(row, figures, one));
}

interface Row extends Setting {
  readonly limit: string;
}

const ROWS: readonly Row[] = [
  ...SETTINGS.map((setting) => ({ ...setting, limit: COUNTED })),
  ...[ONE, ONE_WITH_REDIS].map((setting) => ({
    ...setting,
    title: `${setting.title}, addresses not counted`,
    limit: UNCOUNTED,
  })),
];

const HEAD = [
  'who serves',
  'requests/s',
  'beside one',
  'CPU µs a request',
  'beside one',
  'Redis, CPU µs a request',
  'p50 ms',
  'p99 ms',
];

interface Figures {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly redisUs: number;
  readonly p50: number;
  readonly p99: number;
}

const toRow = (title: string, figures: Figures, one: Figures) => [
  title,
  figures.perSecond.toFixed(0),
  `${(figures.perSecond / one.perSecond).toFixed(2)} ×`,
  figures.cpuUs.toFixed(0),
  `${(figures.cpuUs / one.cpuUs).toFixed(2)} ×`,
  figures.redisUs.toFixed(0),
  figures.p50.toFixed(1),
  figures.p99.toFixed(1),
];

/** What one instance with Redis costs more than one without: more processes cost more by themselves. */
function missedBy({ title, hasRedis, instances }: Setting, figures: Figures, one: Figures) {
  const isBound = hasRedis && instances === 1;
  const beside = figures.cpuUs / one.cpuUs;
  if (!isBound || beside <= MOST_CPU_BESIDE_ONE) return [];
  return [`full speed, ${title}: ${beside.toFixed(2)} × the CPU of one without`];
}

async function measure(row: Row, load: LoadGenerator, redis: RedisProcess): Promise<Figures> {
  const upstream = settingsFor({ keys: KEYS }, { url: load.upstreamUrl });
  const fleet = await startFleet(row, { RATE_LIMIT_CHAT: row.limit, ...upstream }, redis);
  const askFor = (seconds: number) =>
    load.run({ urls: fleet.urls, request: REQUEST, callers: CALLERS, seconds });
  await askFor(WARM_UP_SECONDS * row.instances);
  const [before, redisBefore] = [fleet.cpuMs(), redis.cpuMs()];
  const { total, perSecond, p50, p99 } = await askFor(SECONDS);
  const cpuUs = ((fleet.cpuMs() - before) * 1000) / total;
  const redisUs = ((redis.cpuMs() - redisBefore) * 1000) / total;
  await fleet.stop();
  return { perSecond, cpuUs, redisUs, p50, p99 };
}
