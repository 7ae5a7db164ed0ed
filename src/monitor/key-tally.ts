import { z } from 'zod';
import { FAILURES } from './closed-sets.ts';

const lastError = z.object({
  /** Milliseconds since the epoch. */
  at: z.number(),
  kind: z.enum(FAILURES),
  model: z.string(),
  /** In the provider's words, without any key. */
  message: z.string(),
  /** The HTTP status, where the provider answered. */
  status: z.number().nullable(),
});

const operatorAction = z.object({
  action: z.enum(['release', 'park']),
  /** Null where nobody said. */
  who: z.string().nullable(),
  why: z.string().nullable(),
  /** Milliseconds since the epoch. */
  at: z.number(),
});

/** What one process has counted of the calls with one key since its start. */
export const keyTally = z.object({
  /** Calls that have not ended yet. */
  inFlight: z.number(),
  calls: z.number(),
  successes: z.number(),
  failures: z.partialRecord(z.enum(FAILURES), z.number()),
  /** Milliseconds until the first piece of each answer of late. */
  firstMs: z.array(z.number()),
  lastError: lastError.nullable(),
  lastAction: operatorAction.nullable(),
});

export type KeyTally = Readonly<z.output<typeof keyTally>>;
export type LastError = Readonly<z.output<typeof lastError>>;
/** What a person has done to a key. */
export type OperatorAction = Readonly<z.output<typeof operatorAction>>;

/** What several processes have counted of one key, as if it were one. */
export const addKeyTallies = (tallies: readonly KeyTally[]): KeyTally => ({
  inFlight: sum(tallies.map(({ inFlight }) => inFlight)),
  calls: sum(tallies.map(({ calls }) => calls)),
  successes: sum(tallies.map(({ successes }) => successes)),
  failures: addFailures(tallies),
  firstMs: tallies.flatMap(({ firstMs }) => firstMs),
  lastError: latestOf(tallies.map((tally) => tally.lastError)),
  lastAction: latestOf(tallies.map((tally) => tally.lastAction)),
});

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);

function addFailures(tallies: readonly KeyTally[]): KeyTally['failures'] {
  const failures: KeyTally['failures'] = {};
  for (const kind of FAILURES) {
    const count = sum(tallies.map((tally) => tally.failures[kind] ?? 0));
    if (count > 0) failures[kind] = count;
  }
  return failures;
}

const latestOf = <Event extends { readonly at: number }>(
  events: readonly (Event | null)[],
): Event | null =>
  events.reduce(
    (latest, event) => (event !== null && event.at >= (latest?.at ?? event.at) ? event : latest),
    null,
  );
