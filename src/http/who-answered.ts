import type { Response } from 'express';
import type { AnsweredBy } from '../failover/failover-request.ts';

/** Which attempt of the request has answered: more than 1 says that another key or model has stepped in, or one has come back. */
export const ATTEMPTS_HEADER = 'understudy-attempts';
/** The id of the key that has answered, for whoever runs the server alone. */
const KEY_HEADER = 'understudy-key';

export function tellWhoAnswered(
  response: Response,
  { key, attempts }: Pick<AnsweredBy, 'key' | 'attempts'>,
): void {
  response.setHeader(ATTEMPTS_HEADER, String(attempts));
  if (response.locals.admin !== undefined) response.setHeader(KEY_HEADER, key);
}
