import { Gauge, Registry } from 'prom-client';
import type { KeyPool } from '../pool/key-pool.ts';
import type { Observer } from '../service/observer.ts';
import type { Colleagues } from '../shared/colleagues.ts';
import { addMetrics, countsIn, families, tellsOf, withoutShared } from './add-metrics.ts';
import { askOthers } from './ask-others.ts';
import { createAttemptMetrics } from './attempt-metrics.ts';
import { DEPARTED } from './departed.ts';
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
  /** What they have measured is told of too. */
  readonly colleagues: Colleagues;
  /** Null for a process that is alone. */
  readonly sharing: SharingState | null;
  /** Asks whoever has started this process; null where nobody has. */
  readonly askPrimary: ((topic: string, payload: unknown) => Promise<unknown>) | null;
}

/** What the processes that serve the same callers tell Prometheus, whichever of them is asked. */
export interface Metrics {
  readonly observer: Observer;
  readonly requestAnswered: (answered: AnsweredRequest) => void;
  readonly contentType: string;
  /** Everything as it stands now, in Prometheus' text format; what cannot be added up is this process's own. */
  text(): Promise<string>;
  /** Leaves what was counted to the others; from now on nothing is told of it here. */
  leave(): Promise<void>;
}

const FAMILIES = 'metrics';

export function createMetrics(options: MetricsOptions): Metrics {
  const { pool, models, measuresProcess, colleagues, askPrimary, sharing } = options;
  let hasLeft = false;
  const registry = new Registry();
  const lanes = lanesOf(models);
  const poolMetrics = createPoolMetrics(registry, pool, lanes);
  const requestEnded = createRequestMetrics(registry);
  const countAttempt = createAttemptMetrics(registry, lanes);
  const measureCall = createGenAiMetrics(registry, lanes);
  const requestAnswered = createHttpMetrics(registry);
  const updateSharing = sharing === null ? () => {} : createSharingMetrics(registry, sharing);
  countProcess(registry);
  if (measuresProcess) measureProcess(registry);
  const departed = async () => {
    const answer = (await askPrimary?.(DEPARTED.all, null).catch(() => [])) ?? [];
    return families.safeParse(answer).data ?? [];
  };
  colleagues.answer(FAMILIES, async () => {
    if (hasLeft) return [];
    poolMetrics.countCalls();
    updateSharing();
    return withoutShared(await tellsOf(registry));
  });
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
    async text() {
      const [gone, others] = await Promise.all([
        departed(),
        askOthers(colleagues, FAMILIES, null, families),
      ]);
      poolMetrics.countKeys();
      poolMetrics.countCalls();
      updateSharing();
      if (others.length === 0 && gone.length === 0) return registry.metrics();
      return addMetrics([await tellsOf(registry), ...others, gone]);
    },
    async leave() {
      hasLeft = true;
      updateSharing();
      await askPrimary?.(DEPARTED.leave, countsIn(await tellsOf(registry))).catch(() => {});
    },
  };
}

/** One of each: the sum is of how many all the rest tells. */
function countProcess(registry: Registry): void {
  const processes = new Gauge({
    name: 'understudy_processes',
    help: 'Processes of which all this tells: those that serve the same callers and have answered.',
    registers: [registry],
  });
  processes.set(1);
}
