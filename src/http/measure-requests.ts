import type { RequestHandler } from 'express';
import type { Metrics } from '../observability/metrics.ts';
import type { Clock } from '../shared/clock.ts';
import { statusOf } from './access-log.ts';
import { routeOf } from './route-of.ts';

/** Tells how long each answer took, once it is out or nobody waits for it any more. */
export function measureRequests(
  { requestAnswered }: Pick<Metrics, 'requestAnswered'>,
  clock: Pick<Clock, 'now'>,
): RequestHandler {
  return function measureRequest(request, response, next) {
    const startedAt = clock.now();
    response.once('close', () =>
      requestAnswered({
        method: request.method,
        route: routeOf(request),
        status: statusOf(response),
        ms: clock.now() - startedAt,
      }),
    );
    next();
  };
}
