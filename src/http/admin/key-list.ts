import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import type { KeysPage } from '../../observability/reports.ts';
import type { KeyState } from '../../pool/inspection.ts';
import { defaultTargets, type Target } from '../../shared/target.ts';
import { invalidField } from '../validate.ts';

const MAX_LIMIT = 500;

/** @param targets decide which services there are */
export const createKeysQuery = (targets: readonly Target[]) =>
  z.strictObject({
    service: z
      .enum(defaultTargets(targets).map(({ provider }) => provider))
      .optional()
      .meta({
        description: 'Only the keys of this service.',
      }),
    model: z.string().optional().meta({
      description:
        'The state for this model, which is one of those in `GET /api/overview`. Default: the first of each service.',
    }),
    state: z.enum(['available', 'cooling_down', 'exhausted']).optional().meta({
      description: 'Only the keys in this state.',
    }),
    after: z.string().optional().meta({
      description: 'Only the keys after this id: `next` of the page before.',
    }),
    limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(100).meta({
      description: 'The number of keys on a page.',
    }),
  });

export type KeysQuery = z.output<ReturnType<typeof createKeysQuery>>;

interface Row extends KeyState {
  readonly target: Target;
}

/** @throws HttpError 400 that names the field */
export function listKeys(view: AdminView, query: KeysQuery): KeysPage {
  const { state, after, limit } = query;
  const all = targetsFor(view, query).flatMap((target) =>
    view.states(target).map((row): Row => ({ ...row, target })),
  );
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) throw invalidField('after', 'There is no such key.');
  const matches = (row: Row) => state === undefined || row.state === state;
  const rest = all.slice(start).filter(matches);
  const page = rest.slice(0, limit);
  return {
    total: all.filter(matches).length,
    keys: view.keys(page),
    next: rest.length > limit ? (page.at(-1)?.id ?? null) : null,
  };
}

function targetsFor({ targets }: AdminView, { service, model }: KeysQuery): readonly Target[] {
  const asked = targets.filter(({ provider }) => service === undefined || provider === service);
  if (model === undefined) return defaultTargets(asked);
  const found = asked.filter(({ label }) => label === model);
  if (found.length > 0) return found;
  throw invalidField('model', `Must be one of: ${asked.map(({ label }) => label).join(', ')}.`);
}
