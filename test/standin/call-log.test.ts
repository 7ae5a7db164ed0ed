import { expect, test } from 'vitest';
import { logCall, StandinCall } from '../../standin/call-log.ts';

const callAt = (at: number) =>
  new StandinCall({ key: 'g1', service: 'google', path: '/', model: '', at });

test('the last ten thousand calls are kept, newest last, and never more than eleven', () => {
  const calls: StandinCall[] = [];
  for (let at = 0; at < 25_500; at += 1) logCall(calls, callAt(at));
  expect(calls.length).toBe(10_500);
  expect(calls.at(-1)?.at).toBe(25_499);
  expect(calls[0]?.at).toBe(15_000);
  for (let at = 25_500; at < 26_000; at += 1) logCall(calls, callAt(at));
  expect(calls.length).toBe(10_000);
});

test('a body longer than 64 KB is not kept, and one that is no JSON is none', () => {
  const call = callAt(0);
  expect(call.body).toBeUndefined();
  call.keepBody(JSON.stringify('x'.repeat(65_535)));
  expect(call.body).toBeUndefined();
  call.keepBody(JSON.stringify('x'.repeat(65_534)));
  expect(call.body).toHaveLength(65_534);
  call.keepBody('no json');
  expect(call.body).toBeUndefined();
});
