import type { TraceSink } from '../failover/trace.ts';
import type { WaitQueues } from '../failover/wait-queue.ts';
import type { Inspection } from '../pool/inspection.ts';
import type { KeyState } from '../pool/key-state.ts';
import type { Operator } from '../pool/operator.ts';
import type { Service } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { type KeyReport, reportKey } from './key-report.ts';
import { createKeyStats } from './key-stats.ts';
import { createLatest } from './latest.ts';
import { createMinutes } from './minutes.ts';
import { createOperatorActions, type OperatorActions } from './operator-actions.ts';
import { createOverview, type Overview } from './overview.ts';
import { createReleasedKeys } from './released-keys.ts';

/** The models of each service that have a place of their own in what is reported; the first is the default. */
export type ReportedModels = Readonly<Record<Service, readonly [string, ...string[]]>>;

export interface MonitorOptions {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly lines: WaitQueues;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  /** How this process stands with Redis; null where there is none. */
  readonly redis: (() => RedisState) | null;
  readonly clock: Clock;
  readonly log: Logger;
  readonly redact: Redact;
}

/** A key, as it stands for one model. */
export interface AskedKey {
  readonly service: Service;
  readonly model: string;
  readonly id: string;
}

/** What whoever is on call sees and does: of this process. */
export interface Monitor {
  readonly observer: TraceSink;
  readonly actions: OperatorActions;
  /** Our own limit for one address has refused a request. */
  turnedAway(): void;
  readonly models: ReportedModels;
  /** At most a second old; new after an operator's action. */
  overview(): Overview;
  /** How each key of a service stands for a model. */
  states(service: Service, model: string): readonly KeyState[];
  /** In the order in which they are asked for; a key that there is not is left out. */
  keys(asked: readonly AskedKey[]): readonly KeyReport[];
}

export function createMonitor(options: MonitorOptions): Monitor {
  const { inspection, operator, lines, models, clock, log, redact } = options;
  const stats = createKeyStats();
  const minutes = createMinutes();
  const latest = createLatest();
  const released = createReleasedKeys(options);
  const overview = createOverview({
    ...options,
    released,
    startedAt: clock.now(),
    minutes,
    latest,
    now: clock.now,
  });
  const { beforeRelease } = released;
  const acted = () => overview.forget();
  const acts = { beforeRelease, acted };
  const actions = createOperatorActions({ operator, lines, log, redact, now: clock.now, ...acts });
  return {
    actions,
    models,
    turnedAway: () => minutes.turnedAway(clock.now()),
    observer: {
      attemptEnded(attempt) {
        stats.attemptEnded(attempt);
        released.attemptEnded(attempt);
      },
      requestEnded(request) {
        minutes.requestEnded(request);
        latest.requestEnded(request);
      },
    },
    overview: overview.get,
    states: (service, model) => inspection.states(service, model),
    keys(asked) {
      const now = clock.now();
      return asked
        .map(({ service, model, id }) => inspection.facts(service, model, id))
        .filter((facts) => facts !== null)
        .map((facts) => {
          const { id } = facts.key;
          return reportKey(facts, stats.of(id, now), actions.lastOf(id), now);
        });
    },
  };
}
