import type { Response } from 'express';
import { z } from 'zod';
import type { Order } from '../../shared/order.ts';

const note = z.string().trim().max(200);

/** The note that an operator may add to a change. */
export const operatorNote = z.strictObject({
  by: note.optional().meta({
    description: 'Who does it, for the log. Default: the name given at the login.',
  }),
  reason: note.optional().meta({ description: 'Why, for the log.' }),
});

export type OperatorNote = z.output<typeof operatorNote>;

/** In bytes. */
export const MAX_ADMIN_BODY = 16 * 1024;

/** @param note whose `by` is by default the name given at the login */
export function orderIn({ locals }: Response, { by = '', reason = '' }: OperatorNote): Order {
  return {
    requestId: locals.requestId,
    who: by || (locals.admin?.name ?? null),
    why: reason || null,
  };
}
