import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import type { Dispatcher } from 'undici';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  createGeminiRelay,
  type RelayPiece,
  type RelayRequest,
} from '../../src/providers/gemini/gemini-relay.ts';
import { createGemini } from '../../src/providers/gemini/gemini-request.ts';
import { createDispatcher } from '../../src/providers/gemini/transport.ts';
import type { AnswerEnd, Call, CallHandler, Client } from '../../src/providers/provider.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import type { ChatChunk, ChatTurn } from '../../src/shared/chat.ts';
import { UpstreamError } from '../../src/shared/failure.ts';
import { createRedact } from '../../src/shared/redact.ts';
import { Secret } from '../../src/shared/secret.ts';
import { modelTarget } from '../../src/shared/target.ts';

const MAX_REFUSAL_BYTES = 65_536;
const MEGABYTE = 2 ** 20;
const KEY: ApiKey = {
  id: 'google',
  provider: 'google',
  project: 'google',
  secret: new Secret('google', 'g-one'),
};
const TARGET = modelTarget('google', 'm');
const TURN: ChatTurn = {
  system: null,
  messages: [{ role: 'user', parts: [{ kind: 'text', text: 'Hi' }] }],
};
const PATH = '/v1beta/models/m:streamGenerateContent?alt=sse';
const REQUEST: RelayRequest = {
  method: 'POST',
  path: PATH,
  headers: ['content-type', 'application/json'],
  body: Buffer.from('{"contents":[]}'),
};

