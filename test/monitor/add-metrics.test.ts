import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { addMetrics, families, tellsOf, withoutShared } from '../../src/monitor/add-metrics.ts';
import { measureProcess } from '../../src/monitor/process-metrics.ts';
import { ifInstalled } from '../support/installed.ts';
import { PROMTOOL, promtool } from '../support/promtool.ts';
import { readScrape } from '../support/scrape.ts';

/** What a process measures, as another one reads it. */
const send = async (registry: Registry) =>
  families.parse(JSON.parse(JSON.stringify(await tellsOf(registry))));

const added = async (...registries: readonly Registry[]) =>
  readScrape(await addMetrics(await Promise.all(registries.map(send))));

function registryWith(define: (registers: Registry[]) => void): Registry {
  const registry = new Registry();
  define([registry]);
  return registry;
}

const counting = (how: Readonly<Record<string, number>>) =>
  registryWith((registers) => {
    const labelNames = ['end'];
    const counter = new Counter({ name: 'x_total', help: 'x', labelNames, registers });
    for (const [end, count] of Object.entries(how)) counter.inc({ end }, count);
  });

describe('what several processes have measured', () => {
  it('is added up series by series, also those that only one of them has', async () => {
    const { samples } = await added(counting({ ok: 2, bad: 1 }), counting({ ok: 3, odd: 4 }));
    expect(Object.fromEntries(samples)).toEqual({
      'x_total{end="ok"}': 5,
      'x_total{end="bad"}': 1,
      'x_total{end="odd"}': 4,
    });
  });

  it('is added up bucket by bucket', async () => {
    const taking = (...seconds: readonly number[]) =>
      registryWith((registers) => {
        const options = { name: 'x_seconds', help: 'x', buckets: [1, 2], registers };
        const histogram = new Histogram({ ...options, labelNames: ['status'] });
        for (const one of seconds) histogram.observe({ status: 200 }, one);
      });
    const { samples } = await added(taking(0.5, 5), taking(1.5));
    expect(Object.fromEntries(samples)).toEqual({
      'x_seconds_bucket{le="1",status="200"}': 1,
      'x_seconds_bucket{le="2",status="200"}': 2,
      'x_seconds_bucket{le="+Inf",status="200"}': 3,
      'x_seconds_sum{status="200"}': 7,
      'x_seconds_count{status="200"}': 3,
    });
  });

  it('is not spoilt by what is no number in one of them', async () => {
    const lagging = (seconds: number) =>
      registryWith((registers) => {
        new Gauge({ name: 'lag', help: 'x', aggregator: 'max', registers }).set(seconds);
      });
    expect((await added(lagging(Number.NaN), lagging(0.2))).samples.get('lag')).toBe(0.2);
  });

  it('lacks, for others, what every process says the same of', async () => {
    const registry = registryWith((registers) => {
      new Gauge({ name: 'keys', help: 'x', aggregator: 'first', registers }).set(3);
      new Gauge({ name: 'calls', help: 'x', registers }).set(1);
    });
    expect(withoutShared(await tellsOf(registry)).map(({ name }) => name)).toEqual(['calls']);
  });
});

describe('what is measured of the processes themselves', () => {
  const measured = new Registry();
  measureProcess(measured);

  it.each([
    ['process_start_time_seconds', 'min'],
    ['process_resident_memory_bytes', 'sum'],
    ['process_cpu_seconds_total', 'sum'],
    ['process_open_fds', 'sum'],
    ['process_max_fds', 'sum'],
    ['nodejs_heap_size_used_bytes', 'sum'],
    ['nodejs_active_handles', 'sum'],
    ['nodejs_eventloop_lag_seconds', 'max'],
    ['nodejs_eventloop_lag_p99_seconds', 'max'],
    ['nodejs_eventloop_lag_max_seconds', 'max'],
    ['nodejs_eventloop_lag_min_seconds', 'min'],
    ['nodejs_eventloop_lag_mean_seconds', 'average'],
    ['nodejs_version_info', 'first'],
  ])('%s is worth its %s', async (name, aggregator) => {
    const told = await tellsOf(measured);
    expect(told.find((one) => one.name === name)?.aggregator).toBe(aggregator);
  });

  ifInstalled(PROMTOOL, 'of two processes', () => {
    it('is nothing that promtool complains of', async () => {
      const text = await addMetrics([await tellsOf(measured), await send(measured)]);
      expect(text).toContain('process_start_time_seconds');
      expect(await promtool(['check', 'metrics'], { input: text })).toEqual({ code: 0, said: '' });
    });
  });
});
