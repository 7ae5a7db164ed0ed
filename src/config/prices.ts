import { z } from 'zod';
import { isJsonObject } from '../shared/json.ts';
import type { ModelPrice, Prices } from '../shared/prices.ts';
import { fileText, isModelName, parsed } from './setting-kinds.ts';

const MAX_MODELS = 1000;
const MAX_PRICE = 1e6;
const CURRENCY = /^[A-Z]{3}$/;
const CURRENCY_FAULT = 'must be three capital letters, such as USD';
const PRICE_FAULT = `must be a number from 0 to ${MAX_PRICE}`;

const amount = z.number(PRICE_FAULT).min(0, PRICE_FAULT).max(MAX_PRICE, PRICE_FAULT);

const asObject: z.core.$ZodErrorMap = ({ code }) =>
  code === 'invalid_type' ? 'must be an object' : undefined;

const modelPrice = z
  .strictObject(
    {
      input: amount.default(0),
      output: amount.default(0),
      cached: amount.exactOptional(),
      thoughts: amount.exactOptional(),
      request: amount.default(0),
    },
    { error: asObject },
  )
  .transform(
    ({ cached, thoughts, ...price }): ModelPrice => ({
      ...price,
      cached: cached ?? price.input,
      thoughts: thoughts ?? price.output,
    }),
  );

const models = z
  .record(z.string().refine(isModelName), modelPrice, {
    error: ({ code }) =>
      code === 'invalid_key' ? 'is not the name of a model' : 'must be an object',
  })
  .refine((byModel) => Object.keys(byModel).length <= MAX_MODELS, {
    error: `must not name more than ${MAX_MODELS} models`,
  });

const pricesFile = z.strictObject(
  { currency: z.string(CURRENCY_FAULT).regex(CURRENCY, CURRENCY_FAULT), models },
  { error: asObject },
);

/** The path of a JSON file with the prices of models. All faults of the file are reported together. */
export const prices = fileText
  .pipe(parsed(isJsonObject, 'must be the path of a JSON file with an object'))
  .transform((value, context): Prices => {
    const { data, error } = pricesFile.safeParse(value);
    for (const fault of error?.issues.flatMap(toFaults) ?? []) context.addIssue(fault);
    return data === undefined
      ? z.NEVER
      : { currency: data.currency, models: new Map(Object.entries(data.models)) };
  });

/** A name in the file may be a text that belongs elsewhere: its beginning is enough to find it. */
const MAX_NAME = 40;

function toFaults(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.map((part) => String(part).slice(0, MAX_NAME)).join(' → ');
  const at = path === '' ? '' : `${path} `;
  if (issue.code !== 'unrecognized_keys') return [`${at}${issue.message}`];
  return issue.keys.map((key) => `${at}has an unknown field "${key.slice(0, MAX_NAME)}"`);
}
