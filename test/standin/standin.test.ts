import { expect, test } from 'vitest';
import { logCall, StandinCall } from '../../standin/call-log.ts';
import { ask, STREAM, withStandin } from './with-standin.ts';

const KEYS = [
  { key: 'g1', service: 'google' },
  { key: 'a1', service: 'anam' },
] as const;

test('a call is logged with its key, model, time, status and body', async () => {
  const { standin, clock } = await withStandin({ keys: KEYS });
  await ask(standin, { said: 'remember me' });
  expect(standin.calls).toHaveLength(1);
  expect(standin.calls[0]).toMatchObject({
    key: 'g1',
    service: 'google',
    path: '/v1beta/models/gemini-flash-latest:generateContent',
    model: 'gemini-flash-latest',
    at: clock.now(),
    status: 200,
    aborted: false,
    body: { contents: [{ role: 'user', parts: [{ text: 'remember me' }] }] },
  });
});

test('calls are counted for each key, unknown keys included', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  await ask(standin);
  await ask(standin);
  await ask(standin, { key: 'unknown' });
  expect([standin.callsOf('g1'), standin.callsOf('a1'), standin.callsOf('unknown')]).toEqual([
    2, 0, 1,
  ]);
});

test('a client that hangs up is noticed: its timers are gone and its call is aborted', async () => {
  const answer = { firstChunkMs: 10_000 };
  const { standin, clock } = await withStandin({ keys: KEYS, answer });
  const leaving = new AbortController();
  const asked = ask(standin, { method: STREAM, signal: leaving.signal });
  await expect.poll(clock.pendingTimers, { interval: 1 }).toBe(1);
  expect(standin.openRequests()).toBe(1);
  leaving.abort();
  await expect(asked).rejects.toThrow('aborted');
  await expect.poll(standin.openRequests, { interval: 1 }).toBe(0);
  expect(clock.pendingTimers()).toBe(0);
  expect(standin.calls[0]).toMatchObject({ status: null, aborted: true });
});

test('a large stream waits for a client that reads slowly, and arrives whole', async () => {
  const text = 'x'.repeat(16_000_000);
  const answer = { chunks: 4, chunkMs: 1, text };
  const { standin, clock } = await withStandin({ keys: KEYS, answer });
  const response = await ask(standin, { method: STREAM });
  const reading = response.text();
  for (let wait = 0; wait < 3; wait += 1) {
    await expect.poll(clock.pendingTimers, { interval: 1, timeout: 10_000 }).toBe(1);
    clock.advance(1);
  }
  expect((await reading).length).toBeGreaterThan(16_000_000);
});

test('closing ends answers that hang', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  standin.setFault('g1', { kind: 'hang' });
  const asked = ask(standin);
  await expect.poll(standin.openRequests, { interval: 1 }).toBe(1);
  await Promise.all([standin.close(), expect(asked).rejects.toThrow('fetch failed')]);
  await expect.poll(standin.openRequests, { interval: 1 }).toBe(0);
  await expect(ask(standin)).rejects.toThrow('fetch failed');
});

test('a port that is taken is an error at the start', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const port = Number(new URL(standin.url).port);
  await expect(withStandin({ keys: KEYS, port })).rejects.toThrow('EADDRINUSE');
});

test('a browser may call every route', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const preflight = await fetch(`${standin.url}/v1/engine/session`, { method: 'OPTIONS' });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-headers')).toContain('authorization');
  expect((await ask(standin)).headers.get('access-control-allow-origin')).toBe('*');
  expect(standin.calls).toHaveLength(1);
});

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

test('of a body longer than 64 KB only the length is kept, and one that is no JSON is none', () => {
  const call = callAt(0);
  expect(call.body).toBeUndefined();
  call.keepBody(JSON.stringify('x'.repeat(65_535)));
  expect(call.body).toBeUndefined();
  expect(call.bodyLength).toBe(65_537);
  call.keepBody(JSON.stringify('x'.repeat(65_534)));
  expect(call.body).toHaveLength(65_534);
  call.keepBody('no json');
  expect(call.body).toBeUndefined();
});
