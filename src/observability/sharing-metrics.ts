import { Counter, Gauge, type Registry } from 'prom-client';
import type { RedisState } from '../shared/shared-store.ts';

/** How knowledge of keys goes from one process to another, as far as it is watched. */
export interface SharingState {
  /** How it stands with Redis; null where there is none. */
  readonly redis: (() => RedisState) | null;
  counts(): {
    readonly told: number;
    readonly learnt: number;
    readonly unread: number;
    readonly backlog: number;
  };
}

/** @returns what brings it up to date */
export function createSharingMetrics(registry: Registry, { redis, counts }: SharingState) {
  const up = redis === null ? null : defineRedis(registry);
  const { told, learnt, unread, backlog } = define(registry);
  const bring = (counter: Counter, to: number) => {
    counter.reset();
    counter.inc(to);
  };
  return (): void => {
    const now = counts();
    bring(told, now.told);
    bring(learnt, now.learnt);
    bring(unread, now.unread);
    backlog.set(now.backlog);
    up?.set(redis?.() === 'connected' ? 1 : 0);
  };
}

const defineRedis = (registry: Registry) =>
  new Gauge({
    name: 'understudy_redis_up',
    help: 'Whether Redis can be used, so that instances share what they know: 1 or 0.',
    registers: [registry],
  });

function define(registry: Registry) {
  const counter = (name: string, help: string) =>
    new Counter({ name, help, registers: [registry] });
  return {
    told: counter('understudy_sharing_told_total', 'Changes of keys that others were told of.'),
    learnt: counter('understudy_sharing_learnt_total', 'Changes of keys that others have told.'),
    unread: counter(
      'understudy_sharing_unreadable_total',
      'What others have told and could not be read.',
    ),
    backlog: new Gauge({
      name: 'understudy_sharing_backlog',
      help: 'Changes of keys that still wait to be told.',
      registers: [registry],
    }),
  };
}
