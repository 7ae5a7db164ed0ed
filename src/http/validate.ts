import { z } from 'zod';
import type { FieldFault } from '../failover/service-error.ts';
import { isJsonObject, type JsonObject } from '../shared/json.ts';
import { HttpError } from './errors.ts';

/**
 * How many faults are listed, and after how many faulty entries the rest of a list is not read: a body
 * could hold half a million for each megabyte.
 */
const MAX_FAULTS = 20;

/** @throws HttpError 400 that lists each fault with its path */
export function validate<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const details = result.error.issues.flatMap(toFaults).slice(0, MAX_FAULTS);
  const [first] = details;
  const at = first === undefined || first.path === '' ? '' : `${first.path}: `;
  throw new HttpError('invalid_request', `${at}${first?.message ?? 'Invalid body.'}`, { details });
}

export const invalidField = (path: string, message: string): HttpError =>
  new HttpError('invalid_request', `${path}: ${message}`, { details: [{ path, message }] });

/** What zod says of a missing field. */
const IS_MISSING = [/^Invalid input: expected .+, received undefined$/, 'Is missing.'] as const;

/** One fault for each unknown field, named by its own path. */
function toFaults(issue: z.core.$ZodIssue): FieldFault[] {
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return faultsOfUnion(issue);
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') {
    return [{ path: path.join('.'), message: issue.message.replace(...IS_MISSING) }];
  }
  return issue.keys.slice(0, MAX_FAULTS).map((key) => ({
    path: [...path, key.slice(0, 100)].join('.'),
    message: 'This field is unknown.',
  }));
}

/** The member of a union that the value comes nearest to explains best what is wrong. */
function faultsOfUnion(issue: z.core.$ZodIssueInvalidUnion): FieldFault[] {
  const [nearest = []] = issue.errors.toSorted(byDistance);
  const hasOwnMessage = issue.message !== DEFAULT_MESSAGE && depthOf(nearest) === 0;
  if (hasOwnMessage) return [{ path: issue.path.join('.'), message: issue.message }];
  return nearest.flatMap((one) => toFaults({ ...one, path: [...issue.path, ...one.path] }));
}

type Issues = readonly z.core.$ZodIssue[];

/** The deeper and the fewer the faults, the nearer. */
const byDistance = (a: Issues, b: Issues) => depthOf(b) - depthOf(a) || a.length - b.length;

const depthOf = (issues: Issues) => Math.max(...issues.map(({ path }) => path.length));

/** What zod says of a union without a message. */
const DEFAULT_MESSAGE = 'Invalid input';

/** More than any schema or persona needs. `JSON.stringify` fails on a few thousand levels. */
const MAX_DEPTH = 50;

export function isTooDeep(value: unknown, levels = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isTooDeep(part, levels - 1));
}

/** An object of unknown fields that goes on to a provider. */
export const jsonObject = z
  .custom<JsonObject>(isJsonObject, 'Must be an object.')
  .refine((value) => !isTooDeep(value), {
    error: `Must not nest deeper than ${MAX_DEPTH}.`,
    // Later checks may then recurse without a limit.
    abort: true,
  })
  .meta({ type: 'object' });

/** A JSON object that is described elsewhere. */
export const linked = (id: string, url: string) =>
  z.looseObject({}).meta({ id, description: `[Reference](${url})`, externalDocs: { url } });

/** For the OpenAPI document: the schema of a list does not show what it is made of. */
export const listShapes = new WeakMap<object, { readonly item: z.ZodType; readonly max: number }>();

/** A list that stops reading after {@link MAX_FAULTS} faulty entries, as `z.array` does not. */
export function listOf<T>(item: z.ZodType<T>, max: number) {
  const list = z
    .custom<readonly unknown[]>(Array.isArray, 'Must be a list.')
    .refine(({ length }) => length <= max, {
      error: `Must not have more than ${max} entries.`,
      // Else later checks would look at entries that were not read.
      abort: true,
    });
  listShapes.set(list, { item, max });
  return list.transform((values, context): T[] => {
    const read: T[] = [];
    let faulty = 0;
    for (const [index, value] of values.entries()) {
      const result = item.safeParse(value);
      if (result.success) read.push(result.data);
      else {
        addIssues(context, index, result.error.issues);
        faulty += 1;
      }
      if (faulty === MAX_FAULTS) break;
    }
    return read;
  });
}

function addIssues(context: z.RefinementCtx, index: number, issues: Issues): void {
  for (const issue of issues) {
    context.issues.push({ ...issue, path: [index, ...issue.path] } as z.core.$ZodRawIssue);
  }
}
