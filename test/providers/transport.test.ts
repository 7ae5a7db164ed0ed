import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { Agent, type Dispatcher } from 'undici';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createGemini } from '../../src/providers/gemini/gemini.ts';
import { type Exchange, SdkExchange } from '../../src/providers/gemini/transport.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { createRedact } from '../../src/shared/redact.ts';
import { Secret } from '../../src/shared/secret.ts';

const MAX_REFUSAL_BYTES = 65_536;
const MEGABYTE = 2 ** 20;

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A provider that answers as the test says; it counts its connections. */
async function startServer(listener: Listener) {
  const sockets = new Set<Socket>();
  const requests: { body: string; headers: IncomingMessage['headers']; url: string }[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.once('end', () => {
      requests.push({ body, headers: request.headers, url: request.url ?? '' });
      listener(request, response);
    });
  });
  server.on('connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  closing.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const dispatcher = new Agent({ bodyTimeout: 0, headersTimeout: 0 });
  closing.push(() => dispatcher.destroy());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    dispatcher,
    connections: () => connections,
    open: () => sockets.size,
  };
}

type Server = Awaited<ReturnType<typeof startServer>>;

/** One exchange, asked for as the SDK asks. */
function begin(
  { url, dispatcher }: { url: string; dispatcher: Dispatcher },
  signal = new AbortController().signal,
) {
  const exchange = new SdkExchange(dispatcher, signal);
  const ask = () =>
    exchange.fetch(`${url}/v1beta/models/m:streamGenerateContent?alt=sse`, {
      method: 'POST',
      headers: new Headers({ 'content-type': 'application/json', 'x-goog-api-key': 'g-one' }),
      body: '{"contents":[]}',
    });
  return { exchange, ask };
}

/** The reader that the SDK gets by piping the body through a decoder. */
function readerOf(response: Response) {
  const body = response.body?.pipeThrough(new TextDecoderStream());
  if (body === undefined) throw new Error('an answer without a body');
  return body.getReader();
}

async function readAll(response: Response): Promise<string> {
  const reader = readerOf(response);
  let text = '';
  for (let read = await reader.read(); !read.done; read = await reader.read()) text += read.value;
  return text;
}

const event = (text: string, finishReason?: string) =>
  `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text }] }, finishReason }] })}\r\n\r\n`;

