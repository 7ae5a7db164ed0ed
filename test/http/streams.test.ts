import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import type { AnswerShape } from '../../standin/standin-key.ts';
import { eventsIn } from '../support/events.ts';
import { type App, flow, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const EVENTS = { accept: 'text/event-stream' };
const MODEL = 'gemini-flash-latest';

/** The first key has the fault, the second none. */
const startWith = (fault: Fault | null, answer: AnswerShape = {}) =>
  startApp({
    environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
    standin: {
      answer,
      keys: [
        { key: 'g-one', service: 'google', ...(fault === null ? {} : { fault }) },
        { key: 'g-two', service: 'google' },
      ],
    },
  });

const ask = (app: App, more = {}, headers: Record<string, string> = EVENTS) =>
  flow(app.clock, app.post('/api/chat', { message: 'Hi', ...more }, headers));

/** An answer that is read by hand, piece by piece. */
async function open(app: App) {
  const sent = request(`${app.url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...EVENTS },
  });
  sent.end(JSON.stringify({ message: 'Hi' }));
  const [response] = await once(sent, 'response');
  return { sent, response };
}

describe('a streamed answer', () => {
  it.each([
    ['asked for by Accept', {}, EVENTS],
    ['asked for by the body', { stream: true }, {}],
  ])('%s has deltas and one done event', async (_, more, headers: Record<string, string>) => {
    const app = await startWith(null, { chunks: 3, text: 'one two three' });
    const answer = await ask(app, more, headers);
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    expect(answer.headers.get('x-accel-buffering')).toBe('no');
    const events = eventsIn(answer.text);
    expect(events.map(({ event }) => event)).toEqual(['delta', 'delta', 'delta', 'done']);
    const deltas = events.slice(0, -1).map(({ data }) => data.text);
    expect(deltas.join('')).toBe('one two three');
    expect(events.at(-1)?.data).toEqual({
      model: MODEL,
      finishReason: 'stop',
      usage: { inputTokens: 1, outputTokens: 4, totalTokens: 5 },
      requestId: answer.headers.get('x-request-id'),
    });
  });

  it.each([
    ['the body says no, whatever Accept says', { stream: false }, EVENTS],
    ['anything is accepted', {}, { accept: '*/*' }],
    ['both are accepted', {}, { accept: 'application/json, text/event-stream' }],
  ])('is not sent when %s', async (_, more, headers) => {
    const app = await startWith(null);
    expect((await ask(app, more, headers)).body).toMatchObject({ reply: 'You said: Hi' });
  });

  it('sends its first chunk before the second has come', async () => {
    const app = await startWith(null, { chunks: 2, text: 'one two', chunkMs: 1000 });
    const { response } = await open(app);
    const [first] = await once(response, 'data');
    expect(eventsIn(String(first))).toEqual([{ event: 'delta', data: { text: 'one' } }]);
    app.clock.advance(1000);
    const rest = await textOf(response);
    expect(eventsIn(rest).map(({ event }) => event)).toEqual(['delta', 'done']);
  });

  it('sends a comment after each 15 s of silence', async () => {
    const app = await startWith(null, { chunks: 2, text: 'one two', chunkMs: 29_000 });
    const { response } = await open(app);
    await once(response, 'data');
    app.clock.advance(14_999);
    let heard = '';
    response.on('data', (bytes: Buffer) => {
      heard += bytes;
    });
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    expect(heard).toBe('');
    app.clock.advance(1);
    await vi.waitFor(() => expect(heard).toBe(': keep-alive\n\n'));
    app.clock.advance(14_000);
    await once(response, 'end');
    expect(app.clock.pendingTimers()).toBe(0);
  });
});

describe('a stream whose key fails', () => {
  it('before its first chunk goes on with another key', async () => {
    const app = await startWith({ kind: 'day_spent' });
    const answer = await ask(app);
    expect(answer.status).toBe(200);
    expect(eventsIn(answer.text).at(-1)?.event).toBe('done');
    expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
    await vi.waitFor(() =>
      expect(app.logs).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ msg: 'attempt', outcome: 'quota_exhausted' }),
          expect.objectContaining({ msg: 'request', key: 'google-2', attempts: 2 }),
          expect.objectContaining({
            msg: 'another key stepped in',
            tried: [
              expect.objectContaining({ key: 'google', outcome: 'quota_exhausted' }),
              expect.objectContaining({ key: 'google-2', outcome: 'success' }),
            ],
          }),
        ]),
      ),
    );
  });

  it.each<[string, Fault['kind'], string]>([
    ['is cut', 'cut_mid_stream', 'upstream_failed'],
    ['says an error', 'error_mid_stream', 'upstream_failed'],
    ['says an error that is no event', 'bare_error_mid_stream', 'upstream_failed'],
    ['falls silent', 'hang_mid_stream', 'upstream_timeout'],
  ])('and %s in the middle ends in one error, without another key', async (_, kind, code) => {
    const app = await startWith({ kind } as Fault, {
      chunks: 3,
      text: 'one two three',
      chunkMs: 10,
    });
    const answer = await ask(app);
    const requestId = answer.headers.get('x-request-id');
    expect([answer.status, eventsIn(answer.text)]).toEqual([
      200,
      [
        { event: 'delta', data: { text: 'one ' } },
        { event: 'error', data: { code, message: expect.stringMatching(/again/), requestId } },
      ],
    ]);
    expect(app.standin.calls).toHaveLength(1);
    expect(app.logs.find(({ msg }) => msg === 'request')).toMatchObject({ status: 200, code });
    expect((await flow(app.clock, app.chat('Still there?'))).status).toBe(200);
    expect(app.clock.pendingTimers()).toBe(0);
  });

  it('before its first chunk, on every key, is refused as JSON', async () => {
    const app = await startWith({ kind: 'day_spent' });
    app.standin.setFault('g-two', { kind: 'day_spent' });
    const { status, body } = await ask(app);
    expect([status, body.error.code]).toEqual([503, 'all_keys_exhausted']);
  });
});

describe('a streamed answer without text', () => {
  it('that the provider blocked is a sentence', async () => {
    const app = await startWith({ kind: 'blocked_prompt' });
    const events = eventsIn((await ask(app)).text);
    expect(events).toMatchObject([
      { event: 'delta', data: { text: expect.stringMatching(/different way/) } },
      { event: 'done', data: { finishReason: 'content-filter' } },
    ]);
  });

  it('that was blocked halfway ends with the reason', async () => {
    const app = await startWith({ kind: 'blocked_answer' }, { chunks: 3, text: 'one two three' });
    expect(eventsIn((await ask(app)).text)).toMatchObject([
      { event: 'delta', data: { text: 'one ' } },
      { event: 'done', data: { finishReason: 'content-filter' } },
    ]);
  });

  it('that used up its tokens ends with that reason', async () => {
    const app = await startWith({ kind: 'tokens_spent' });
    expect(eventsIn((await ask(app)).text)).toMatchObject([
      { event: 'done', data: { finishReason: 'length' } },
    ]);
  });
});

describe('a client of a stream', () => {
  it('that disconnects aborts the call to the provider, parks nothing and leaves no timer', async () => {
    const app = await startWith(null, { chunks: 2, text: 'one two', chunkMs: 20_000 });
    const { sent, response } = await open(app);
    await once(response, 'data');
    sent.destroy();
    await vi.waitFor(() => expect(app.standin.calls.at(-1)?.aborted).toBe(true));
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
    expect(await app.counts()).toMatchObject({ available: 2 });
    expect(app.logs.find(({ msg }) => msg === 'request')).toMatchObject({ status: 499 });
    expect(app.logs.filter(({ level }) => level >= 40)).toEqual([]);
  });

  it('that does not read is cut off after two minutes', async () => {
    const app = await startWith(null, { chunks: 48, text: 'x'.repeat(24_000_000) });
    const startedAt = app.clock.now();
    const { response } = await open(app);
    response.pause();
    response.on('error', () => {});
    const told = vi.waitFor(
      () => expect(app.logs.find(({ msg }) => msg === 'request')).toMatchObject({ status: 499 }),
      10_000,
    );
    await whileTimePasses(app.clock, told, 100);
    expect(app.clock.now() - startedAt).toBeGreaterThanOrEqual(120_000);
    expect(app.logs.find(({ msg }) => msg === 'attempt')).toMatchObject({ outcome: 'client_gone' });
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });
});

describe('two streams on one connection', () => {
  const twice = (app: App, asked: object = { message: 'Hi', stream: true }) => {
    const body = JSON.stringify(asked);
    const head = `POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`${head}${body}${head}${body}`);
    return socket;
  };

  it('both end when their client disconnects', async () => {
    const app = await startWith(null, { chunks: 2, text: 'one two', chunkMs: 20_000 });
    const socket = twice(app);
    await once(socket, 'data');
    await vi.waitFor(() => expect(app.standin.calls).toHaveLength(2));
    socket.destroy();
    await vi.waitFor(() =>
      expect(app.standin.calls.map(({ aborted }) => aborted)).toEqual([true, true]),
    );
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
    expect(app.logs.filter(({ msg }) => msg === 'request')).toMatchObject([
      { status: 499 },
      { status: 499 },
    ]);
  });

  it('are sent one after the other, however long the first takes', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
      standin: {
        keys: [
          { key: 'g-one', service: 'google', answer: { chunks: 6, chunkMs: 20_000 } },
          { key: 'g-two', service: 'google' },
        ],
      },
    });
    const socket = twice(app);
    let heard = '';
    socket.on('data', (bytes: Buffer) => {
      heard += bytes;
    });
    const both = vi.waitFor(() => expect(heard.split('event: done')).toHaveLength(3), 5000);
    await whileTimePasses(app.clock, both, 100);
    socket.destroy();
  });

  it('of plain text end with the connection when the second has broken off behind the first', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
      standin: {
        answer: { text: 'one two three' },
        keys: [
          { key: 'g-one', service: 'google', answer: { chunkMs: 20_000 } },
          { key: 'g-two', service: 'google', fault: { kind: 'cut_mid_stream' } },
        ],
      },
    });
    const socket = twice(app, { messages: [{ role: 'user', content: 'Hi' }] });
    let heard = '';
    socket.on('data', (bytes: Buffer) => {
      heard += bytes;
    });
    await whileTimePasses(app.clock, once(socket, 'close'), 100);
    const [first, second] = heard.split(/(?<=\r\n0\r\n\r\n)/);
    expect(first).toContain('three');
    expect(second).toMatch(/^HTTP\/1\.1 200 OK\r\n.*one \r\n$/s);
    expect(app.clock.pendingTimers()).toBe(0);
  });
});

describe('thoughts between chunks', () => {
  it('do not count as silence', async () => {
    const app = await startWith(null);
    const upstream = createServer((_request, response) => {
      const say = (part: object, more = {}) =>
        response.write(
          `data: ${JSON.stringify({ candidates: [{ content: { parts: [part] }, ...more }] })}\r\n\r\n`,
        );
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      say({ text: 'one' });
      for (let turn = 1; turn < 5; turn += 1) {
        app.clock.after(turn * 20_000, () => say({ text: 'hm', thought: true }));
      }
      app.clock.after(100_000, () => {
        say({ text: ' two' }, { finishReason: 'STOP' });
        response.end();
      });
    }).listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const { port } = upstream.address() as AddressInfo;
    const other = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_BASE_URL: `http://127.0.0.1:${port}` },
      clock: app.clock,
    });
    const answer = await whileTimePasses(app.clock, other.chat('Hi'), 100);
    expect([answer.status, answer.body.reply]).toEqual([200, 'one two']);
    upstream.close();
  });
});
