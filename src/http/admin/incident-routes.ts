import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { Alerts } from '../../observability/alerts.ts';
import { incidentReport } from '../../observability/incident-report.ts';
import type { Incidents } from '../../observability/incidents.ts';
import type { Logger } from '../../shared/logger.ts';
import { validate } from '../body.ts';
import { sendJson } from '../reply.ts';
import { jsonAnswer, type Route } from '../route.ts';
import type { AdminAccess } from './admin-access.ts';

export interface IncidentRoutesOptions {
  readonly incidents: Pick<Incidents, 'list'>;
  /** Null without `ALERT_WEBHOOK_URL`. */
  readonly alerts: Pick<Alerts, 'test'> | null;
  readonly log: Logger;
}

const MAX_LISTED = 500;

const incidentsQuery = z.strictObject({
  since: z.iso
    .datetime({ offset: true, error: 'Must be a time such as 2026-11-24T18:00:00Z.' })
    .optional()
    .meta({
      description: 'Only incidents that were open at this time or began later.',
      examples: ['2026-11-24T18:00:00Z'],
    }),
});

const incidentsAnswer = z
  .strictObject({
    incidents: z.array(incidentReport).max(MAX_LISTED),
    isComplete: z.boolean().meta({
      description:
        'False while the store does not answer: only what this instance knows of is listed.',
    }),
    areAnnounced: z.boolean().meta({ description: 'Whether `ALERT_WEBHOOK_URL` is set.' }),
  })
  .meta({ id: 'Incidents' });
export type IncidentsAnswer = z.output<typeof incidentsAnswer>;

const alertTest = z
  .strictObject({
    isSent: z.boolean().meta({ description: 'Whether the receiver took the message.' }),
    status: z.int().nullable().meta({ description: 'Of the receiver. Null: no answer.' }),
    sentence: z.string(),
  })
  .meta({ id: 'AlertTest' });

/** The incidents of the last 30 days, and a test of the alert webhook. */
export const incidentRoutes = (
  access: Pick<AdminAccess, 'require'>,
  options: IncidentRoutesOptions,
): Route[] => [
  {
    method: 'get',
    path: '/api/incidents',
    id: 'listIncidents',
    tag: 'Admin',
    auth: 'admin',
    isPolled: true,
    summary: 'List the incidents with their times and the number of requests affected',
    description: `Of all instances, for 30 days; at most ${MAX_LISTED}, the newest first. A situation that lasts less than ten seconds is no incident.`,
    query: incidentsQuery,
    answer: jsonAnswer('The incidents.', incidentsAnswer),
    handlers: [
      access.require,
      async ({ query }, response) => {
        const { since } = validate(incidentsQuery, query);
        const from = since === undefined ? 0 : Date.parse(since);
        const { incidents, isComplete } = await options.incidents.list(from);
        sendJson(response, 200, {
          incidents: incidents.slice(0, MAX_LISTED),
          isComplete,
          areAnnounced: options.alerts !== null,
        });
      },
    ],
  },
  {
    method: 'post',
    path: '/api/alerts/test',
    id: 'testAlerts',
    tag: 'Admin',
    auth: 'admin',
    summary: 'Send a test message to the alert webhook',
    description: 'Once, within ten seconds. The answer says what the receiver answered.',
    answer: jsonAnswer('Whether the receiver took the message.', alertTest),
    handlers: [access.require, postTest(options)],
  },
];

function postTest({ alerts, log }: IncidentRoutesOptions): RequestHandler {
  return async function testAlerts(_request, response) {
    const { requestId, admin } = response.locals;
    log.warn({ requestId, action: 'test alerts', who: admin?.name ?? null }, 'operator');
    sendJson(response, 200, alerts === null ? NOT_SET : await alerts.test());
  };
}

const NOT_SET = { isSent: false, status: null, sentence: 'ALERT_WEBHOOK_URL is not set.' };
