import { isJsonObject, type JsonObject } from '../../shared/json.ts';

/** Adds the type that a schema of parameters may leave out. Removes `$schema`, which MCP servers send and Gemini refuses. */
export function toParameters({ $schema: _, ...schema }: JsonObject): JsonObject {
  return { ...withoutReferences(schema), type: 'object' };
}

/**
 * Replaces each reference by the schema that it names. Gemini accepts no other keyword beside a reference, and resolves
 * references to `$defs` only (https://ai.google.dev/api/generate-content#generationconfig); pydantic and zod
 * write `{"$ref": "#/$defs/place", "description": "…"}`, older ones `#/definitions/place`.
 *
 * @returns the schema itself where it has no reference, where one names nothing, and where it would grow too large
 */
export function withoutReferences(schema: JsonObject): JsonObject {
  if (!hasReference(schema)) return schema;
  let left = MAX_SIZE;
  const resolve = (value: unknown, depth: number): unknown => {
    // Only a schema that refers to itself reaches this depth.
    left -= depth > MAX_DEPTH ? MAX_SIZE : sizeOf(value);
    if (left < 0 || typeof value !== 'object' || value === null) return value;
    const inside = (part: unknown) => resolve(part, depth + 1);
    return Array.isArray(value) ? value.map(inside) : replace(value as JsonObject, inside);
  };
  const replace = (value: JsonObject, inside: (part: unknown) => unknown): JsonObject => {
    const { $ref: reference, ...others } = value;
    if (typeof reference !== 'string') return mapValues(value, inside);
    const named = placeIn(schema, reference);
    if (!isJsonObject(named)) left = -1;
    return { ...(inside(named) as object), ...mapValues(others, inside) };
  };
  const { $defs: _, definitions: __, ...root } = schema;
  const resolved = resolve(root, 0) as JsonObject;
  return left < 0 ? schema : resolved;
}

/** In characters and values. */
const MAX_SIZE = 1_000_000;
const MAX_DEPTH = 500;

const sizeOf = (value: unknown) => (typeof value === 'string' ? value.length : 1);

function hasReference(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return typeof (value as JsonObject).$ref === 'string' || Object.values(value).some(hasReference);
}

const mapValues = (value: object, change: (part: unknown) => unknown): JsonObject =>
  Object.fromEntries(Object.entries(value).map(([name, part]) => [name, change(part)]));

/** @param reference such as `#/$defs/place` */
function placeIn(schema: JsonObject, reference: string): unknown {
  const [document, ...steps] = reference.split('/');
  if (document !== '#') return undefined;
  return steps.reduce<unknown>((value, step) => {
    const name = decodeStep(step);
    return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  }, schema);
}

/** https://datatracker.ietf.org/doc/html/rfc6901#section-4 */
const decodeStep = (step: string) => step.replaceAll('~1', '/').replaceAll('~0', '~');
