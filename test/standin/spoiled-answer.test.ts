import { expect, test } from 'vitest';
import type { Fault } from '../../standin/standin.ts';
import { ask, eventsOf, read, STREAM, whole, withStandin } from './with-standin.ts';

const answer = { text: 'onetwosix' };
const startUnder = (fault: Fault) =>
  withStandin({ keys: [{ key: 'g1', service: 'google', fault }], answer });

test('a blocked prompt has feedback and no candidate', async () => {
  const { standin } = await startUnder({ kind: 'blocked_prompt' });
  const unary = await read(ask(standin));
  expect(unary.body.promptFeedback).toEqual({ blockReason: 'PROHIBITED_CONTENT' });
  expect(unary.body).not.toHaveProperty('candidates');
  const [event] = eventsOf(await (await ask(standin, { method: STREAM })).text());
  expect(event.promptFeedback.blockReason).toBe('PROHIBITED_CONTENT');
});

test.each([
  [{ kind: 'blocked_answer' }, ['one']],
  [{ kind: 'blocked_answer', after: 0 }, []],
  [{ kind: 'blocked_answer', after: 2 }, ['one', 'two']],
] as const)('a blocked answer, %j, ends with SAFETY after %j', async (fault, texts) => {
  const { standin } = await startUnder(fault);
  const events = eventsOf(await (await ask(standin, { method: STREAM })).text());
  expect(events.at(-1).candidates[0]).toMatchObject({ finishReason: 'SAFETY', index: 0 });
  expect(events.at(-1).candidates[0]).not.toHaveProperty('content');
  const sent = events.slice(0, -1).map((event) => event.candidates[0].content.parts[0].text);
  expect(sent).toEqual(texts);
});

test('an answer without candidates has its usage and nothing else to say', async () => {
  const { standin } = await startUnder({ kind: 'no_candidates' });
  const { status, body } = await read(ask(standin));
  expect(status).toBe(200);
  expect(Object.keys(body)).toEqual(['usageMetadata', 'modelVersion', 'responseId']);
});

test('an answer that used its tokens up ends with MAX_TOKENS and has no text', async () => {
  const { standin } = await startUnder({ kind: 'tokens_spent' });
  const { body } = await read(ask(standin));
  expect(body.candidates).toEqual([
    { content: { role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 },
  ]);
});

test('an empty body comes with a 200', async () => {
  const { standin } = await startUnder({ kind: 'empty_body' });
  const { status, text } = await whole(await ask(standin, { method: STREAM }));
  expect([status, text]).toEqual([200, '']);
});

test('a spoiled answer counts against the quota, as any accepted call', async () => {
  const { standin } = await withStandin({
    keys: [{ key: 'g1', service: 'google', limits: { rpm: 1 }, fault: { kind: 'blocked_prompt' } }],
  });
  expect((await ask(standin)).status).toBe(200);
  expect((await ask(standin)).status).toBe(429);
});

test('an error in mid-stream is a data line after the first chunk, then the end', async () => {
  const { standin } = await startUnder({ kind: 'error_mid_stream' });
  const events = eventsOf(await (await ask(standin, { method: STREAM })).text());
  expect(events).toHaveLength(2);
  expect(events[0].candidates).toHaveLength(1);
  expect(events[1].error).toMatchObject({ code: 503, status: 'UNAVAILABLE' });
});

test('a bare error in mid-stream is JSON without data:', async () => {
  const { standin } = await startUnder({ kind: 'bare_error_mid_stream', after: 2 });
  const parts = (await (await ask(standin, { method: STREAM })).text()).split('\r\n\r\n');
  expect(parts).toHaveLength(3);
  expect(JSON.parse(parts[2] ?? '').error.code).toBe(503);
});

test('a unary call gets the error of a broken stream alone', async () => {
  const { standin } = await startUnder({ kind: 'error_mid_stream' });
  const { status, body } = await read(ask(standin));
  expect([status, body.error.status]).toEqual([503, 'UNAVAILABLE']);
});

test('a cut stream delivers its first chunk and then breaks off', async () => {
  const { standin } = await startUnder({ kind: 'cut_mid_stream' });
  const response = await ask(standin, { method: STREAM });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader?.read())?.value).toContain('"one');
  await expect(reader?.read()).rejects.toThrow('terminated');
  expect(standin.calls[0]).toMatchObject({ status: 200, aborted: false });
});

test('a cut unary answer breaks off inside its JSON', async () => {
  const { standin } = await startUnder({ kind: 'cut_mid_stream' });
  const response = await ask(standin);
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow('terminated');
});

test('a stream that hangs after no chunk at all has sent its head', async () => {
  const { standin } = await startUnder({ kind: 'hang_mid_stream', after: 0 });
  const response = await ask(standin, { method: STREAM });
  expect(response.status).toBe(200);
  expect(standin.openRequests()).toBe(1);
  await response.body?.cancel();
  await expect.poll(standin.openRequests, { interval: 1 }).toBe(0);
});

test('a stream that hangs after its first chunk stays open until the client leaves', async () => {
  const { standin } = await startUnder({ kind: 'hang_mid_stream' });
  const leaving = new AbortController();
  const response = await ask(standin, { method: STREAM, signal: leaving.signal });
  const reader = response.body?.getReader();
  expect((await reader?.read())?.done).toBe(false);
  expect(standin.openRequests()).toBe(1);
  leaving.abort();
  await expect.poll(standin.openRequests, { interval: 1 }).toBe(0);
  expect(standin.calls[0]).toMatchObject({ status: 200, aborted: true });
});

test('a reset connection answers nothing and says so to the client', async () => {
  const { standin } = await startUnder({ kind: 'reset' });
  await expect(ask(standin)).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
  expect(standin.calls[0]).toMatchObject({ status: null, aborted: false });
});

test('a slow key answers when its time has come, not a millisecond earlier', async () => {
  const { standin, clock } = await startUnder({ kind: 'slow', ms: 3_000 });
  const asked = ask(standin);
  await expect.poll(clock.pendingTimers, { interval: 1 }).toBe(1);
  clock.advance(2_999);
  expect(clock.pendingTimers()).toBe(1);
  clock.advance(1);
  expect((await asked).status).toBe(200);
});
