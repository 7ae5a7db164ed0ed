import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import type { KeysPage } from '../../observability/reports.ts';
import type { KeyState } from '../../pool/key-state.ts';
import { SERVICES, type Service } from '../../shared/api-key.ts';
import { invalidField } from '../validate.ts';

const MAX_LIMIT = 500;

/** A query's values are texts. */
export const keysQuery = z.strictObject({
  service: z.enum(SERVICES).optional().meta({
    description: 'Only the keys of this service.',
  }),
  model: z.string().optional().meta({
    description:
      'The keys as they stand for this model, which is one of those in `GET /api/overview`. Default: the first of each service.',
  }),
  state: z.enum(['available', 'cooling_down', 'exhausted']).optional().meta({
    description: 'Only the keys in this state.',
  }),
  after: z.string().optional().meta({
    description: 'Only the keys behind the one with this id: `next` of the page before.',
  }),
  limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(100).meta({
    description: 'So many keys at most.',
  }),
});

export type KeysQuery = z.output<typeof keysQuery>;

interface Row extends KeyState {
  readonly service: Service;
  readonly model: string;
}

/** @throws HttpError 400 that names the field */
export async function listKeys(view: AdminView, query: KeysQuery): Promise<KeysPage> {
  const { state, after, limit } = query;
  const all = servicesFor(view, query).flatMap(({ service, model }) =>
    view.states(service, model).map((row): Row => ({ ...row, service, model })),
  );
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) throw invalidField('after', 'There is no such key.');
  const matches = (row: Row) => state === undefined || row.state === state;
  const rest = all.slice(start).filter(matches);
  const page = rest.slice(0, limit);
  return {
    total: all.filter(matches).length,
    keys: await view.keys(page),
    next: rest.length > limit ? (page.at(-1)?.id ?? null) : null,
  };
}

function servicesFor({ models }: AdminView, { service, model }: KeysQuery) {
  const asked = SERVICES.filter((one) => service === undefined || one === service);
  if (model === undefined) return asked.map((one) => ({ service: one, model: models[one][0] }));
  const found = asked.filter((one) => models[one].includes(model));
  if (found.length === 0) {
    const known = asked.flatMap((one) => models[one]).join(', ');
    throw invalidField('model', `Must be one of: ${known}.`);
  }
  return found.map((one) => ({ service: one, model }));
}
