import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createSystemClock } from '../src/shared/clock.ts';
import { type Standin, startStandin } from '../standin/standin.ts';
import { alertRules, dashboardExpressions } from './support/deployed.ts';
import { ifInstalled } from './support/installed.ts';
import { type Prometheus, startPrometheus } from './support/prometheus.ts';
import { promtool } from './support/promtool.ts';
import { ADMIN_TOKEN, AS_ADMIN } from './support/scrape.ts';
import { type ServerProcess, startServerProcess } from './support/server-process.ts';

const PROMETHEUS = '/usr/bin/prometheus';
const PATIENCE = { timeout: 15_000, interval: 100 };
const RATE_INTERVAL = '5s';

const KEYS = [
  { key: 'g-one', service: 'google' },
  { key: 'g-two', service: 'google' },
  { key: 'a-one', service: 'anam' },
] as const;

ifInstalled(PROMETHEUS, 'a real Prometheus that reads a server at work', () => {
  let standin: Standin;
  let server: ServerProcess;
  let prometheus: Prometheus;
  let stopTraffic: () => Promise<void>;
  const startedAt = Date.now() / 1000;

  beforeAll(async () => {
    standin = await startStandin({
      clock: createSystemClock(),
      keys: KEYS,
      answer: { chunkMs: 2 },
    });
    server = await startServerProcess({
      GOOGLE_API_KEY: 'g-one',
      GOOGLE_API_KEY_2: 'g-two',
      ANAM_API_KEY: 'a-one',
      ANAM_PERSONA_ID: 'persona-1',
      GOOGLE_BASE_URL: standin.url,
      ANAM_BASE_URL: standin.url,
      ADMIN_TOKEN,
      // So short that keys run out, are waited for and come back while we watch.
      KEY_COOLDOWN_SECONDS: '1',
      KEY_WAIT_SECONDS: '0.3',
      RATE_LIMIT_CHAT: '0',
      RATE_LIMIT_SESSIONS: '0',
    });
    prometheus = await startPrometheus(PROMETHEUS, new URL(server.url), ADMIN_TOKEN);
    stopTraffic = startTraffic(server.url, standin);
  }, 60_000);

  afterAll(async () => {
    await stopTraffic?.();
    await prometheus?.stop();
    await server?.stop();
    await standin?.close();
  });

  /** Over all the time since the start: how many values there are that are numbers. */
  const valuesOf = async (query: string): Promise<number> => {
    const range = { start: String(startedAt), end: String(Date.now() / 1000), step: '0.5' };
    const { result } = await prometheus.ask('query_range', { query, ...range });
    const values = result.flatMap((series: { values: [number, string][] }) => series.values);
    return values.filter(([, value]: [number, string]) => value !== 'NaN').length;
  };

  it('scrapes it without an error', async () => {
    await vi.waitFor(async () => {
      const { activeTargets } = await prometheus.ask('targets');
      expect(activeTargets).toEqual([expect.objectContaining({ health: 'up', lastError: '' })]);
    }, PATIENCE);
  });

  it('has data for each panel of the dashboard', { timeout: 20_000 }, async () => {
    for (const [title, query] of dashboardExpressions(RATE_INTERVAL)) {
      await vi.waitFor(
        async () => expect(await valuesOf(query), `${title}: ${query}`).toBeGreaterThan(0),
        PATIENCE,
      );
    }
  });

  it('evaluates each alert rule without an error', async () => {
    const { length } = alertRules();
    await vi.waitFor(async () => {
      const { groups } = await prometheus.ask('rules');
      const health = groups.flatMap(({ rules }: { rules: { health: string }[] }) =>
        rules.map((rule) => rule.health),
      );
      expect(health).toEqual(Array.from({ length }, () => 'ok'));
    }, PATIENCE);
  });

  it('has the metrics of the process, in names that promtool accepts', async () => {
    const input = await textOf(server);
    expect(input).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(input).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
    expect(await promtool(['check', 'metrics'], { input })).toEqual({ code: 0, said: '' });
  });

  it('has each series of the server, under load', async () => {
    const series = seriesIn(await textOf(server));
    expect(series.length).toBeGreaterThan(500);
    await vi.waitFor(async () => {
      const known = await prometheus.ask('series', { 'match[]': '{job="understudy"}' });
      const read = new Set(known.map(nameOf));
      expect(series.filter((one) => !read.has(one))).toEqual([]);
    }, PATIENCE);
  });
});

const textOf = async ({ url }: ServerProcess) =>
  (await fetch(`${url}/metrics`, { headers: AS_ADMIN })).text();

/** Chats and sessions without end, while the keys run out and come back. */
function startTraffic(url: string, standin: Standin): () => Promise<void> {
  let isOver = false;
  const post = (path: string, body: unknown) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }).then((response) => response.text());
  const faults = [null, 'overloaded', 'day_spent'] as const;
  const run = async () => {
    for (let turn = 0; !isOver; turn += 1) {
      const kind = faults[Math.floor(turn / 10) % faults.length] ?? null;
      standin.setFault('g-one', kind === null ? null : { kind });
      standin.setFault('g-two', kind === 'day_spent' ? { kind } : null);
      await Promise.all([
        post('/api/chat', { message: 'Hi', stream: turn % 2 === 0 }),
        post('/api/anam/session-token', {}),
      ]);
    }
  };
  const running = run();
  return async () => {
    isOver = true;
    await running;
  };
}

/** Handles and requests of Node's own come and go by themselves. */
const PASSING = /^nodejs_active_/;

const seriesIn = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !PASSING.test(line))
    .map((line) => {
      const [name = '', labels = ''] = line.slice(0, line.lastIndexOf(' ')).split(/\{(.*)\}$/);
      return written(name, labels === '' ? [] : labels.split(/,(?=\w+=")/));
    });

function nameOf({ __name__: name = '', job: _, instance: __, ...labels }: Record<string, string>) {
  return written(
    name,
    Object.entries(labels).map(([label, value]) => `${label}="${value}"`),
  );
}

const written = (name: string, labels: readonly string[]) =>
  `${name}{${labels.toSorted().join(',')}}`;
