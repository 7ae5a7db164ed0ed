import { z } from 'zod';
import type { Inspection } from '../pool/inspection.ts';
import { provedBy, verdictOf } from '../pool/verdicts.ts';
import type { AttemptRecord } from '../service/observer.ts';
import { SERVICES } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Colleagues } from '../shared/colleagues.ts';
import { PLAIN } from '../shared/request-shape.ts';
import type { ReportedModels } from './monitor.ts';

/** A release proves nothing: these keys needed action, were released, and have not answered since. */
export interface ReleasedKeys {
  /** To be called before the release of a key: afterwards the pool has forgotten that it needed action. */
  beforeRelease(id: string): void;
  attemptEnded(attempt: AttemptRecord): void;
  /** Without those that are parked by hand or need action again. */
  unproven(): string[];
}

export interface ReleasedKeysOptions {
  readonly inspection: Pick<Inspection, 'facts'>;
  readonly models: ReportedModels;
  /** Other processes: each hears of every release and every answer. */
  readonly colleagues: Colleagues;
  readonly clock: Pick<Clock, 'now'>;
}

const TOPIC = 'released-key';
const news = z.object({ id: z.string(), at: z.number(), event: z.enum(['released', 'settled']) });
type News = z.output<typeof news>;

export function createReleasedKeys({
  inspection,
  models,
  colleagues,
  clock,
}: ReleasedKeysOptions): ReleasedKeys {
  /** When each was released, in milliseconds since the epoch. Never more than there are keys. */
  const releasedAt = new Map<string, number>();
  const scopesOf = (id: string) =>
    SERVICES.flatMap((service) => inspection.facts(service, models[service][0], id)?.scopes ?? []);

  function learn({ id, at, event }: News): boolean {
    const known = releasedAt.get(id);
    if (event === 'released') releasedAt.set(id, Math.max(at, known ?? at));
    else if (known === undefined || at < known) return false;
    else releasedAt.delete(id);
    return true;
  }
  function tell(event: News): void {
    if (learn(event)) void colleagues.ask(TOPIC, event);
  }
  colleagues.answer(TOPIC, (told) => learn(news.parse(told)));

  return {
    beforeRelease(id) {
      const needsAction = scopesOf(id).some(({ effect }) => effect === 'exhausted');
      if (needsAction) tell({ id, at: clock.now(), event: 'released' });
    },
    attemptEnded(attempt) {
      // An attempt that began before the release says nothing of what is true since then.
      const { key: id, startedAt: at } = attempt;
      if (settles(attempt)) tell({ id, at, event: 'settled' });
    },
    unproven: () =>
      [...releasedAt.keys()].filter((id) =>
        scopesOf(id).every(({ scope, effect }) => scope !== 'operator' && effect !== 'exhausted'),
      ),
  };
}

/** Whether the key works, or is parked for a reason that is shown anyway. */
const settles = ({ outcome, parked }: AttemptRecord) =>
  outcome.kind === 'success' ||
  (parked === null
    ? provedBy(outcome, verdictOf(outcome, PLAIN)) !== 'nothing'
    : parked.scope !== 'project_model_feature');
