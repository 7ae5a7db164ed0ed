import type { z } from 'zod';

/**
 * A schema of exactly what a type says. It does not compile when one of the two has a field, or a
 * word of a closed set, that the other lacks; a field that may be left out is not missed.
 */
export const exactly =
  <T>() =>
  <S extends z.ZodType>(schema: S & (IsSame<z.output<S>, T> extends true ? unknown : never)): S =>
    schema;

/** Whether each may stand for the other; what is read-only does not matter on the wire. */
type IsSame<A, B> = [Writable<A>, Writable<B>] extends [Writable<B>, Writable<A>] ? true : false;

type Writable<T> = { -readonly [K in keyof T]: Writable<T[K]> };
