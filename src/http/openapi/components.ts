import type { z } from 'zod';
import type { JsonObject } from '../../shared/json.ts';
import { toJsonSchema } from './json-schema.ts';

/** The schemas that have a title stand here once; whoever uses them refers to them. */
export class Components {
  readonly #schemas = new Map<string, z.ZodType>();

  /** @throws Error when another schema has the same title */
  refer(schema: z.ZodType): JsonObject {
    const title = schema.meta()?.title;
    if (title === undefined) return toJsonSchema(schema);
    const known = this.#schemas.get(title) ?? schema;
    if (known !== schema) throw new Error(`two schemas are called ${title}`);
    this.#schemas.set(title, schema);
    return { $ref: `#/components/schemas/${title}` };
  }

  /** By their titles. */
  get schemas(): JsonObject {
    const described = [...this.#schemas].map(([title, schema]) => [title, toJsonSchema(schema)]);
    return Object.fromEntries(described);
  }
}
