import { z } from 'zod';
import { isJsonObject, type JsonObject } from '../../shared/json.ts';
import { shapeOfList } from '../validate.ts';

/** A JSON schema of what the given one accepts. */
export function toJsonSchema(schema: z.ZodType): JsonObject {
  const { $schema, ...described } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io: 'input',
    // What these are is said by their metadata, or below.
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      Object.assign(jsonSchema, describeList(zodSchema));
      dropSafeBounds(jsonSchema);
      closeToUnknown(jsonSchema);
    },
  });
  return described;
}

function describeList(schema: object): JsonObject {
  const list = shapeOfList(schema);
  if (list === null) return {};
  return { type: 'array', items: toJsonSchema(list.item), maxItems: list.max };
}

/** A field that may only be null is none that anybody would send; generated types could not say so. */
function closeToUnknown(schema: { additionalProperties?: unknown }): void {
  const { additionalProperties: others } = schema;
  if (isJsonObject(others) && others.type === 'null') schema.additionalProperties = false;
}

/** That JavaScript cannot count further is nothing that a caller needs to know. */
function dropSafeBounds(schema: { maximum?: unknown; minimum?: unknown }): void {
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
}
