import { AggregatorRegistry, type PrometheusContentType, type Registry } from 'prom-client';
import { z } from 'zod';

const sample = z.object({
  value: z.number(),
  labels: z.record(z.string(), z.union([z.string(), z.number()])),
  /** Where it is not the family's: `x_bucket`. */
  metricName: z.string().optional(),
});

const family = z.object({
  name: z.string(),
  help: z.string(),
  type: z.enum(['counter', 'gauge', 'histogram', 'summary']),
  aggregator: z.enum(['omit', 'sum', 'first', 'min', 'max', 'average']),
  values: z.array(sample),
});

/** What one process has measured, as prom-client's registries tell it. */
export const families = z.array(family);

export type Families = z.output<typeof families>;

/**
 * What is measured here. Without what is no number, such as the mean of nothing: JSON has no word for
 * it, and whatever is added to it is none either.
 */
export async function tellsOf(registry: Registry): Promise<Families> {
  // By its types prom-client tells the kind of a metric as a number, in truth as a word.
  const told = (await registry.getMetricsAsJSON()) as unknown as Families;
  return told.map((one) => ({
    ...one,
    values: one.values.filter(({ value }) => Number.isFinite(value)),
  }));
}

/** Without what every process says the same of, and whoever is asked by Prometheus knows by itself. */
export const withoutShared = (told: Families): Families =>
  told.filter(({ aggregator }) => aggregator !== 'first');

/** What goes on growing: it stays true of a process that is gone. */
export const countsIn = (told: Families): Families =>
  told.filter(({ type }) => type === 'counter' || type === 'histogram');

export const addFamilies = async (all: readonly Families[]): Promise<Families> =>
  (await AggregatorRegistry.aggregate([...all]).getMetricsAsJSON()) as unknown as Families;

/** What several processes have measured as one text; where only one can be right it is the first. */
export const addMetrics = (all: readonly Families[]): Promise<string> =>
  AggregatorRegistry.aggregate<PrometheusContentType>([...all]).metrics();
