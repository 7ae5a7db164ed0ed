import { type Aggregator, collectDefaultMetrics, type Registry } from 'prom-client';

/** Gauges that are called like counters, which Prometheus' own checks complain of. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/**
 * What several processes are worth together, where it is not prom-client's choice: for memory, CPU,
 * files and collected garbage that is the sum, for delays the mean. Of a loop that lags the mean would say little.
 */
const AGGREGATORS: Readonly<Record<string, Aggregator>> = {
  process_start_time_seconds: 'min',
  nodejs_eventloop_lag_seconds: 'max',
  nodejs_eventloop_lag_stddev_seconds: 'max',
  nodejs_eventloop_lag_p50_seconds: 'max',
  nodejs_eventloop_lag_p90_seconds: 'max',
  nodejs_eventloop_lag_p99_seconds: 'max',
};

/**
 * Memory, CPU, event loop and garbage collection of the whole process. It watches the event loop and
 * the collector for as long as the process lives and cannot be told to stop, so it is for a process
 * that is ours alone.
 */
export function measureProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  for (const [name, aggregator] of Object.entries(AGGREGATORS)) {
    Object.assign(registry.getSingleMetric(name) ?? {}, { aggregator });
  }
}