describe('one exchange', () => {
  it('sends what the SDK gave it, and hands back the answer as text', async () => {
    const server = await startServer((_, response) => response.end('data: für 🦉\r\n\r\n'));
    const { ask, exchange } = begin(server);
    const response = await ask();
    expect([response.ok, response.status]).toEqual([true, 200]);
    expect(await readAll(response)).toBe('data: für 🦉\r\n\r\n');
    expect(server.requests).toEqual([
      {
        url: '/v1beta/models/m:streamGenerateContent?alt=sse',
        body: '{"contents":[]}',
        headers: expect.objectContaining({
          'content-type': 'application/json',
          'x-goog-api-key': 'g-one',
        }),
      },
    ]);
    expect([exchange.refusal, exchange.networkError]).toEqual([null, null]);
  });

  it('hands back each piece when it comes, not only at the end', async () => {
    let response: ServerResponse | undefined;
    const server = await startServer((_, theirs) => {
      response = theirs;
      theirs.write('one');
    });
    const { ask } = begin(server);
    const reader = readerOf(await ask());
    expect(await reader.read()).toEqual({ done: false, value: 'one' });
    response?.end('two');
    expect(await reader.read()).toEqual({ done: false, value: 'two' });
    expect((await reader.read()).done).toBe(true);
  });

  it('keeps the status, the headers and the body of a refusal', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(429, { 'Retry-After': '7', 'X-Two': ['a', 'b'] }).end('{"error":{}}');
    });
    const { ask, exchange } = begin(server);
    await expect(ask()).rejects.toThrow();
    expect(exchange.refusal).toEqual({
      status: 429,
      headers: expect.objectContaining({ 'retry-after': '7', 'x-two': ['a', 'b'] }),
      body: '{"error":{}}',
    });
    expect(exchange.networkError).toBeNull();
  });

  it.each([300, 302, 304, 400, 404, 500, 503])('takes %i for a refusal', async (status) => {
    const server = await startServer((_, response) => {
      response.writeHead(status, { location: '/elsewhere' }).end();
    });
    const { ask, exchange } = begin(server);
    await expect(ask()).rejects.toThrow();
    expect(exchange.refusal?.status).toBe(status);
    expect(server.requests).toHaveLength(1);
  });

  it('keeps no more than 64 KB of a refusal, and uses its connection again', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(500).end(Buffer.alloc(5 * MEGABYTE, 'x'));
    });
    const first = begin(server);
    await expect(first.ask()).rejects.toThrow();
    const kept = first.exchange.refusal?.body.length ?? 0;
    expect(kept).toBeLessThanOrEqual(MAX_REFUSAL_BYTES);
    expect(kept).toBeGreaterThan(MAX_REFUSAL_BYTES / 2);
    await nextTurn();
    await expect(begin(server).ask()).rejects.toThrow();
    expect(server.connections()).toBe(1);
  });

  it('keeps all of a refusal of exactly 64 KB', async () => {
    const body = `${'x'.repeat(MAX_REFUSAL_BYTES - 1)}y`;
    const server = await startServer((_, response) => response.writeHead(400).end(body));
    const { ask, exchange } = begin(server);
    await expect(ask()).rejects.toThrow();
    expect(exchange.refusal?.body).toBe(body);
  });

  it.each([
    ['before its head', (response: ServerResponse) => response.socket?.resetAndDestroy()],
    [
      'in the middle',
      (response: ServerResponse) => {
        response.writeHead(200, { 'content-length': 100 });
        response.write('data: half', () => response.socket?.destroySoon());
      },
    ],
  ])('tells what the network said when it breaks off %s', async (_, breakOff) => {
    const server = await startServer((_request, response) => void breakOff(response));
    const { ask, exchange } = begin(server);
    await expect(ask().then(readAll)).rejects.toThrow();
    expect(exchange.networkError).toMatchObject({ code: expect.stringMatching(/./) });
    expect(exchange.refusal).toBeNull();
  });

  it('keeps what has come of a refusal that breaks off: its status says more than the missing end', async () => {
    const server = await startServer((_request, response) => {
      response.writeHead(429, { 'content-length': 100 });
      response.write('half', () => response.socket?.destroySoon());
    });
    const { ask, exchange } = begin(server);
    await expect(ask()).rejects.toThrow();
    expect(exchange.refusal).toMatchObject({ status: 429, body: 'half' });
  });

  it('tells that nobody listens', async () => {
    const server = await startServer(() => {});
    const { exchange, ask } = begin({ ...server, url: 'http://127.0.0.1:1' });
    await expect(ask()).rejects.toThrow();
    expect(exchange.networkError).toMatchObject({ code: 'ECONNREFUSED' });
  });
});

describe('a connection', () => {
  it('is used again after each complete answer', async () => {
    const server = await startServer((_, response) => response.end('data: x\r\n\r\n'));
    for (let turn = 0; turn < 10; turn += 1) {
      const { ask, exchange } = begin(server);
      await readAll(await ask());
      exchange.close();
      // The dispatcher learns that a connection is free just after we learn that the answer is over.
      await nextTurn();
    }
    expect([server.connections(), server.requests.length]).toEqual([1, 10]);
  });

  it.each([
    ['before the head of the answer', false],
    ['in the middle of the answer', true],
  ])('is freed at once when the attempt is aborted %s', async (_, hasBegun) => {
    const server = await startServer((_request, response) => {
      if (hasBegun) response.write('data: x\r\n\r\n');
    });
    const controller = new AbortController();
    const { ask, exchange } = begin(server, controller.signal);
    const reading = ask().then(readAll);
    await vi.waitFor(() => expect(server.requests).toHaveLength(1));
    if (hasBegun) await vi.waitFor(() => expect(exchange.tail).not.toBe(''));
    controller.abort();
    await expect(reading).rejects.toThrow();
    await vi.waitFor(() => expect(server.open()).toBe(0));
    expect(exchange.networkError).toBeInstanceOf(Error);
  });

  it('is freed at once when a half-read answer is closed, and closing twice is no harm', async () => {
    const server = await startServer((_, response) => void response.write('data: x\r\n\r\n'));
    const { ask, exchange } = begin(server);
    await readerOf(await ask()).read();
    expect(server.open()).toBe(1);
    exchange.close();
    exchange.close();
    await vi.waitFor(() => expect(server.open()).toBe(0));
  });

  it('is not kept for an attempt that was aborted before it began', async () => {
    const server = await startServer(() => {});
    const reading = begin(server, AbortSignal.abort()).ask();
    const outcome = reading.then(
      () => 'answered',
      () => 'rejected',
    );
    await expect(within(500, outcome)).resolves.toBe('rejected');
    expect(server.open()).toBe(0);
  });

  it('is left alone by a close after the end', async () => {
    const server = await startServer((_, response) => response.end('x'));
    const { ask, exchange } = begin(server);
    await readAll(await ask());
    exchange.close();
    expect([exchange.networkError, server.open()]).toEqual([null, 1]);
  });

  it.each([
    ['an answer', (response: ServerResponse) => response.end('x')],
    ['a refusal', (response: ServerResponse) => response.writeHead(500).end()],
    ['a reset', (response: ServerResponse) => response.socket?.resetAndDestroy()],
  ])('leaves no listener on the signal after %s', async (_, answer) => {
    const server = await startServer((_request, response) => void answer(response));
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    await begin(server, signal)
      .ask()
      .then(readAll)
      .catch(() => {});
    const listeners = added.mock.calls.map(([, listener]) => listener);
    expect(listeners.length).toBeGreaterThan(0);
    expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
      expect.arrayContaining(listeners),
    );
  });
});

