import type { WaitQueues } from '../failover/wait-queue.ts';
import type { Inspection, ScopeState } from '../pool/inspection.ts';
import type { Operator } from '../pool/operator.ts';
import { type Clock, isoTime } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import { type Order, redactOrder } from '../shared/order.ts';
import type { Redact } from '../shared/redact.ts';
import { defaultTargets, type Target } from '../shared/target.ts';
import type { KeyReport } from './reports.ts';
import type { Stats } from './stats.ts';

/** What an operator did to a key. */
export type OperatorAction = NonNullable<KeyReport['lastAction']>;

/** What an operator may do to a key. It takes effect at once and is logged. */
export interface OperatorActions {
  /** @returns whether there is such a key */
  release(id: string, order: Order): boolean;
  park(id: string, ms: number, order: Order): boolean;
  lastOf(id: string): OperatorAction | null;
  /** Whether something must be done about the key before it can answer. */
  needsAction(id: string): boolean;
  /**
   * Keys that needed action, were released and have not answered since: a release proves nothing.
   * Without keys that the operator parked or that need action again.
   */
  unprovenKeys(): string[];
}

export interface OperatorActionsOptions {
  readonly inspection: Pick<Inspection, 'facts'>;
  readonly operator: Operator;
  readonly stats: Pick<Stats, 'hasSettledSince'>;
  readonly queues: WaitQueues;
  /** Those that are reported; each provider's first is its default. */
  readonly targets: readonly Target[];
  readonly log: Logger;
  /** For what people type: they paste what they have just used. */
  readonly redact: Redact;
  readonly clock: Pick<Clock, 'now'>;
  readonly acted: () => void;
}

export function createOperatorActions(options: OperatorActionsOptions): OperatorActions {
  const { inspection, operator, stats, queues, targets, log, redact, acted } = options;
  const { now } = options.clock;
  const last = new Map<string, OperatorAction>();
  /** When each key was released that needed action, in milliseconds since the epoch. */
  const releasedAt = new Map<string, number>();
  const defaults = defaultTargets(targets);
  const scopesOf = (id: string) =>
    defaults.flatMap(({ provider, label }) => inspection.facts(provider, label, id)?.scopes ?? []);

  function record(id: string, action: OperatorAction['action'], order: Order, until?: number) {
    const { requestId, who, why } = redactOrder(order, redact);
    last.set(id, { action, who, why, at: isoTime(now()) });
    const line = { requestId, key: id, action, who, why };
    log.warn(until === undefined ? line : { ...line, until: isoTime(until) }, 'operator');
    acted();
  }

  return {
    release(id, order) {
      // Asked first: afterwards the pool no longer knows that the key needed action.
      const neededAction = scopesOf(id).some(needsAction);
      const key = operator.release(id);
      if (key === null) return false;
      if (neededAction) releasedAt.set(id, now());
      record(id, 'release', order);
      // Waiting requests may use it.
      queues.get(key.provider)?.keyProved(null);
      return true;
    },
    park(id, ms, order) {
      const key = operator.park(id, ms);
      if (key === null) return false;
      record(id, 'park', order, now() + ms);
      // Requests that wait for this key alone are refused.
      queues.get(key.provider)?.leaseFailed(null);
      return true;
    },
    lastOf: (id) => last.get(id) ?? null,
    needsAction: (id) => scopesOf(id).some(needsAction),
    unprovenKeys: () =>
      [...releasedAt]
        .filter(([id, at]) => !stats.hasSettledSince(id, at))
        .map(([id]) => id)
        .filter((id) => scopesOf(id).every((one) => one.scope !== 'operator' && !needsAction(one))),
  };
}

const needsAction = ({ effect }: ScopeState) => effect === 'needs_action';
