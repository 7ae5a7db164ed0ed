import type { JsonObject } from './json.ts';

/** More than any schema or persona needs. `JSON.stringify` fails on a few thousand levels. */
export const MAX_DEPTH = 50;

export function isTooDeep(value: unknown, levels = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  const parts: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return parts.some((part) => isTooDeep(part, levels - 1));
}

/** Of schemas within each other, where each reference leads one deeper or more. */
const MAX_DEPTH_WITH_REFERENCES = 10 * MAX_DEPTH;

/**
 * Whether a JSON schema has a reference that leads back to a schema it is part of: Gemini cannot write
 * what refers to itself. Looks at each place of the schema once, however many references lead there.
 *
 * @param schema not too deep
 */
export function refersToItself(schema: JsonObject): boolean {
  const open = new Set<object>();
  const followed = new Set<object>();
  const leadsBack = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null || followed.has(value)) return false;
    if (open.has(value) || open.size > MAX_DEPTH_WITH_REFERENCES) return true;
    open.add(value);
    const isCircular = leadsBack(referredBy(value, schema)) || Object.values(value).some(leadsBack);
    open.delete(value);
    followed.add(value);
    return isCircular;
  };
  return leadsBack(schema);
}

/** @returns undefined where it refers to nothing in the schema */
function referredBy(value: object, schema: JsonObject): unknown {
  const { $ref: reference } = value as JsonObject;
  const isPlace = typeof reference === 'string' && /^#(?:\/|$)/.test(reference);
  return isPlace ? placeIn(schema, reference) : undefined;
}

/** @param reference such as `#/$defs/node` */
function placeIn(schema: JsonObject, reference: string): unknown {
  const [, ...steps] = reference.split('/');
  return steps.reduce<unknown>(
    (value, step) => (typeof value === 'object' ? value?.[toKey(step) as keyof object] : undefined),
    schema,
  );
}

const toKey = (step: string) => step.replaceAll('~1', '/').replaceAll('~0', '~');