/** An exchange whose answer has come already, in these pieces, to its end. */
async function answered(...pieces: readonly (string | Uint8Array)[]) {
  const controller = { pause() {}, resume() {} } as unknown as Dispatcher.DispatchController;
  const dispatcher = {
    dispatch(_request: Dispatcher.DispatchOptions, handler: Exchange) {
      handler.onRequestStart(controller);
      handler.onResponseStart(controller, 200, {});
      for (const piece of pieces) handler.onResponseData(controller, Buffer.from(piece));
      handler.onResponseEnd();
    },
  } as unknown as Dispatcher;
  const { exchange, ask } = begin({ url: 'http://nowhere', dispatcher });
  return { exchange, text: readAll(await ask()) };
}

describe('the text of an answer', () => {
  it('comes whole, wherever its characters are cut', async () => {
    const bytes = Buffer.from('für 🦉');
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const { text } = await answered(bytes.subarray(0, cut), bytes.subarray(cut));
      expect(await text).toBe('für 🦉');
    }
  });

  it('cannot be read where it is no UTF-8', async () => {
    const { text } = await answered(new Uint8Array([0x61, 0xff]));
    await expect(text).rejects.toThrow(TypeError);
  });

  it('has what ends a line only in JavaScript as JSON may write it too', async () => {
    const { text } = await answered('"a\u2028b\u2029c"');
    expect(await text).toBe('"a\\u2028b\\u2029c"');
  });

  it.each([
    ['everything before the first end of an event', ['data: a'], 'data: a'],
    ['the last event, when nothing has come since', ['data: a\n\ndata: b\n\n'], '\n\ndata: b\n\n'],
    ['so when more than a blank line follows', ['a\n\nb\r\n\r\n', '\r\n'], '\n\nb\r\n\r\n\r\n'],
    ['nothing when nothing has come', [], ''],
    ['what came since the last event', ['data: a\n\ndata: b\n\nda', 'ta: c'], '\n\ndata: c'],
    ['so when the break itself is cut', ['data: a\r\n', '\r\nb'], '\r\n\r\nb'],
  ])('leaves as its tail %s', async (_, pieces, tail) => {
    const { exchange, text } = await answered(...pieces);
    await text;
    expect(exchange.tail).toBe(tail);
  });

  it('leaves no tail of more than 64 K characters', async () => {
    const { exchange, text } = await answered('x'.repeat(200_000), 'the end');
    await text;
    expect(exchange.tail.length).toBeLessThanOrEqual(65_536);
    expect(exchange.tail.endsWith('xthe end')).toBe(true);
  });
});

/** What would never come fails the test at once, not after its whole time. */
function within<T>(ms: number, promise: Promise<T>): Promise<T | 'still waiting'> {
  return Promise.race([promise, delay(ms, 'still waiting' as const)]);
}

