import { isJsonObject, type JsonObject } from '../../shared/json.ts';

/** What the schemas of one request may grow to, all together, when their references are replaced. */
export interface SchemaRoom {
  left: number;
}

/** As {@link sizeOf} measures it. */
export const SCHEMA_ROOM = 4_000_000;

/** Adds the type that a schema of parameters may leave out. Removes `$schema`, which MCP servers send and Gemini refuses. */
export function toParameters({ $schema: _, ...schema }: JsonObject, room: SchemaRoom): JsonObject {
  return { ...withoutReferences(schema, room), type: 'object' };
}

/**
 * Replaces each reference by the schema that it names. Gemini accepts no other keyword beside a reference, and resolves
 * references to `$defs` only (https://ai.google.dev/api/generate-content#generationconfig); pydantic and zod
 * write `{"$ref": "#/$defs/place", "description": "…"}`, older ones `#/definitions/place`.
 *
 * @returns the schema itself where it has no reference, where one names nothing, and where there is no room for what
 *   it would become
 */
export function withoutReferences(schema: JsonObject, room: SchemaRoom): JsonObject {
  if (!hasReference(schema)) return schema;
  let isWhole = true;
  const resolve = (value: unknown, depth: number): unknown => {
    room.left -= sizeOf(value);
    // Only a schema that refers to itself reaches this depth.
    isWhole &&= room.left >= 0 && depth <= MAX_DEPTH;
    if (!isWhole || typeof value !== 'object' || value === null) return value;
    const inside = (part: unknown) => resolve(part, depth + 1);
    return Array.isArray(value) ? value.map(inside) : replace(value as JsonObject, inside);
  };
  const replace = (value: JsonObject, inside: (part: unknown) => unknown): JsonObject => {
    const { $ref: reference, ...others } = value;
    if (typeof reference !== 'string') return mapValues(value, inside);
    const named = placeIn(schema, reference);
    isWhole &&= isJsonObject(named);
    return { ...(inside(named) as object), ...mapValues(others, inside) };
  };
  const { $defs: _, definitions: __, ...root } = schema;
  const resolved = resolve(root, 0) as JsonObject;
  return isWhole ? resolved : schema;
}

const MAX_DEPTH = 500;
/** What a value takes besides its letters. */
const SIZE_OF_VALUE = 20;

/** In letters, those of the names included: a short reference may stand for many of either. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return SIZE_OF_VALUE + value.length;
  if (!isJsonObject(value)) return SIZE_OF_VALUE;
  const { $ref: reference } = value;
  const names = Object.keys(value).reduce((sum, name) => sum + name.length, 0);
  return SIZE_OF_VALUE + names + (typeof reference === 'string' ? reference.length : 0);
}

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
