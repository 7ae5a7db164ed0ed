import { z } from 'zod';

/** What workers and their primary call what they say to each other of keys. */
export const TOPICS = {
  news: 'keys.news',
  tell: 'keys.tell',
  claim: 'keys.claim',
  some: 'keys.some',
  shelf: 'common.shelf',
  hit: 'common.hit',
} as const;

const name = z.string();
const named = z.object({ name, record: z.string() });

/** Both ends are of one version, but for the time of a rolling restart. */
export const SAID = {
  news: z.array(named.extend({ isTrialOver: z.boolean() })),
  records: z.array(z.string()),
  named: z.array(named),
  reports: z.array(named.extend({ frees: z.boolean(), outlivesMs: z.number() })),
  claim: z.object({ scopes: z.array(named), holdMs: z.number() }),
  claimAnswer: z.discriminatedUnion('isGranted', [
    z.object({ isGranted: z.literal(true) }),
    z.object({ isGranted: z.literal(false), retryMs: z.number(), records: z.array(named) }),
  ]),
  page: z.object({ from: z.number(), count: z.number() }),
  shelf: z.discriminatedUnion('act', [
    z.object({ act: z.literal('put'), name, text: z.string(), ms: z.number() }),
    z.object({ act: z.literal('get'), name }),
    z.object({ act: z.literal('take'), name, ms: z.number() }),
    z.object({ act: z.literal('giveBack'), name }),
  ]),
  text: z.string().nullable(),
  taken: z.boolean(),
  hit: z.object({ counter: z.string(), name, windowMs: z.number() }),
  hits: z.object({ total: z.number(), leftMs: z.number() }),
};
