import { Counter, type Registry } from 'prom-client';
import type { AttemptTrace } from '../failover/trace.ts';
import { OUTCOMES } from './closed-sets.ts';
import type { Lane } from './lanes.ts';

const LABELS = ['service', 'model', 'outcome'] as const;

/** What became of each try of a key, and of those that were to find out whether a parked one is back. */
export function createAttemptMetrics(
  registry: Registry,
  lanes: readonly Lane[],
): (attempt: AttemptTrace) => void {
  const attempts = new Counter({
    name: 'understudy_attempts_total',
    help: 'Calls to a provider, each with one key, by outcome.',
    labelNames: LABELS,
    registers: [registry],
  });
  const trials = new Counter({
    name: 'understudy_trials_total',
    help: 'Those of the attempts that tried a key whose cooldown had passed, by outcome.',
    labelNames: LABELS,
    registers: [registry],
  });
  for (const lane of lanes) {
    for (const outcome of OUTCOMES) {
      attempts.inc({ ...lane, outcome }, 0);
      trials.inc({ ...lane, outcome }, 0);
    }
  }
  return ({ service, model, outcome, isProbe: isTrial }) => {
    const labels = { service, model, outcome: outcome.kind };
    attempts.inc(labels);
    if (isTrial) trials.inc(labels);
  };
}
