import { z } from 'zod';
import type { ChatTool } from '../shared/chat.ts';
import { isJsonObject, type JsonObject } from '../shared/json.ts';
import { isTooDeep, MAX_DEPTH, refersToItself } from '../shared/json-schema.ts';
import { fileText, parsed, reject } from './setting-kinds.ts';

const MAX_TOOLS = 128;
const NAME = /^[A-Za-z_][\w.:-]{0,63}$/;
const NAME_FAULT =
  'must be 1 to 64 letters, digits and the signs _ . : - and must begin with a letter or _';

const parameters = z
  .custom<JsonObject>(isJsonObject, { error: 'must be a JSON schema, an object', abort: true })
  .refine((schema) => !isTooDeep(schema), {
    error: `must not nest deeper than ${MAX_DEPTH}`,
    abort: true,
  })
  .refine((schema) => !refersToItself(schema), 'must not refer to itself by $ref');

const tool = z.strictObject(
  {
    name: z.string(NAME_FAULT).regex(NAME, NAME_FAULT),
    description: z.string('must be a text').exactOptional(),
    parameters: parameters.exactOptional(),
    needsApproval: z.boolean('must be true or false').default(false),
  },
  { error: ({ code }) => (code === 'invalid_type' ? 'must be an object' : undefined) },
);

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

/** The path of a JSON file that lists tools. All faults of the file are reported together. */
export const chatTools = fileText
  .pipe(parsed(isList, 'must be the path of a JSON file with a list of tools'))
  .transform((entries, context): readonly ChatTool[] => {
    if (entries.length > MAX_TOOLS) return reject(context, `lists more than ${MAX_TOOLS} tools`);
    const names = new Set<unknown>();
    return entries.flatMap((entry, index): ChatTool[] => {
      const { data, error } = tool.safeParse(entry);
      const faults = [...(error?.issues.flatMap(toFaults) ?? []), ...repeated(entry, names)];
      for (const fault of faults) context.addIssue(`entry ${index + 1}: ${fault}`);
      return data === undefined ? [] : [data];
    });
  });

function repeated(entry: unknown, names: Set<unknown>): readonly string[] {
  if (!isJsonObject(entry) || typeof entry.name !== 'string') return [];
  if (names.has(entry.name)) return ['name is that of an earlier entry'];
  names.add(entry.name);
  return [];
}

function toFaults(issue: z.core.$ZodIssue): string[] {
  if (issue.code !== 'unrecognized_keys') return [[...issue.path, issue.message].join(' ')];
  return issue.keys.map((key) => `"${key.slice(0, 40)}" is no field of a tool`);
}
