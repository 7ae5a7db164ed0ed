import { Gauge, type Registry } from 'prom-client';
import type { KeyPool } from '../pool/key-pool.ts';
import { SERVICES } from '../shared/api-key.ts';
import { isMetered, type Lane } from './lanes.ts';

type Pool = Pick<KeyPool, 'inspection' | 'retryAt'>;

const STATES = ['available', 'cooling_down', 'exhausted'] as const;

/**
 * How the keys stand. The pool is asked only when somebody looks, and nothing is kept of single keys:
 * ten thousand of them are still three numbers for each model.
 *
 * @returns what brings both kinds up to date: what is known of the keys, the same in every process,
 *   and how busy this one keeps them
 */
export function createPoolMetrics(registry: Registry, pool: Pool, all: readonly Lane[]) {
  const { keys, returns, inFlight } = define(registry);
  const lanes = all.filter(isMetered);
  const countLane = (lane: Lane) => {
    const counts = pool.inspection.counts(lane.service, lane.model);
    for (const state of STATES) keys.set({ ...lane, state }, counts[state]);
    const returnsAt = counts.available > 0 ? null : pool.retryAt(lane.service, lane.model);
    if (returnsAt !== null) returns.set({ ...lane }, returnsAt / 1000);
  };
  return {
    countKeys(): void {
      returns.reset();
      for (const lane of lanes) countLane(lane);
    },
    countCalls(): void {
      for (const service of SERVICES) inFlight.set({ service }, pool.inspection.inFlight(service));
    },
  };
}

const define = (registry: Registry) => ({
  keys: new Gauge({
    name: 'understudy_keys',
    help: 'Keys by how they stand for a model: exhausted ones need somebody to act.',
    labelNames: ['service', 'model', 'state'],
    registers: [registry],
  }),
  returns: new Gauge({
    name: 'understudy_key_return_timestamp_seconds',
    help: 'When the first key is tried again, where none is available for a model.',
    labelNames: ['service', 'model'],
    registers: [registry],
  }),
  inFlight: new Gauge({
    name: 'understudy_upstream_calls_in_flight',
    help: 'Calls to a provider that have not ended yet.',
    labelNames: ['service'],
    registers: [registry],
  }),
});
