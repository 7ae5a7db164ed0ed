import { z } from 'zod';

export type JsonObject = Readonly<Record<string, unknown>>;

/** More than any schema or persona needs; a few thousand, and nobody could write it as JSON again. */
export const MAX_DEPTH = 50;

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An object of unknown fields that goes on to a provider. */
export const jsonObject = z
  .custom<JsonObject>(isJsonObject, 'Must be an object.')
  .refine((value) => !isDeeperThan(value, MAX_DEPTH), {
    error: `Must not nest deeper than ${MAX_DEPTH}.`,
    // Nobody who looks at it afterwards has to mind the depth.
    abort: true,
  })
  .meta({ type: 'object' });

export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeperThan(part, levels - 1));
}
