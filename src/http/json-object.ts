import { z } from 'zod';
import { isJsonObject, type JsonObject } from '../shared/json.ts';

/** More than any schema or persona needs; a few thousand, and nobody could write it as JSON again. */
export const MAX_DEPTH = 50;

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
