import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { ask, CALLERS, type Caller, GEMINI_CALLER } from '../support/chat-callers.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import {
  answerOf,
  CHUNKED,
  chunked,
  head,
  type RawCall,
  type RawUpstream,
  startRawUpstream,
} from '../support/raw-upstream.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const ONE_KEY = { GOOGLE_API_KEY: 'g-one' };
const TWO_KEYS = { ...ONE_KEY, GOOGLE_API_KEY_2: 'g-two' };
const EVERY_CALLER: readonly (readonly [string, Caller])[] = [
  ...Object.entries(CALLERS),
  ['Gemini', GEMINI_CALLER],
];

const piece = (text: string, finishReason?: string) =>
  `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text }] }, finishReason }] })}\n\n`;
const GOOD = answerOf([piece('Hello', 'STOP')]);
const good = ({ reply }: RawCall) => reply(GOOD);

async function start(environment: Record<string, string>, answer: RawUpstream['answer'] = good) {
  const upstream = await startRawUpstream(answer);
  const addresses = { GOOGLE_BASE_URL: upstream.url, ANAM_BASE_URL: upstream.url };
  const more = { ...addresses, CLIENT_TOKENS: CLIENT_TOKEN };
  return { upstream, app: await startApp({ environment: { ...environment, ...more } }) };
}

/** Leaves this many idle connections. */
async function warmUp(app: App, upstream: RawUpstream, connections = 1): Promise<void> {
  const held: RawCall[] = [];
  upstream.answer = (call) => {
    held.push(call);
    if (held.length === connections) held.forEach(good);
  };
  const asked = Array.from({ length: connections }, () => ask(app, CALLERS.chat));
  for (const { status } of await Promise.all(asked)) expect(status).toBe(200);
  expect([upstream.connections(), upstream.busy()]).toEqual([connections, 0]);
  upstream.answer = good;
  await delay(5);
}

const keysOf = ({ calls }: RawUpstream) => calls.map(({ key }) => key);
const attemptsIn = (app: App) =>
  app.logs.filter(({ msg, outcome }) => msg === 'attempt' && outcome !== 'success');

async function expectNothingParked(app: App, keys: number): Promise<void> {
  const counts = { total: keys, available: keys, cooling_down: 0, exhausted: 0 };
  expect(await app.counts()).toEqual(counts);
}

describe('a connection to the provider', () => {
  it('is kept from one chat to the next, in every protocol', async () => {
    const { app, upstream } = await start(TWO_KEYS);
    for (const [, caller] of [...EVERY_CALLER, ...EVERY_CALLER]) {
      expect((await ask(app, caller)).status).toBe(200);
      await delay(5);
    }
    expect([upstream.connections(), upstream.open()]).toEqual([1, 1]);
  });
});

const CLOSINGS: readonly [string, (call: RawCall) => void][] = [
  ['ended', ({ socket }) => void socket.end()],
  ['reset', ({ socket }) => void socket.resetAndDestroy()],
];

