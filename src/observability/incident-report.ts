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
    description: 'When or how it was expected to end; follows the word "until".',
  }),
};

export const incidentReport = z
  .strictObject({
    ...fields,
    from: time,
    to: time.nullable().meta({ description: 'Null: it has not ended.' }),
    requestsAffected,
    isNotified: z.boolean().meta({ description: 'Whether its beginning was announced.' }),
  })
  .meta({ id: 'Incident', description: 'Something that was wrong for a while.' });
export type IncidentReport = z.output<typeof incidentReport>;

/** An announcement. `claimed`: the instance `by` is sending it. `beat` grows with each renewal of the claim. */
const notice = z.object({
  state: z.enum(['claimed', 'sent', 'failed']),
  by: text,
  beat: z.int(),
  at: z.number(),
  /** How many keys it named. */
  keysInAll: z.int(),
});
export type Notice = z.output<typeof notice>;

/** An incident in the store. Times are milliseconds since the epoch, by the clock of the instance that wrote them. */
const storedIncident = z.object({
  ...fields,
  /** The id of its situation. A situation has at most one open incident. */
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

/** Null: another version wrote it, and it cannot be read. */
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
