import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Ids that a proxy or a client may give us: short, and harmless in a log and a header. */
const ACCEPTABLE_ID = /^[\w.:-]{1,100}$/;

/** The caller's own id of its request when it is a sane one, else a new one; on every answer. */
export function assignRequestId(request: IncomingMessage, response: ServerResponse): string {
  const given = request.headers['x-request-id'];
  const id = typeof given === 'string' && ACCEPTABLE_ID.test(given) ? given : randomUUID();
  response.setHeader('x-request-id', id);
  return id;
}