describe.each(CLOSINGS)(
  'a kept connection that is %s at the first byte of a request',
  (_, close) => {
    it.each(EVERY_CALLER)(
      'is replaced at once, with the same key and without a failure: %s',
      async (_, caller) => {
        const { app, upstream } = await start(TWO_KEYS);
        await warmUp(app, upstream);
        upstream.begin = (call) => {
          if (call.turn > 1) close(call);
        };
        const { status, text, headers } = await ask(app, caller);
        expect([status, text]).toEqual([200, expect.stringContaining('Hello')]);
        if (caller !== GEMINI_CALLER) expect(headers.get('understudy-attempts')).toBe('1');
        expect(keysOf(upstream)).toEqual(['g-one', 'g-two', 'g-two']);
        expect(upstream.connections()).toBe(2);
        expect(attemptsIn(app)).toEqual([]);
        expect(app.logs.filter(({ level }) => level >= 40)).toEqual([]);
        await expectNothingParked(app, 2);
      },
    );

    it.each([
      ['one request', 1],
      ['more requests at once', 4],
    ])('is replaced although every other one has gone the same way: %s', async (_, requests) => {
      const { app, upstream } = await start(TWO_KEYS);
      await warmUp(app, upstream, 3);
      upstream.begin = (call) => {
        if (call.turn > 1) close(call);
      };
      const asked = Array.from({ length: requests }, () => ask(app, CALLERS.chat));
      for (const { status, headers } of await Promise.all(asked)) {
        expect([status, headers.get('understudy-attempts')]).toEqual([200, '1']);
      }
      expect(attemptsIn(app)).toEqual([]);
      await expectNothingParked(app, 2);
    });

    it('is replaced once: when the new one is closed too, another key steps in', async () => {
      const { app, upstream } = await start(TWO_KEYS);
      await warmUp(app, upstream);
      upstream.begin = (call) => {
        if (call.key === 'g-two') close(call);
      };
      const { status, headers } = await ask(app, CALLERS.chat);
      expect([status, headers.get('understudy-attempts')]).toEqual([200, '2']);
      expect(keysOf(upstream)).toEqual(['g-one', 'g-two', 'g-two', 'g-one']);
      expect(attemptsIn(app)).toMatchObject([{ key: 'google-2', outcome: 'upstream_down' }]);
      await expectNothingParked(app, 2);
    });

    it('is replaced once: with one key the answer is a 502', async () => {
      const { app, upstream } = await start(ONE_KEY);
      await warmUp(app, upstream);
      upstream.begin = close;
      expect((await ask(app, CALLERS.chat)).status).toBe(502);
      expect(upstream.connections()).toBe(2);
      await expectNothingParked(app, 1);
      upstream.begin = () => {};
      expect((await ask(app, CALLERS.chat)).status).toBe(200);
    });

    it('is upstream trouble when it is new', async () => {
      const { app, upstream } = await start(TWO_KEYS);
      upstream.begin = (call) => {
        if (upstream.connections() === 1) close(call);
      };
      const { status, headers } = await ask(app, CALLERS.chat);
      expect([status, headers.get('understudy-attempts')]).toEqual([200, '2']);
      expect(keysOf(upstream)).toEqual(['g-one', 'g-two']);
      expect(attemptsIn(app)).toMatchObject([{ key: 'google', outcome: 'upstream_down' }]);
      await expectNothingParked(app, 2);
    });

    it('is upstream trouble when some of the answer has come', async () => {
      const { app, upstream } = await start(TWO_KEYS);
      await warmUp(app, upstream);
      upstream.answer = (call) => {
        if (call.turn === 1) good(call);
        else call.socket.write(`${head(CHUNKED)}${chunked([piece('Hel')])}`, () => close(call));
      };
      const { status, headers } = await ask(app, CALLERS.chat);
      expect([status, headers.get('understudy-attempts')]).toEqual([200, '2']);
      expect(keysOf(upstream)).toEqual(['g-one', 'g-two', 'g-one']);
      await expectNothingParked(app, 2);
    });

    it('is not replaced for the start of an avatar session, which may have begun', async () => {
      const token = JSON.stringify({ sessionToken: 't-1' });
      const minted = `${head({ 'content-type': 'application/json', 'content-length': `${token.length}` })}${token}`;
      const { app, upstream } = await start({ ANAM_API_KEY: 'a-one' }, ({ reply }) =>
        reply(minted),
      );
      const asked = await flow(app.clock, app.post('/api/anam/session-token', {}));
      expect(asked.body).toEqual({ sessionToken: 't-1' });
      await delay(5);
      upstream.begin = close;
      const authorization = { authorization: 'Bearer t-1' };
      const started = app.post('/api/anam/v1/engine/session', {}, authorization);
      expect((await flow(app.clock, started)).status).toBe(502);
      expect(upstream.calls.map(({ path, turn }) => [path, turn])).toEqual([
        ['/v1/auth/session-token', 1],
        ['/v1/engine/session', 2],
      ]);
    });
  },
);

describe('kept connections that are closed just before a request', () => {
  it.each<[string, (call: RawCall) => void]>([
    ...CLOSINGS,
    ['told of a timeout', ({ socket }) => socket.end(head({}, '408 Request Timeout'))],
  ])('are replaced without a failure: %s', async (_, close) => {
    const { app, upstream } = await start(TWO_KEYS);
    await warmUp(app, upstream, 3);
    upstream.calls.forEach(close);
    const { status, headers } = await ask(app, CALLERS.chat);
    expect([status, headers.get('understudy-attempts')]).toEqual([200, '1']);
    expect(attemptsIn(app)).toEqual([]);
    await vi.waitFor(() => expect(upstream.open()).toBe(1));
  });
});

describe('50 clients who hang up', () => {
  const silent = () => {};
  const begun = ({ socket }: RawCall) =>
    void socket.write(`${head(CHUNKED)}${chunked([piece('Hel')])}`);
  it.each([
    ['a chat before its answer', CALLERS.chat, silent],
    ['a chat in the middle of its answer', CALLERS.chat, begun],
    ['a stream before its answer', CALLERS['chat, streamed'], silent],
    ['a stream', CALLERS['chat, streamed'], begun],
    ['a streamed completion', CALLERS['completion, streamed'], begun],
    ['a stream of Gemini', GEMINI_CALLER, begun],
  ] as const)('on %s abort their calls and leave no connection', async (_, caller, answer) => {
    const { app, upstream } = await start(TWO_KEYS);
    await warmUp(app, upstream);
    upstream.answer = answer;
    let answered = 0;
    const clients = Array.from({ length: 50 }, () => {
      const { headers, body } = caller.request;
      const client = request(app.url + caller.path, { method: 'POST', headers, agent: false });
      client.on('error', () => {});
      client.on('response', (response) => {
        response.on('error', () => {});
        response.once('data', () => {
          answered += 1;
        });
      });
      return client.end(body);
    });
    await vi.waitFor(() => expect(upstream.busy()).toBe(50), 5000);
    const isStream = caller !== CALLERS.chat && answer === begun;
    await vi.waitFor(() => expect(answered).toBe(isStream ? 50 : 0), 5000);
    const connections = upstream.connections();
    for (const client of clients) {
      client.destroy();
      await delay(1);
    }
    await vi.waitFor(() => expect(upstream.busy()).toBe(0), 5000);
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0), 5000);
    await delay(20);
    expect([upstream.open(), upstream.connections()]).toEqual([0, connections]);
    const requests = app.logs.filter(({ msg, status }) => msg === 'request' && status === 499);
    expect(requests).toHaveLength(50);
    await expectNothingParked(app, 2);
    upstream.answer = good;
    expect((await ask(app, CALLERS.chat)).status).toBe(200);
    expect(upstream.open()).toBe(1);
  });
});
