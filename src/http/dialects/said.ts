import { z } from 'zod';

export const MAX_MESSAGES = 1000;
/** Of one message. */
export const MAX_PARTS = 1000;

/** What a person said. The limit of the whole body is the only one on its length. */
export const text = z.string();

/**
 * What an assistant said, be it nothing. We have given it out ourselves, so it is taken back as it is:
 * whoever sends its history along could not mend it.
 */
export const spoken = z.string();

export const said = text.refine(isSaid, 'Must not be empty.').meta({ pattern: '\\S' });

export function isSaid(value: string): boolean {
  return value.trim() !== '';
}

const PREFIXES = /^(?:(?:models|google)\/)+/;

/** The name of a model, without `models/` and `google/`, which some callers write before it. */
export const modelName = z
  .string()
  .max(200)
  .transform((name) => name.replace(PREFIXES, ''));
