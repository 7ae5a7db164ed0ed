import type { WaitQueues } from '../failover/wait-queue.ts';
import type { Operator } from '../pool/operator.ts';
import type { ApiKey } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';

/** What an operator did to a key. */
export interface OperatorAction {
  readonly action: 'release' | 'park';
  /** Null when not given. */
  readonly who: string | null;
  readonly why: string | null;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Who asks for it, why, and in which request. */
export interface Order extends Pick<OperatorAction, 'who' | 'why'> {
  readonly requestId: string;
}

/** Where whoever is on call acts on keys: at once, and with a line in the log. */
export interface OperatorActions {
  /** @returns whether there is such a key */
  release(id: string, order: Order): boolean;
  /** @returns whether there is such a key */
  park(id: string, ms: number, order: Order): boolean;
  /** What was last done here to a key, by its id; null for nothing. */
  lastOf(id: string): OperatorAction | null;
}

export interface OperatorActionsOptions {
  readonly operator: Operator;
  readonly lines: WaitQueues;
  readonly log: Logger;
  /** For what people type: they paste what they have just used. */
  readonly redact: Redact;
  readonly now: () => number;
  readonly beforeRelease: (id: string) => void;
  /** Told after each action. */
  readonly acted: () => void;
}

export function createOperatorActions({
  operator,
  lines,
  log,
  redact,
  now,
  beforeRelease,
  acted,
}: OperatorActionsOptions): OperatorActions {
  const last = new Map<string, OperatorAction>();
  const clean = (text: string | null) => (text === null ? null : redact(text));
  const note = (
    { id }: ApiKey,
    action: OperatorAction['action'],
    { requestId, ...order }: Order,
    until?: number,
  ): void => {
    const [who, why] = [clean(order.who), clean(order.why)];
    last.set(id, { action, who, why, at: now() });
    const line = { requestId, key: id, action, who, why };
    log.warn(until === undefined ? line : { ...line, until: isoTime(until) }, 'operator');
    acted();
  };
  return {
    lastOf: (id) => last.get(id) ?? null,
    release(id, order) {
      beforeRelease(id);
      const key = operator.release(id);
      if (key === null) return false;
      note(key, 'release', order);
      // Whoever stands in line may have it.
      lines[key.service].keyProved(null);
      return true;
    },
    park(id, ms, order) {
      const key = operator.park(id, ms);
      if (key === null) return false;
      note(key, 'park', order, now() + ms);
      // Whoever waits for it may have nothing to wait for any more.
      lines[key.service].leaseFailed(null);
      return true;
    },
  };
}
