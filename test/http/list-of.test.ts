import { expect, it } from 'vitest';
import { z } from 'zod';
import { listOf } from '../../src/http/body.ts';

it('stops after twenty faulty entries', () => {
  let looked = 0;
  const never = z.custom(() => {
    looked += 1;
    return false;
  });
  const { error } = listOf(never, 1_000_000).safeParse(Array(500_000).fill(1));
  expect([looked, error?.issues.length, error?.issues[0]?.path]).toEqual([20, 20, [0]]);
});

it('reads the valid entries, and reports the others by index', () => {
  const list = listOf(z.object({ a: z.string() }), 3);
  expect(list.parse([{ a: 'x' }])).toEqual([{ a: 'x' }]);
  expect(list.safeParse([{ a: 'x' }, { a: 1 }]).error?.issues[0]?.path).toEqual([1, 'a']);
  expect(list.safeParse([1, 2, 3, 4]).error?.issues[0]?.message).toMatch(/more than 3/);
  expect(list.safeParse('no list').error?.issues[0]?.message).toBe('Must be a list.');
});
