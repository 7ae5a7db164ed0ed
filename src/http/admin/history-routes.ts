import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import { history, requestReport } from '../../observability/reports.ts';
import { DAY_MS } from '../../shared/clock.ts';
import { invalidField, validate } from '../body.ts';
import { HttpError } from '../errors.ts';
import { sendJson } from '../reply.ts';
import { jsonAnswer, type Route } from '../route.ts';
import type { AdminAccess } from './admin-access.ts';

/** The last day by minutes, and single requests. */
export function historyRoutes(
  access: AdminAccess,
  view: Pick<AdminView, 'history' | 'request'>,
): Route[] {
  const reading = { method: 'get', tag: 'Admin', auth: 'admin', isPolled: true } as const;
  return [
    {
      ...reading,
      path: '/api/history',
      id: 'getHistory',
      summary: 'See what became of the requests of the last day',
      description:
        'Sums of all instances. A point is as many whole minutes long as it takes for 360 points at most.',
      query: historyQuery,
      answer: jsonAnswer('The points. Minutes before the start of the process are empty.', history),
      handlers: [
        access.require,
        async ({ query }, response) => {
          const { from, to } = readSpan(query);
          sendJson(response, 200, await view.history(from, to));
        },
      ],
    },
    {
      ...reading,
      path: '/api/requests/{id}',
      id: 'getRequest',
      summary: 'See what was tried for one request',
      description:
        'Of any instance. Requests are forgotten: the latest 50 are known, the latest 500 that were refused, broken off or needed several attempts, and the latest five of each group of failures in the overview.',
      params: z.object({ id: z.string().meta({ examples: ['my-request-1'] }) }),
      answer: jsonAnswer('The request with its last ten attempts.', requestAnswer),
      errors: ['not_found'],
      handlers: [
        access.require,
        async ({ params }, response) => {
          const request = await view.request(String(params.id));
          if (request === null) throw new HttpError('not_found', NOT_KNOWN);
          sendJson(response, 200, { request });
        },
      ],
    },
  ];
}

const NOT_KNOWN =
  'This request is not known. It is older, or it was refused before it needed a key: the log has it under its requestId.';

const requestAnswer = z.strictObject({ request: requestReport }).meta({ id: 'RequestAnswer' });

const time = z.iso.datetime({
  offset: true,
  error: 'Must be a time such as 2026-11-24T18:20:00Z.',
});

const historyQuery = z.strictObject({
  from: time.optional().meta({ description: 'Default: a day before `to`.' }),
  to: time.optional().meta({ description: 'Default: now.' }),
});

/** @throws HttpError 400 that names the field */
function readSpan(query: unknown) {
  const given = validate(historyQuery, query);
  const [from, to] = [given.from, given.to].map((one) =>
    one === undefined ? null : Date.parse(one),
  );
  if (typeof from === 'number' && typeof to === 'number') {
    if (from >= to) throw invalidField('from', 'Must be before `to`.');
    if (to - from > DAY_MS) throw invalidField('from', 'Must be at most a day before `to`.');
  }
  return { from: from ?? null, to: to ?? null };
}
