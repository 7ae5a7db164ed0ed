import type { Config } from './config/config.ts';
import type { TraceSink } from './failover/trace.ts';
import type { WaitQueues } from './failover/wait-queue.ts';
import type { AdminView } from './observability/admin-view.ts';
import type { Metrics, MetricsOptions } from './observability/metrics.ts';
import type { ReportedModels } from './observability/overview.ts';
import type { KeyPool } from './pool/key-pool.ts';
import { AVATAR_LANES } from './services/persona-for.ts';
import type { Service } from './shared/api-key.ts';
import type { Clock } from './shared/clock.ts';
import type { Logger } from './shared/logger.ts';
import type { Redact } from './shared/redact.ts';
import type { Secret } from './shared/secret.ts';

/** What whoever runs the server sees and does. */
export interface Admin {
  readonly token: Secret;
  readonly view: AdminView;
  readonly metrics: Metrics;
  readonly redact: Redact;
  readonly cooldownMs: number;
  readonly sinks: readonly TraceSink[];
}

export interface AdminParts {
  readonly pool: KeyPool;
  /** The pool's own. */
  readonly lanes: Readonly<Record<Service, readonly string[]>>;
  readonly queues: WaitQueues;
  readonly sharing: MetricsOptions['sharing'];
  readonly clock: Clock;
  readonly log: Logger;
  readonly redact: Redact;
  readonly measuresProcess: boolean;
}

/** Nobody watches, and neither admin view nor metrics are loaded, where nobody could look. */
export async function loadAdmin(config: Config, parts: AdminParts): Promise<Admin | null> {
  const { adminToken: token, mode, cooldownMs } = config;
  if (token === null) return null;
  const [{ createAdminView }, { createMetrics }] = await Promise.all([
    import('./observability/admin-view.ts'),
    import('./observability/metrics.ts'),
  ]);
  const { pool, lanes, redact, sharing } = parts;
  const redis = sharing?.redis ?? null;
  const { inspection, operator } = pool;
  const models = reportedModels(config);
  const view = createAdminView({ ...parts, inspection, operator, models, mode, redis });
  const metrics = createMetrics({ ...parts, models: lanes });
  const sinks = [view.sink, metrics.sink];
  return { token, view, metrics, redact, cooldownMs, sinks };
}

/** Callers' personas have a place of their own only where callers may bring one. */
function reportedModels({ googleModels, allowClientPersona }: Config): ReportedModels {
  const [ours, callers] = AVATAR_LANES;
  return { google: googleModels, anam: allowClientPersona ? [ours, callers] : [ours] };
}
