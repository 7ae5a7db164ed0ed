import { z } from 'zod';

/** After so many faulty entries the rest is not read: a body could hold half a million for each megabyte. */
const MAX_FAULTY = 20;

interface ListShape {
  readonly item: z.ZodType;
  readonly max: number;
}

const shapes = new WeakMap<object, ListShape>();

/** What a list is made of, for whoever describes it: its schema alone does not tell. */
export const shapeOfList = (schema: object): ListShape | null => shapes.get(schema) ?? null;

/** A list of at most so many things of one kind. */
export function listOf<T>(item: z.ZodType<T>, max: number) {
  const list = z
    .custom<readonly unknown[]>(Array.isArray, 'Must be a list.')
    .refine(({ length }) => length <= max, {
      error: `Must not have more than ${max} entries.`,
      // Or others would go on to look at what nobody has read.
      abort: true,
    });
  shapes.set(list, { item, max });
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
      if (faulty === MAX_FAULTY) break;
    }
    return read;
  });
}

function addIssues(
  context: z.RefinementCtx,
  index: number,
  issues: readonly z.core.$ZodIssue[],
): void {
  for (const issue of issues) {
    context.issues.push({ ...issue, path: [index, ...issue.path] } as z.core.$ZodRawIssue);
  }
}
