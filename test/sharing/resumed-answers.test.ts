import { DefaultChatTransport, readUIMessageStream } from 'ai';
import { expect, it, vi } from 'vitest';
import { chatNameOf } from '../../src/http/running-answers.ts';
import { eventsIn } from '../support/events.ts';
import { ifInstalled } from '../support/installed.ts';
import { type Instance, startInstance, startProviders } from '../support/instances.ts';
import { REDIS_SERVER, type RedisServer, startRedis } from '../support/redis.ts';

const KEYS = [{ key: 'the-only-key', service: 'google' as const }];
const ID = '3kTm8Qw2ZrV5xYbN';
const NAME = chatNameOf(ID);
const COPY = `understudy:answer:${NAME}`;
const TEXT = 'one two now red six end ';
const ANSWER = { chunks: 6, chunkMs: 100, text: TEXT };
/** An answer that outlasts each of these tests. */
const ENDLESS = { chunks: 500, chunkMs: 50, text: 'on and '.repeat(500) };
const SOON = { timeout: 5000, interval: 10 };

async function startTwo(answer = ANSWER) {
  const redis = await startRedis();
  const standin = await startProviders(KEYS, { answer });
  const start = () =>
    startInstance({
      environment: {
        GOOGLE_API_KEY: 'the-only-key',
        GOOGLE_BASE_URL: standin.url,
        REDIS_URL: redis.url,
        CHAT_RESUME: 'true',
      },
    });
  return { redis, standin, one: await start(), other: await start() };
}

const READ_ON = /$^/;

