import { z } from 'zod';

/** In characters; a whole body may have a megabyte. */
const MAX_TEXT_LENGTH = 200_000;
export const MAX_MESSAGES = 1000;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** What somebody said; an assistant may have said nothing. */
export const text = z
  .string()
  .max(MAX_TEXT_LENGTH)
  .refine((value) => !LONE_SURROGATE.test(value), 'Has half a character, which is no Unicode.');

export const said = text.refine(isSaid, 'Must not be empty.');

export function isSaid(value: string): boolean {
  return value.trim() !== '';
}

/** The name of a model, as callers write it. */
export const modelName = z.string().max(200);
