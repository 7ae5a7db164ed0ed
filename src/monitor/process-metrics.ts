import { collectDefaultMetrics, type Registry } from 'prom-client';

/** Gauges that are called like counters, which Prometheus' own checks complain of. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/**
 * Memory, CPU, event loop and garbage collection of the whole process. It watches the event loop and
 * the collector for as long as the process lives and cannot be told to stop, so it is for a process
 * that is ours alone.
 */
export function measureProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
}
