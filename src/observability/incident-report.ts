import { z } from 'zod';
import { isoTime } from '../shared/clock.ts';
import type { StoredDocument } from '../shared/durable-store.ts';
import { parseJson } from '../shared/json.ts';
import { count, situationFields, time } from './reports.ts';

const text = z.string();
const { requestsAffected, ...kept } = situationFields;
const fields = {
  id: text.min(1),
  ...kept,
  remedy: text.meta({ description: 'What to do.' }),
  untilText: text.nullable().meta({
    description: 'When or how it was expected to end; reads on after "until".',
  }),
};

export const incidentReport = z
  .strictObject({
    ...fields,
    from: time,
    to: time.nullable().meta({ description: 'Null: it goes on.' }),
    requestsAffected,
    isNotified: z.boolean().meta({ description: 'Whether its beginning was announced.' }),
  })
  .meta({ id: 'Incident', description: 'Something that was wrong for a while.' });
export type IncidentReport = z.output<typeof incidentReport>;

/** An announcement. `claimed`: this instance sends it. `beat` grows while it still tries to. */
const notice = z.object({
  state: z.enum(['claimed', 'sent', 'failed']),
  by: text,
  beat: z.int(),
  at: z.number(),
  /** How many keys it named. */
  keysInAll: z.int(),
});
export type Notice = z.output<typeof notice>;

/** As it is stored. Times are milliseconds since the epoch, by the clock of an instance that saw it. */
const storedIncident = z.object({
  ...fields,
  /** The id of its situation: there is one open incident of each. */
  subject: text,
  from: z.number(),
  /** When an instance last saw it. */
  seenAt: z.number(),
  to: z.number().nullable(),
  /** Requests, by the instance that refused them. */
  affected: z.record(text, count),
  notices: z.object({
    began: notice.optional(),
    updated: notice.optional(),
    ended: notice.optional(),
  }),
});
export type StoredIncident = z.output<typeof storedIncident>;

/** Null for one of another version that cannot be read. */
export function readIncident({ text }: StoredDocument): StoredIncident | null {
  return storedIncident.safeParse(parseJson(text)).data ?? null;
}

export function reportIncident(stored: StoredIncident): IncidentReport {
  const { subject: _, seenAt: __, notices, affected, from, to, ...incident } = stored;
  return {
    ...incident,
    from: isoTime(from),
    to: to === null ? null : isoTime(to),
    requestsAffected: Object.values(affected).reduce((sum, requests) => sum + requests, 0),
    isNotified: notices.began?.state === 'sent',
  };
}
