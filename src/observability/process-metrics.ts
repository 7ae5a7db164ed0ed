import { collectDefaultMetrics, type Registry } from 'prom-client';

/** Gauges with names of counters, which Prometheus' own checks reject. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/**
 * Memory, CPU, event loop and garbage collection of the whole process. The collectors run until the
 * process ends, so only `main.ts` asks for them.
 */
export function measureProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
}
