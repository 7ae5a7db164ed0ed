import type { AttemptTrace } from '../failover/trace.ts';
import type { Inspection } from '../pool/inspection.ts';
import { provedBy, verdictOf } from '../pool/verdicts.ts';
import { SERVICES } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import { PLAIN } from '../shared/request-shape.ts';
import type { ReportedModels } from './monitor.ts';

/** Keys that needed action, were released, and have not answered since: a release proves nothing. */
export interface ReleasedKeys {
  /** Called before the release: afterwards the pool no longer knows that the key needed action. */
  beforeRelease(id: string): void;
  attemptEnded(attempt: AttemptTrace): void;
  /** Without keys that the operator parked or that need action again. */
  unproven(): string[];
}

export interface ReleasedKeysOptions {
  readonly inspection: Pick<Inspection, 'facts'>;
  readonly models: ReportedModels;
  readonly clock: Pick<Clock, 'now'>;
}

export function createReleasedKeys(options: ReleasedKeysOptions): ReleasedKeys {
  const { inspection, models, clock } = options;
  /** Milliseconds since the epoch, by key; at most one entry for each key. */
  const releasedAt = new Map<string, number>();
  const scopesOf = (id: string) =>
    SERVICES.flatMap((service) => inspection.facts(service, models[service][0], id)?.scopes ?? []);
  return {
    beforeRelease(id) {
      const needsAction = scopesOf(id).some(({ effect }) => effect === 'exhausted');
      if (needsAction) releasedAt.set(id, clock.now());
    },
    attemptEnded(attempt) {
      const at = releasedAt.get(attempt.key);
      // An attempt that began before the release does not show the state after it.
      if (at !== undefined && attempt.startedAt >= at && settles(attempt)) {
        releasedAt.delete(attempt.key);
      }
    },
    unproven: () =>
      [...releasedAt.keys()].filter((id) =>
        scopesOf(id).every(({ scope, effect }) => scope !== 'operator' && effect !== 'exhausted'),
      ),
  };
}

/** Whether the key works, or is parked for a reason that is shown anyway. */
const settles = ({ outcome, parked }: AttemptTrace) =>
  outcome.kind === 'success' ||
  (parked === null
    ? provedBy(outcome, verdictOf(outcome, PLAIN)) !== 'nothing'
    : parked.scope !== 'project_model_feature');