describe('a reader that does not read', () => {
  /** Sends without end, and counts what the network took. */
  async function startFlood() {
    const sent = { bytes: 0, isStopped: false };
    const piece = Buffer.from(event('x'.repeat(60_000)));
    const server = await startServer((_, response) => {
      const pour = () => {
        sent.isStopped = false;
        while (!response.destroyed && response.write(piece)) sent.bytes += piece.length;
        sent.bytes += piece.length;
        sent.isStopped = true;
      };
      response.on('drain', pour);
      pour();
    });
    return { server, sent };
  }

  /** Waits until nothing more has been sent for a good many turns of the loop. */
  async function untilItStands(sent: { readonly bytes: number }): Promise<number> {
    for (let still = 0, last = -1; still < 200; ) {
      await nextTurn();
      still = sent.bytes === last ? still + 1 : 0;
      last = sent.bytes;
    }
    return sent.bytes;
  }

  it('makes the sender stop, and go on when it reads again', async () => {
    const { server, sent } = await startFlood();
    const { ask, exchange } = begin(server);
    const reader = readerOf(await ask());
    const stood = await untilItStands(sent);
    expect(stood).toBeLessThan(32 * MEGABYTE);
    expect(sent.isStopped).toBe(true);

    for (let read = 0; read < 64 * MEGABYTE; ) read += (await reader.read()).value?.length ?? 0;
    expect(sent.bytes).toBeGreaterThan(stood);
    exchange.close();
    await vi.waitFor(() => expect(server.open()).toBe(0));
  });

  it('makes it stop through the SDK as well, which reads ahead by itself', async () => {
    const { server, sent } = await startFlood();
    const controller = new AbortController();
    const chunks = createGemini(optionsFor(server))(KEY, 'm', TURN, controller.signal);
    expect((await chunks.next()).value?.text).toHaveLength(60_000);
    const stood = await untilItStands(sent);
    expect(stood).toBeLessThan(32 * MEGABYTE);
    for (let turn = 0; turn < 1200; turn += 1) await chunks.next();
    expect(sent.bytes).toBeGreaterThan(stood);
    await chunks.return();
    await vi.waitFor(() => expect(server.open()).toBe(0));
  });
});

const KEY: ApiKey = {
  id: 'google',
  provider: 'google',
  project: 'google',
  secret: new Secret('google', 'g-one'),
};
const HI = { kind: 'text', text: 'Hi' } as const;
const TURN = { system: null, messages: [{ role: 'user' as const, parts: [HI] }] };
const optionsFor = ({ url, dispatcher }: Server) => ({
  baseUrl: url,
  dispatcher,
  redact: createRedact([KEY.secret]),
  now: () => 0,
});

describe('the global fetch', () => {
  it('is the same during and after many calls at once, whatever becomes of them', async () => {
    const original = globalThis.fetch;
    const server = await startServer((request, response) => {
      expect(globalThis.fetch).toBe(original);
      const answers = [
        () => response.end(event('Hello', 'STOP')),
        () => response.writeHead(429).end('{"error":{"code":429}}'),
        () => response.socket?.resetAndDestroy(),
      ];
      answers[Number(/m(\d+):/.exec(request.url ?? '')?.[1]) % 3]?.();
    });
    const stream = createGemini(optionsFor(server));
    const run = async (number: number) => {
      const chunks = stream(KEY, `m${number}`, TURN, new AbortController().signal);
      expect(globalThis.fetch).toBe(original);
      const first = chunks.next();
      expect(globalThis.fetch).toBe(original);
      const { value } = await first;
      expect(globalThis.fetch).toBe(original);
      for await (const _ of chunks) expect(globalThis.fetch).toBe(original);
      return value?.text;
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 60 }, (_, at) => run(at)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(40);
    expect(globalThis.fetch).toBe(original);
  });

  it('is not what carries a call to Gemini', async () => {
    const server = await startServer((_, response) => response.end(event('Hello', 'STOP')));
    const spy = vi.spyOn(globalThis, 'fetch');
    const chunks = createGemini(optionsFor(server))(KEY, 'm', TURN, new AbortController().signal);
    const { value } = await chunks.next();
    await chunks.return();
    spy.mockRestore();
    expect([value?.text, server.requests.length, spy.mock.calls.length]).toEqual(['Hello', 1, 0]);
  });

  it('is put back although the SDK throws before it asks', async () => {
    const original = globalThis.fetch;
    const server = await startServer((_, response) => response.end());
    const broken = { system: null, messages: null as never };
    const chunks = createGemini(optionsFor(server))(KEY, 'm', broken, new AbortController().signal);
    await expect(chunks.next()).rejects.toThrow(TypeError);
    expect(globalThis.fetch).toBe(original);
  });
});

describe('an answer of Gemini', () => {
  it('leaves its connection to the next one', async () => {
    const server = await startServer((_, response) => {
      response.write(event('Hel'));
      response.end(event('lo', 'STOP'));
    });
    const stream = createGemini(optionsFor(server));
    for (let turn = 0; turn < 5; turn += 1) {
      let text = '';
      for await (const chunk of stream(KEY, 'm', TURN, new AbortController().signal)) {
        text += chunk.text;
      }
      expect(text).toBe('Hello');
      await nextTurn();
    }
    expect(server.connections()).toBe(1);
  });
});
