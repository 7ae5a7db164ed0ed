import type { RequestHandler } from 'express';
import { z } from 'zod';
import {
  USAGE_COUNTS,
  USAGE_DIMENSIONS,
  type UsageReport,
  usageReport,
} from '../../observability/reports.ts';
import type { UsageStats } from '../../observability/usage.ts';
import { StoreUnavailableError } from '../../shared/durable-store.ts';
import { invalidField, validate } from '../body.ts';
import { HttpError } from '../errors.ts';
import { sendJson } from '../reply.ts';
import type { Route } from '../route.ts';
import { CSV, sendCsv } from './csv.ts';

/** The usage as JSON and as CSV. */
export const usageRoutes = (guard: RequestHandler, usage: UsageStats): Route[] => [
  {
    method: 'get',
    path: '/api/usage',
    id: 'getUsage',
    tag: 'Admin',
    auth: 'admin',
    isPolled: true,
    summary: 'See what each client has used, by day, key and model',
    description:
      'Of the last 30 days and of all instances. What other instances have counted in the last seconds may be missing.',
    query: usageQuery,
    answer: {
      description: 'The sums, sorted by their names.',
      content: { 'application/json': usageReport, [CSV]: z.string() },
    },
    errors: ['store_unavailable'],
    handlers: [guard, getUsage(usage)],
  },
];

const DAY_FAULT = 'Must be a day, such as 2026-11-01.';
const BY_FAULT = `Must be a list of ${USAGE_DIMENSIONS.join(', ')}, separated by commas.`;
const day = z.iso.date(DAY_FAULT);

const usageQuery = z.strictObject({
  from: day.optional().meta({
    description: 'The first day, in UTC. Default: so that the last is the thirtieth.',
    examples: ['2026-11-01'],
  }),
  to: day.optional().meta({
    description: 'The last day, in UTC. Default: today.',
    examples: ['2026-11-30'],
  }),
  by: z
    .string()
    .default('day')
    .refine((text) => listed(text).every(isDimension), BY_FAULT)
    .meta({
      description: 'What the rows are for: day, client, key and model, separated by commas.',
      examples: ['day,client'],
    }),
  format: z.enum(['json', 'csv']).optional().meta({
    description: '`csv` is for spreadsheets. Default: what the request accepts.',
  }),
});

const listed = (text: string) => text.split(',').map((name) => name.trim());
const isDimension = (name: string) => USAGE_DIMENSIONS.some((dimension) => dimension === name);

function getUsage(usage: UsageStats): RequestHandler {
  return async function sendUsage(request, response) {
    const { from, to, by, format } = validate(usageQuery, request.query);
    if (from !== undefined && to !== undefined && from > to) {
      throw invalidField('from', 'Must not be after `to`.');
    }
    const names = listed(by);
    const dimensions = USAGE_DIMENSIONS.filter((name) => names.includes(name));
    const report = await usage.report({ from, to, by: dimensions }).catch(explain);
    const accepted = request.accepts(['application/json', CSV]);
    const isTable = (format ?? (accepted === CSV ? 'csv' : 'json')) === 'csv';
    if (isTable) sendCsv(response, fileName(report), tableOf(report));
    else sendJson(response, 200, report);
  };
}

function explain(error: unknown): never {
  if (!(error instanceof StoreUnavailableError)) throw error;
  const message = 'The store does not answer. Nothing is lost: try again soon.';
  throw new HttpError('store_unavailable', message, { cause: error });
}

/** The name of a file whose rows are cut says so. */
const fileName = ({ from, to, isCut, rows }: UsageReport) =>
  `usage-${from}-to-${to}${isCut ? `-first-${rows.length}-rows` : ''}.csv`;

function tableOf({ by, rows, currency }: UsageReport) {
  const columns = [...by, ...USAGE_COUNTS, 'cost'] as const;
  return [
    [...columns, 'currency'],
    ...rows.map((row) => [...columns.map((column) => row[column]), currency]),
  ];
}