type Listener = (response: ServerResponse, request: IncomingMessage) => void;

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
      listener(response, request);
    });
  });
  server.on('connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const dispatcher = createDispatcher();
  closing.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
    () => dispatcher.destroy(),
  );
  return {
    options: optionsFor(dispatcher, `http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    requests,
    connections: () => connections,
    open: () => sockets.size,
  };
}

const optionsFor = (dispatcher: Dispatcher, baseUrl = 'http://nowhere') => ({
  baseUrl,
  dispatcher,
  redact: createRedact([KEY.secret]).redact,
  now: () => 0,
});
type Options = ReturnType<typeof optionsFor>;

/** One call, and what its handler got. */
function begin<Question, Chunk>(
  client: Client<Question, Chunk, AnswerEnd>,
  question: Question,
  onChunk: (chunk: Chunk, call: Call) => void = () => {},
) {
  const chunks: Chunk[] = [];
  const ends: unknown[] = [];
  const onEnd = (end: unknown) => void ends.push(end);
  const handler: CallHandler<Chunk, AnswerEnd> = {
    onChunk(chunk) {
      chunks.push(chunk);
      onChunk(chunk, call);
    },
    onModel() {},
    onFinish() {},
    onEnd,
    onFailure: onEnd,
  };
  const call: Call = client.call(question, KEY, TARGET, handler);
  const over = async () => {
    while (ends.length === 0) await nextTurn();
    return ends[0];
  };
  return { call, chunks, ends, over };
}

const chat = (options: Options, onChunk?: (chunk: ChatChunk, call: Call) => void) =>
  begin(createGemini(options), TURN, onChunk);
const relay = (options: Options, onChunk?: (piece: RelayPiece, call: Call) => void) =>
  begin(createGeminiRelay(options), REQUEST, onChunk);
/** What is true of every exchange, whatever it reads. */
const BOTH = [
  ['a chat', chat],
  ['a relayed request', relay],
] as const;

const textOf = (chunks: readonly ChatChunk[]) => chunks.map(({ text }) => text).join('');
const bytesOf = (pieces: readonly RelayPiece[]) =>
  Buffer.concat(pieces.map(({ bytes }) => bytes)).toString();

async function failureOf(over: Promise<unknown>) {
  const error = await over;
  if (!(error instanceof UpstreamError)) throw new Error(`no failure: ${JSON.stringify(error)}`);
  return error;
}

const event = (text: string, finishReason?: string) =>
  `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text }] }, finishReason }] })}\r\n\r\n`;
const HELLO = event('Hello', 'STOP');

describe('one exchange', () => {
  it('sends the request with the key, and hands the answer back as it came', async () => {
    const server = await startServer((response) =>
      response.writeHead(200, { 'x-more': 'no', 'server-timing': 'g-one' }).end(HELLO),
    );
    const { over, chunks } = relay(server.options);
    expect(await over()).toEqual({ usage: null });
    expect(bytesOf(chunks)).toBe(HELLO);
    expect(chunks.map(({ head }) => head)).toEqual([
      { status: 200, headers: ['server-timing', expect.not.stringContaining('g-one')] },
    ]);
    expect(server.requests).toEqual([
      {
        url: PATH,
        body: '{"contents":[]}',
        headers: expect.objectContaining({
          'content-type': 'application/json',
          'x-goog-api-key': 'g-one',
        }),
      },
    ]);
  });

  it('hands on each piece when it comes, not only at the end, and without the global fetch', async () => {
    const fetch = vi.spyOn(globalThis, 'fetch');
    let theirs: ServerResponse | undefined;
    const server = await startServer((response) => {
      response.write(event('Hel'));
      theirs = response;
    });
    const { chunks, over } = chat(server.options);
    await vi.waitFor(() => expect(chunks).toEqual([{ text: 'Hel' }]));
    theirs?.end(event('lo', 'STOP'));
    expect(await over()).toMatchObject({ reason: 'stop' });
    expect(textOf(chunks)).toBe('Hello');
    expect(fetch).not.toHaveBeenCalled();
    fetch.mockRestore();
  });

  it('keeps the status, the headers and the body of a refusal', async () => {
    const body = '{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"slow down"}}';
    const server = await startServer((response) =>
      response.writeHead(429, { 'Retry-After': '7', 'Content-Type': 'text/odd' }).end(body),
    );
    const { failure, refusal } = await failureOf(relay(server.options).over());
    expect(failure).toMatchObject({ kind: 'quota_unexplained', retryAfterMs: 7000, status: 429 });
    expect(refusal).toEqual({ status: 429, type: 'text/odd', body });
    expect((await failureOf(chat(server.options).over())).failure).toEqual(failure);
  });

  it.each([300, 302, 304, 400, 404, 500, 503])('takes %i for a refusal', async (status) => {
    const server = await startServer((response) =>
      response.writeHead(status, { location: '/elsewhere' }).end(),
    );
    expect((await failureOf(relay(server.options).over())).refusal?.status).toBe(status);
    expect(server.requests).toHaveLength(1);
  });

  it('keeps no more than 64 KB of a refusal, and uses its connection again', async () => {
    const server = await startServer((response) =>
      response.writeHead(500).end('long '.repeat(MEGABYTE)),
    );
    for (let turn = 0; turn < 2; turn += 1) {
      const { refusal } = await failureOf(relay(server.options).over());
      expect(refusal?.body.length).toBeLessThanOrEqual(MAX_REFUSAL_BYTES);
      expect(refusal?.body).toMatch(/^(long ){13000,}$/);
      await nextTurn();
    }
    expect(server.connections()).toBe(1);
  });

  it('keeps all of a refusal of exactly 64 KB', async () => {
    const body = `${'x'.repeat(MAX_REFUSAL_BYTES - 1)}y`;
    const server = await startServer((response) => response.writeHead(400).end(body));
    expect((await failureOf(relay(server.options).over())).refusal?.body).toBe(body);
  });

  it('keeps what has come of a refusal that breaks off: its status says more than the missing end', async () => {
    const server = await startServer((response) => {
      response.writeHead(429, { 'content-length': 100 });
      response.write('half', () => response.socket?.destroySoon());
    });
    const { refusal } = await failureOf(relay(server.options).over());
    expect(refusal).toMatchObject({ status: 429, body: 'half' });
  });

  it.each(BOTH)('of %s waits for the real answer after an interim one', async (_, ask) => {
    const server = await startServer((response) =>
      response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => response.end(HELLO)),
    );
    const { over, chunks } = ask(server.options);
    expect(await over()).not.toBeInstanceOf(Error);
    expect(chunks).toHaveLength(1);
  });

  it.each(BOTH)('of %s is a failure when there is no server', async (_, ask) => {
    const { options } = await startServer(() => {});
    const { failure } = await failureOf(ask({ ...options, baseUrl: 'http://127.0.0.1:1' }).over());
    expect(failure).toMatchObject({ kind: 'upstream_down', timedOut: false });
    expect(failure.message).toContain('ECONNREFUSED');
  });

  it.each([
    ['before its head', (response: ServerResponse) => response.socket?.resetAndDestroy()],
    [
      'in the middle',
      (response: ServerResponse) => {
        response.writeHead(200, { 'content-length': 1000 });
        response.write(event('half'), () => response.socket?.destroySoon());
      },
    ],
  ])('is a failure when it breaks off %s, and is not repeated', async (_, breakOff) => {
    const server = await startServer((response) => void breakOff(response));
    for (const ask of [chat, relay]) {
      const { failure } = await failureOf(ask(server.options).over());
      expect(failure).toMatchObject({ kind: 'upstream_down', timedOut: false });
    }
    expect(server.requests).toHaveLength(2);
  });

  it.each([
    ['in what reads the answer', HELLO, 200],
    ['in what reads a refusal', '{"error":{"message":"no"}}', 400],
  ])('hands on a bug of ours %s as it is', async (_, body, status) => {
    const bug = new TypeError('x is not a function');
    const fail = () => {
      throw bug;
    };
    const server = await startServer((response) => response.writeHead(status).end(body));
    for (const ask of [chat, relay]) {
      const { over, ends } = ask({ ...server.options, redact: fail }, fail);
      expect([await over(), ends]).toEqual([bug, [bug]]);
    }
  });
});

describe('a connection', () => {
  it.each(BOTH)('is used again after each complete answer of %s', async (_, ask) => {
    const server = await startServer((response) => {
      response.write(event('Hel'));
      response.end(event('lo', 'STOP'));
    });
    for (let turn = 0; turn < 5; turn += 1) {
      const { call, over } = ask(server.options);
      expect(await over()).not.toBeInstanceOf(Error);
      // Does nothing after the end.
      call.abort();
      // The dispatcher learns that a connection is free just after we learn that the answer is over.
      await nextTurn();
    }
    expect([server.connections(), server.requests.length]).toEqual([1, 5]);
  });

  it.each([
    ['before the head of the answer', false],
    ['in the middle of the answer', true],
  ])('is freed at once when the call is aborted %s', async (_, hasBegun) => {
    const server = await startServer((response) => {
      if (hasBegun) response.write(event('Hel'));
    });
    for (const ask of [chat, relay]) {
      server.requests.length = 0;
      const { call, chunks, ends } = ask(server.options);
      await vi.waitFor(() => expect(server.requests).toHaveLength(1));
      if (hasBegun) await vi.waitFor(() => expect(chunks).toHaveLength(1));
      call.abort();
      call.abort();
      await vi.waitFor(() => expect(server.open()).toBe(0));
      expect(ends).toEqual([]);
    }
  });

  it('carries nothing of a call that was aborted before it began', async () => {
    const server = await startServer((response) => response.end(HELLO));
    const { call, ends } = chat(server.options);
    call.abort();
    await chat(server.options).over();
    expect([server.requests.length, ends]).toEqual([1, []]);
  });

  it('hands on nothing more once a chunk has made the reader give up', async () => {
    const server = await startServer((response) => response.end(event('Hel') + HELLO));
    for (const ask of [chat, relay]) {
      const { chunks, ends } = ask(server.options, (_, call) => call.abort());
      await vi.waitFor(() => expect(chunks).toHaveLength(1));
      await vi.waitFor(() => expect(server.open()).toBe(0));
      expect([chunks.length, ends]).toEqual([1, []]);
    }
  });
});

describe('a kept connection that proves dead', () => {
  type End = (socket: Socket) => unknown;
  const ENDS: readonly [string, End][] = [
    ['closes', (socket) => socket.destroy()],
    ['resets', (socket) => socket.resetAndDestroy()],
  ];

  /** Answers the first request of each connection, and ends the connection at the first byte of the second. */
  function startForgetful(end: End, isDead = () => false) {
    const served = new WeakSet<Socket>();
    return startServer((response, { socket }) => {
      if (isDead()) {
        end(socket);
        return;
      }
      response.end(HELLO);
      if (served.has(socket)) return;
      served.add(socket);
      socket.prependListener('data', () => end(socket));
    });
  }

  it.each(ENDS)('and %s: the same request goes out once more and is answered', async (_, end) => {
    const server = await startForgetful(end);
    for (const ask of [chat, relay]) {
      for (let turn = 0; turn < 2; turn += 1) {
        const { over, ends } = ask(server.options);
        expect(await over()).not.toBeInstanceOf(Error);
        expect(ends).toHaveLength(1);
        await nextTurn();
      }
    }
    expect(server.connections()).toBe(4);
    expect(new Set(server.requests.map(({ body }) => body)).size).toBe(2);
  });

  it.each(ENDS)('and %s: a new one that dies too is a failure', async (_, end) => {
    let isDead = false;
    const server = await startForgetful(end, () => isDead);
    await chat(server.options).over();
    await nextTurn();
    isDead = true;
    const { failure } = await failureOf(chat(server.options).over());
    expect(failure).toMatchObject({ kind: 'upstream_down', timedOut: false });
    expect(server.connections()).toBe(2);
  });

  it.each(ENDS)('and %s: a second kept one that dies too is replaced as well', async (_, end) => {
    const server = await startForgetful(end);
    await Promise.all([chat(server.options).over(), chat(server.options).over()]);
    await nextTurn();
    expect(await chat(server.options).over()).not.toBeInstanceOf(Error);
    expect(server.connections()).toBe(3);
  });
});

/** A chat whose answer comes in these pieces, to its end or to this error. */
async function answered(pieces: readonly (string | Uint8Array)[], error?: Error) {
  const controller = {
    pause() {},
    resume() {},
    abort() {},
  } as unknown as Dispatcher.DispatchController;
  const dispatcher = {
    dispatch(_: Dispatcher.DispatchOptions, handler: Required<Dispatcher.DispatchHandler>) {
      queueMicrotask(() => {
        handler.onRequestStart(controller, null);
        handler.onResponseStart(controller, 200, {});
        for (const piece of pieces) handler.onResponseData(controller, Buffer.from(piece));
        if (error === undefined) handler.onResponseEnd(controller, {});
        else handler.onResponseError(controller, error);
      });
      return true;
    },
  } as unknown as Dispatcher;
  const { chunks, over } = chat(optionsFor(dispatcher));
  return { outcome: await over(), text: textOf(chunks) };
}

describe('the text of an answer', () => {
  it('comes whole, wherever its characters are cut', async () => {
    const bytes = Buffer.from(event('für 🦉\u2028', 'STOP'));
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const { text } = await answered([bytes.subarray(0, cut), bytes.subarray(cut)]);
      expect(text).toBe('für 🦉\u2028');
    }
    expect((await answered([...bytes].map((byte) => Buffer.of(byte)))).text).toBe('für 🦉\u2028');
  });

  it('needs no blank line behind its last event', async () => {
    const { outcome, text } = await answered([event('Hel') + event('lo', 'STOP').trimEnd()]);
    expect([outcome, text]).toMatchObject([{ reason: 'stop' }, 'Hello']);
  });

  it('is complete when the connection breaks after its finish', async () => {
    const { outcome, text } = await answered([HELLO], new Error('reset'));
    expect([outcome, text]).toMatchObject([{ reason: 'stop' }, 'Hello']);
  });

  const SPENT = '{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"spent"}}';
  it.each([
    ['an error in place of an event', [event('Hel'), SPENT], 'quota_unexplained'],
    [
      'an error that is cut',
      [`${event('Hel')}data: ${SPENT.slice(0, 30)}`, SPENT.slice(30)],
      'quota_unexplained',
    ],
    [
      'an error behind a break that is cut',
      [event('Hel').slice(0, -2), `\r\n${SPENT}`],
      'quota_unexplained',
    ],
    ['nothing since the last event', [event('Hel')], 'upstream_down'],
    ['half an event', [event('Hel'), 'data: {"cand'], 'upstream_down'],
    ['the word within a text', [event('Hel'), event(SPENT)], 'upstream_down'],
  ])('that breaks off fails by what came last: %s', async (_, pieces, kind) => {
    const { outcome } = await answered(pieces, new Error('reset'));
    expect((outcome as UpstreamError).failure.kind).toBe(kind);
  });
});

describe('a reader that does not read', () => {
  const TEXT = randomBytes(45_000).toString('base64');

  /** Sends without end, and counts what the network took. */
  async function startFlood(isCompressed: boolean) {
    const sent = { bytes: 0, isStopped: false };
    const server = await startServer((response) => {
      if (isCompressed) response.setHeader('content-encoding', 'gzip');
      const body = isCompressed ? createGzip({ level: 1 }) : response;
      if (body !== response) body.pipe(response);
      const pour = () => {
        sent.isStopped = false;
        while (!response.destroyed && body.write(event(TEXT))) sent.bytes += TEXT.length;
        sent.bytes += TEXT.length;
        sent.isStopped = true;
      };
      body.on('drain', pour);
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

  it.each([
    ['a chat', chat, false],
    ['a compressed chat', chat, true],
    ['a relayed request', relay, false],
  ] as const)(
    'makes the sender of %s stop, and go on when it reads again',
    async (_, ask, isCompressed) => {
      const { server, sent } = await startFlood(isCompressed);
      let isReading = false;
      const { call, chunks } = ask(server.options, (_chunk, self) => isReading || self.pause());
      await vi.waitFor(() => expect(chunks.length).toBeGreaterThan(0));
      const stood = await untilItStands(sent);
      expect(stood).toBeLessThan(32 * MEGABYTE);
      expect(sent.isStopped).toBe(true);
      expect(chunks.length).toBeLessThan(20);

      isReading = true;
      call.resume();
      await vi.waitFor(() => expect(sent.bytes).toBeGreaterThan(stood + 4 * MEGABYTE), 10_000);
      call.abort();
      await vi.waitFor(() => expect(server.open()).toBe(0));
    },
  );
});