/** Asks, and leaves once this has come. */
async function askAndLeave(instance: Instance, first = /one /): Promise<void> {
  const page = new AbortController();
  const { body } = await fetch(`${instance.url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      id: ID,
      trigger: 'submit-message',
      messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'Count' }] }],
    }),
    signal: page.signal,
  });
  let text = '';
  for await (const part of body ?? []) {
    text += Buffer.from(part).toString();
    if (first.test(text)) break;
  }
  page.abort();
}

const resume = (instance: Instance, id = ID) => fetch(`${instance.url}/api/chat/${id}/stream`);

async function resumeWithClient(instance: Instance): Promise<string> {
  const transport = new DefaultChatTransport({ api: `${instance.url}/api/chat` });
  const stream = await transport.reconnectToStream({ chatId: ID });
  if (stream === null) throw new Error('nothing to resume');
  let said = '';
  for await (const { parts } of readUIMessageStream({ stream, terminateOnError: true })) {
    said = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  }
  return said;
}

const isNothingLeft = (...instances: Instance[]) =>
  vi.waitFor(async () => {
    for (const instance of instances) {
      const { status, body } = await resume(instance);
      await body?.cancel();
      expect(status).toBe(204);
    }
  }, SOON);

const lastOf = (text: string) => eventsIn(text).at(-2)?.data;

ifInstalled(REDIS_SERVER, 'with two instances', () => {
  it('a page that is reloaded at the other one gets the whole answer, and gets it once', async () => {
    const { redis, standin, one, other } = await startTwo();
    await askAndLeave(one);
    expect(await resumeWithClient(other)).toBe(TEXT);
    await isNothingLeft(other, one);
    expect(standin.calls).toHaveLength(1);
    expect(one.logs.find(({ msg }) => msg === 'request')).toMatchObject({ status: 200 });
    const names = await redis.client.keys('*answer*');
    const values = await Promise.all(names.map((name) => redis.client.dump(name)));
    expect(names.length).toBeGreaterThan(0);
    expect([...names, ...values].join()).not.toContain(ID);
  });

  it('an answer that was read to its end at its own instance is not resumed at the other one', async () => {
    const { redis, one, other } = await startTwo();
    await askAndLeave(one, READ_ON);
    // Sooner than after the second in which its connection may still close.
    await vi.waitFor(async () => expect(await redis.client.hget(COPY, 'taken')).toBe('1'), {
      timeout: 700,
      interval: 10,
    });
    expect((await resume(other)).status).toBe(204);
  });

  it('a DELETE at one ends the call of the other at once, and its readers at both', async () => {
    const { standin, one, other } = await startTwo({ ...ANSWER, chunkMs: 600_000 });
    await askAndLeave(one);
    const readers = [(await resume(one)).text(), (await resume(other)).text()];
    await fetch(`${other.url}/api/chat/${ID}/stream`, { method: 'DELETE' });
    // Sooner than its instance looks into the shared store by itself.
    await vi.waitFor(() => expect(standin.calls[0]?.aborted).toBe(true), { timeout: 1000 });
    for (const text of await Promise.all(readers)) expect(lastOf(text)).toEqual({ type: 'abort' });
    await isNothingLeft(one, other);
  });

  it('a newer answer at one takes the place of an older one at the other, whose call ends', async () => {
    const { standin, one, other } = await startTwo(ENDLESS);
    await askAndLeave(one, /on and/);
    await askAndLeave(other, /on and/);
    await vi.waitFor(
      () => expect(standin.calls.map(({ aborted }) => aborted)).toEqual([true, false]),
      SOON,
    );
    expect((await resume(one)).status).toBe(200);
  });

  it('an answer without a reader goes on while its instance stops, and the other one has all of it', async () => {
    const { one, other } = await startTwo();
    await askAndLeave(one);
    const stopped = one.stop();
    expect(await resumeWithClient(other)).toBe(TEXT);
    expect(await stopped).toBe(true);
  });

  it('an answer that its instance cannot finish ends with an error at the other one', async () => {
    const { standin, one, other } = await startTwo(ENDLESS);
    await askAndLeave(one, /on and/);
    const [stopped, text] = await Promise.all([
      one.stop(),
      resume(other).then((response) => response.text()),
    ]);
    expect(stopped).toBe(false);
    expect(text).toContain('on and');
    expect(lastOf(text)).toEqual({
      type: 'error',
      errorText: 'The server is being restarted. Please ask again.',
    });
    await vi.waitFor(() => expect(standin.calls[0]?.aborted).toBe(true), SOON);
    const line = one.logs.find(({ msg }) => msg === 'request');
    expect(line).toMatchObject({ code: 'upstream_failed' });
  });

  it('an answer whose instance has died ends with an error', async () => {
    const { redis, other } = await startTwo();
    const at = Date.now() - 20_000;
    const state = JSON.stringify({ kind: 'running' });
    await redis.client.hset(COPY, { id: 'x', state, taken: '0', at });
    await redis.client.set(`understudy:answer-text:${NAME}`, 'data: {"type":"start"}\n\n');
    const text = await (await resume(other)).text();
    expect(eventsIn(text).map(({ data }) => data)).toEqual([
      { type: 'start' },
      { type: 'error', errorText: 'The answer broke off. Please try again.' },
      '[DONE]',
    ]);
  });

  it.each([
    [
      'dies',
      (redis: RedisServer) => redis.signal('SIGKILL'),
      (redis: RedisServer) => redis.startAgain(),
    ],
    [
      'hangs',
      (redis: RedisServer) => redis.signal('SIGSTOP'),
      (redis: RedisServer) => redis.signal('SIGCONT'),
    ],
  ])(
    'whose Redis %s, an answer goes on at its own instance, and is shared again when Redis is back',
    { timeout: 30_000 },
    async (_, end, mend) => {
      const { redis, one, other } = await startTwo(ENDLESS);
      await askAndLeave(one, /on and/);
      await end(redis);
      await isNothingLeft(other);
      const page = new AbortController();
      const here = await fetch(`${one.url}/api/chat/${ID}/stream`, { signal: page.signal });
      expect(here.status).toBe(200);
      page.abort();
      await mend(redis);
      await vi.waitFor(
        async () => {
          const { status, body } = await resume(other);
          await body?.cancel();
          expect(status).toBe(200);
        },
        { timeout: 10_000, interval: 50 },
      );
    },
  );
});
