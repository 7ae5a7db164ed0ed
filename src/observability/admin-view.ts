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
import { reportKey } from './key-report.ts';
import { createKeyStats } from './key-stats.ts';
import { createOperatorActions, type OperatorActions } from './operator-actions.ts';
import { createOverview, type ReportedModels } from './overview.ts';
import { createLatestRequests, createMinutes } from './recent-requests.ts';
import type { KeyReport, Overview } from './reports.ts';

export interface AdminViewOptions {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly queues: WaitQueues;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
  readonly redact: Redact;
}

/** What the operator of this process sees and does. */
export interface AdminView {
  readonly sink: TraceSink;
  readonly actions: Pick<OperatorActions, 'release' | 'park'>;
  /** Our own limit for one address has refused a request. */
  turnedAway(): void;
  readonly models: ReportedModels;
  /** At most a second old; new after an operator's action. */
  overview(): Overview;
  /** The state of each key of a service for a model. */
  states(service: Service, model: string): readonly KeyState[];
  /** In the order of the question, without keys that do not exist. */
  keys(asked: readonly AskedKey[]): KeyReport[];
}

/** A key and the model for which its state is asked. */
interface AskedKey {
  readonly service: Service;
  readonly model: string;
  readonly id: string;
}

export function createAdminView(options: AdminViewOptions): AdminView {
  const { inspection, models, clock } = options;
  const { now } = clock;
  const stats = createKeyStats();
  const minutes = createMinutes();
  const latest = createLatestRequests();
  const actions = createOperatorActions({ ...options, now, acted: () => overview.forget() });
  const { unprovenKeys } = actions;
  const overview = createOverview({ ...options, minutes, latest, unprovenKeys, now });
  return {
    sink: {
      attemptEnded(attempt) {
        stats.attemptEnded(attempt);
        actions.attemptEnded(attempt);
      },
      requestEnded(request) {
        minutes.requestEnded(request);
        latest.requestEnded(request);
      },
    },
    actions,
    turnedAway: () => minutes.turnedAway(now()),
    models,
    overview: overview.get,
    states: (service, model) => inspection.states(service, model),
    keys(asked) {
      const at = now();
      return asked
        .map(({ service, model, id }) => inspection.facts(service, model, id))
        .filter((facts) => facts !== null)
        .map((facts) => {
          const { id } = facts.key;
          return reportKey(facts, stats.of(id, at), actions.lastOf(id), at);
        });
    },
  };
}
