import type { Response } from 'express';
import { z } from 'zod';
import type { Order } from '../../shared/order.ts';

const note = z.string().trim().max(200);

/** What an operator may say of an action. */
export const operatorNote = z.strictObject({
  by: note.optional().meta({
    description: 'Who does it, for the log. Default: the name given at the login.',
  }),
  reason: note.optional().meta({ description: 'Why, for the log.' }),
});

export type OperatorNote = z.output<typeof operatorNote>;

/** In bytes. */
export const MAX_ADMIN_BODY = 16 * 1024;

/** The name given at the login is the default. */
export function orderIn({ locals }: Response, { by = '', reason = '' }: OperatorNote): Order {
  return {
    requestId: locals.requestId,
    who: by || (locals.admin?.name ?? null),
    why: reason || null,
  };
}
