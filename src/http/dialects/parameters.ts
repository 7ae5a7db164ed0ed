import { z } from 'zod';
import { isJsonObject } from '../../shared/json.ts';
import { invalidField } from '../body.ts';

const MAX_PARAMETERS = 100;

/** @throws HttpError when a body has more parameters than any protocol knows */
export function refuseTooManyParameters(body: unknown): unknown {
  const hasTooMany = isJsonObject(body) && Object.keys(body).length > MAX_PARAMETERS;
  if (hasTooMany) throw invalidField('', `At most ${MAX_PARAMETERS} parameters are read.`);
  return body;
}

/** A parameter that never changes the answer. */
export const ignored = z.unknown().optional();

/** A parameter that would change the answer. */
export const unsupported = z.null('This parameter is not supported.').optional();

/** A parameter with one accepted value, which changes nothing. */
export const only = <const Value extends string | number | boolean>(value: Value) =>
  z.literal(value, `Only ${value} is supported.`).nullish();

export const isGiven = <T>(value: T): value is NonNullable<T> =>
  value !== undefined && value !== null;

type WithoutGaps<T> = { [K in keyof T]?: NonNullable<T[K]> };

/** Leaves out the fields without a value. */
export function withoutGaps<T extends object>(fields: T): WithoutGaps<T> {
  const given: WithoutGaps<T> = {};
  for (const name in fields) {
    const value = fields[name];
    if (isGiven(value)) given[name] = value;
  }
  return given;
}
