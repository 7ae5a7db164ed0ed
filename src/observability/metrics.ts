import type { Prices } from '../shared/prices.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import { createRequestMetrics, type RequestMetrics } from './request-metrics.ts';
import type { StateMetricsOptions } from './state-metrics.ts';
import type { UsageStats } from './usage.ts';

export interface MetricsOptions extends StateMetricsOptions {
  readonly providers: readonly ProviderFacts[];
  /** Null without `PRICES`. */
  readonly prices: Prices | null;
  readonly usage: Pick<UsageStats, 'totals'>;
}

/** This process's metrics for Prometheus. */
export interface Metrics
  extends Pick<RequestMetrics, 'sink' | 'requestAnswered' | 'clientRefused'> {
  readonly contentType: string;
  /** Every metric with its present value, in Prometheus' text format. */
  text(): Promise<string>;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const { targets, providers, prices, usage } = options;
  const requests = createRequestMetrics(targets, providers, prices, usage);
  let stateText: Promise<() => Promise<string>> | null = null;
  return {
    sink: requests.sink,
    requestAnswered: requests.requestAnswered,
    clientRefused: requests.clientRefused,
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    async text() {
      stateText ??= loadState(options);
      const state = await stateText;
      return `${requests.text()}\n\n${await state()}`;
    },
  };
}

/** At the first scrape: many processes are never scraped. The metrics of the process itself begin then. */
async function loadState(options: StateMetricsOptions): Promise<() => Promise<string>> {
  const { createStateMetrics } = await import('./state-metrics.ts');
  return createStateMetrics(options);
}
