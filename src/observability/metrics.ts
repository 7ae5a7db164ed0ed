import { Registry } from 'prom-client';
import type { TraceSink } from '../failover/trace.ts';
import type { KeyPool } from '../pool/key-pool.ts';
import { createAttemptMetrics } from './attempt-metrics.ts';
import { createGenAiMetrics } from './gen-ai-metrics.ts';
import { type AnsweredRequest, createHttpMetrics } from './http-metrics.ts';
import { lanesOf, type Models } from './lanes.ts';
import { createPoolMetrics } from './pool-metrics.ts';
import { measureProcess } from './process-metrics.ts';
import { createRequestMetrics } from './request-metrics.ts';
import { createSharingMetrics, type SharingState } from './sharing-metrics.ts';

export interface MetricsOptions {
  readonly pool: Pick<KeyPool, 'inspection' | 'retryAt'>;
  /** The pool's own. */
  readonly models: Models;
  /** Whether the process itself is measured too. */
  readonly measuresProcess: boolean;
  /** Null for a process that is alone. */
  readonly sharing: SharingState | null;
}

/** This process's metrics for Prometheus. */
export interface Metrics {
  readonly observer: TraceSink;
  readonly requestAnswered: (answered: AnsweredRequest) => void;
  readonly contentType: string;
  /** Everything as it stands now, in Prometheus' text format. */
  text(): Promise<string>;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const { pool, models, measuresProcess, sharing } = options;
  const registry = new Registry();
  const lanes = lanesOf(models);
  const poolMetrics = createPoolMetrics(registry, pool, lanes);
  const requestEnded = createRequestMetrics(registry);
  const countAttempt = createAttemptMetrics(registry, lanes);
  const measureCall = createGenAiMetrics(registry, lanes);
  const requestAnswered = createHttpMetrics(registry);
  const updateSharing = sharing === null ? () => {} : createSharingMetrics(registry, sharing);
  if (measuresProcess) measureProcess(registry);
  return {
    observer: {
      attemptEnded(attempt) {
        countAttempt(attempt);
        measureCall(attempt);
      },
      requestEnded,
    },
    requestAnswered,
    contentType: registry.contentType,
    text() {
      poolMetrics.countKeys();
      poolMetrics.countCalls();
      updateSharing();
      return registry.metrics();
    },
  };
}
