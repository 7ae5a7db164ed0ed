import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { KeyPool } from '../pool/key-pool.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { defaultTargets, type Target } from '../shared/target.ts';

export interface StateMetricsOptions {
  readonly pool: Pick<KeyPool, 'inspection' | 'retryAt'>;
  readonly targets: readonly Target[];
  readonly measuresProcess: boolean;
  /** Null without Redis. */
  readonly sharing: SharingState | null;
}

/** What this process shares with others through Redis. */
export interface SharingState {
  readonly redis: () => RedisState;
  counts(): Readonly<Record<'published' | 'merged' | 'unreadable' | 'backlog', number>>;
}

/**
 * The state at the moment of a scrape: keys, Redis, the process.
 *
 * @returns every metric with its present value, in Prometheus' text format
 */
export function createStateMetrics(options: StateMetricsOptions): () => Promise<string> {
  const { pool, targets, measuresProcess, sharing } = options;
  const registry = new Registry();
  const updateKeys = createKeyMetrics(registry, pool, targets);
  if (sharing !== null) createSharingMetrics(registry, sharing);
  if (measuresProcess) measureProcess(registry);
  return () => {
    updateKeys();
    return registry.metrics();
  };
}

/**
 * The state of the keys. The pool is asked only at a scrape, and counts alone are kept: ten thousand
 * keys are three numbers for each model.
 *
 * @returns what brings the gauges up to date
 */
function createKeyMetrics(
  registry: Registry,
  pool: StateMetricsOptions['pool'],
  targets: readonly Target[],
): () => void {
  const keys = new Gauge({
    name: 'understudy_keys',
    help: 'Keys by their state for a model. exhausted: needs action.',
    labelNames: ['service', 'model', 'persona', 'use', 'state'],
    registers: [registry],
  });
  const returns = new Gauge({
    name: 'understudy_key_return_timestamp_seconds',
    help: 'When the first key is tried again, where none is available for a model.',
    labelNames: ['service', 'model', 'persona', 'use'],
    registers: [registry],
  });
  new Gauge({
    name: 'understudy_upstream_calls_in_flight',
    help: 'Calls to a provider that have not ended yet.',
    labelNames: ['service'],
    registers: [registry],
    collect() {
      for (const { provider: service } of defaultTargets(targets)) {
        this.set({ service }, pool.inspection.inFlight(service));
      }
    },
  });
  const update = (target: Target) => {
    const { provider: service, label } = target;
    // A label, because keys may be usable for embeddings while none is for chats.
    const use = target.use === 'embeddings' ? { use: target.use } : {};
    const labels = { service, ...target.labels, ...use };
    const { total: _, ...counts } = pool.inspection.counts(service, label);
    for (const [state, count] of Object.entries(counts)) keys.set({ ...labels, state }, count);
    const returnsAt = counts.available > 0 ? null : pool.retryAt(target);
    if (returnsAt !== null) returns.set(labels, returnsAt / 1000);
  };
  return () => {
    returns.reset();
    for (const target of targets) if (target.metered) update(target);
  };
}

/** Read at each scrape. */
function createSharingMetrics(registry: Registry, { redis, counts }: SharingState): void {
  const registers = [registry];
  new Gauge({
    name: 'understudy_redis_up',
    help: 'Whether Redis can be used, so that instances share what they know: 1 or 0.',
    registers,
    collect() {
      this.set(redis() === 'connected' ? 1 : 0);
    },
  });
  new Gauge({
    name: 'understudy_sharing_backlog',
    help: 'Changes of keys that still wait to be published.',
    registers,
    collect() {
      this.set(counts().backlog);
    },
  });
  const counter = (kind: 'published' | 'merged' | 'unreadable', help: string) =>
    new Counter({
      name: `understudy_sharing_${kind}_total`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(counts()[kind]);
      },
    });
  counter('published', 'Changes of keys that were published to other instances.');
  counter('merged', 'Changes of keys that came from other instances.');
  counter('unreadable', 'Changes from other instances that could not be read.');
}

/**
 * Memory, CPU, event loop and garbage collection of the whole process. The collectors run until the
 * process ends, so only `main.ts` asks for them.
 */
function measureProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  // Gauges with names of counters, which Prometheus' own checks reject.
  for (const counted of ['handles', 'requests', 'resources']) {
    registry.removeSingleMetric(`nodejs_active_${counted}_total`);
  }
}
