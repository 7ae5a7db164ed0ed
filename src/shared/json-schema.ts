import type { JsonObject } from './json.ts';

/** More than any schema or persona needs. `JSON.stringify` fails on a few thousand levels. */
export const MAX_DEPTH = 50;

export function isTooDeep(value: unknown, levels = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isTooDeep(part, levels - 1));
}

/**
 * Whether a JSON schema has a reference that leads back to a schema it is part of: Gemini cannot write
 * what refers to itself. Follows each reference to a place in the schema once.
 *
 * @param schema not too deep
 */
export function refersToItself(schema: JsonObject): boolean {
  const open = new Set<string>();
  const followed = new Set<string>();
  const leadsBack = (reference: string): boolean => {
    if (open.has(reference) || open.size > MAX_DEPTH) return true;
    if (followed.has(reference)) return false;
    open.add(reference);
    const isCircular = referencesIn(placeIn(schema, reference)).some(leadsBack);
    open.delete(reference);
    followed.add(reference);
    return isCircular;
  };
  return leadsBack('#');
}

function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { $ref: reference } = value as JsonObject;
  const own = typeof reference === 'string' && reference.startsWith('#') ? [reference] : [];
  return [...own, ...Object.values(value).flatMap(referencesIn)];
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
