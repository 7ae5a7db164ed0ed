import type { TraceSink } from '../failover/trace.ts';
import type { WaitQueues } from '../failover/wait-queue.ts';
import type { Inspection, KeyState } from '../pool/inspection.ts';
import type { Operator } from '../pool/operator.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';
import type { RedisState } from '../shared/shared-store.ts';
import type { Target } from '../shared/target.ts';
import { reportKey } from './key-report.ts';
import { createKeyStats } from './key-stats.ts';
import { createOperatorActions, type OperatorActions } from './operator-actions.ts';
import { createOverview } from './overview.ts';
import { createRecentRequests } from './recent-requests.ts';
import type { KeyReport, Overview } from './reports.ts';

export interface AdminViewOptions {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly queues: WaitQueues;
  /** Those that are reported; each provider's first is its default. */
  readonly targets: readonly Target[];
  readonly mode: 'live' | 'demo';
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
  readonly redact: Redact;
}

/** What the operator of this process sees and does. */
export interface AdminView {
  readonly sinks: readonly Partial<TraceSink>[];
  readonly actions: Pick<OperatorActions, 'release' | 'park'>;
  /** Our own limit for one address has refused a request. */
  turnedAway(): void;
  readonly targets: readonly Target[];
  /** At most a second old; new after an operator's action. */
  overview(): Overview;
  /** The state of each key for a target. */
  states(target: Target): readonly KeyState[];
  /** In the order of the question, without keys that do not exist. */
  keys(asked: readonly AskedKey[]): KeyReport[];
}

/** A key and the target for which its state is asked. */
interface AskedKey {
  readonly target: Target;
  readonly id: string;
}

export function createAdminView(options: AdminViewOptions): AdminView {
  const { inspection, targets, clock } = options;
  const { now } = clock;
  const stats = createKeyStats();
  const recent = createRecentRequests();
  const actions = createOperatorActions({ ...options, stats, now, acted: () => overview.forget() });
  const overview = createOverview({ ...options, recent, unprovenKeys: actions.unprovenKeys, now });
  return {
    sinks: [stats, recent],
    actions,
    turnedAway: () => recent.turnedAway(now()),
    targets,
    overview: overview.get,
    states: ({ provider, label }) => inspection.states(provider, label),
    keys(asked) {
      const at = now();
      return asked
        .map(({ target, id }) => inspection.facts(target.provider, target.label, id))
        .filter((facts) => facts !== null)
        .map((facts) => {
          const { id } = facts.key;
          return reportKey(facts, stats.of(id, at), actions.lastOf(id), at);
        });
    },
  };
}
