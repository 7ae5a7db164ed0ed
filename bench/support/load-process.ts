/**
 * A provider that answers at once, and the callers of the servers in front of it, in one process.
 * Prints the provider's address. Then it is sent a `Load` at a time, and answers each with a
 * `LoadReport`. It does no more than the wire needs, so that the server under test is the bottleneck.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type { Load, LoadReport } from './load.ts';
import { quantile } from './quantile.ts';

const CHUNK_TEXT = 'A short answer, as a chat gives them. ';
const LAST_TEXT = 'That is all.';
const OK = 'HTTP/1.1 200 ';

const upstream = createServer({ noDelay: true }, answerAsGoogle);
upstream.listen(0, '127.0.0.1', () => {
  const { port } = upstream.address() as AddressInfo;
  process.send?.(`http://127.0.0.1:${port}`);
});
process.on('message', async (load: Load) => process.send?.(await run(load)));
process.once('disconnect', () => process.exit());

// --- the callers ---

const LOOK_MS = 10;
const LIMIT_MS = 30_000;

const NO_SETTLING = { ms: 0, answers: 0 };

async function run(load: Load): Promise<LoadReport> {
  answer = answersOf(load.chunks ?? 1);
  const tally: Tally = { answered: 0, measuredMs: null, failure: null };
  const request = Buffer.from(load.request);
  const callers = Array.from({ length: load.callers }, (_, index) =>
    openCaller(new URL(load.urls[index % load.urls.length] ?? ''), request, tally),
  );
  await settle(tally, load.settle ?? NO_SETTLING);
  const latencies: number[] = [];
  const [start, server, own] = [performance.now(), cpuUsOf(load.pid), process.cpuUsage()];
  tally.measuredMs = latencies;
  await setTimeout(load.seconds * 1000);
  tally.measuredMs = null;
  const serverUs = cpuUsOf(load.pid) - server;
  const { user, system } = process.cpuUsage(own);
  const tookUs = (performance.now() - start) * 1000;
  await Promise.all(callers.map((caller) => caller.leave()));
  latencies.sort((a, b) => a - b);
  const total = latencies.length;
  return {
    failure: tally.failure,
    total,
    perSecond: (total / tookUs) * 1e6,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    serverUs: serverUs / total,
    serverCore: serverUs / tookUs,
    loadCore: (user + system) / tookUs,
  };
}

interface Tally {
  answered: number;
  /** How long each answer took that counts, while some do. */
  measuredMs: number[] | null;
  /** The first one. */
  failure: string | null;
}

async function settle(
  tally: Tally,
  { ms, answers, atMostMs = Number.POSITIVE_INFINITY }: NonNullable<Load['settle']>,
): Promise<void> {
  const start = performance.now();
  while (tally.failure === null) {
    const passedMs = performance.now() - start;
    if (passedMs >= ms && (tally.answered >= answers || passedMs >= atMostMs)) return;
    await setTimeout(LOOK_MS);
  }
}

interface Caller {
  /** After the answer that it waits for. */
  leave(): Promise<void>;
}

/** Asks again as soon as it has the whole answer. Looks into the first answer only. */
function openCaller({ port }: URL, request: Buffer, tally: Tally): Caller {
  let askedAt = 0;
  let first: string | null = '';
  let hasLeft = false;
  const read = createReader((head) => {
    tally.answered += 1;
    tally.measuredMs?.push(performance.now() - askedAt);
    if (!head.startsWith(OK) || first?.includes(LAST_TEXT) === false) fail(first ?? head);
    first = null;
    ask();
  });
  const socket = connect({
    port: Number(port),
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer: Buffer.allocUnsafe(65_536),
      callback(length, buffer) {
        const bytes = (buffer as Buffer).subarray(0, length);
        if (first !== null) first += bytes.toString();
        read(bytes);
        return true;
      },
    },
  });
  socket.once('error', ({ message }) => fail(message));
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  void closed.then(() => {
    if (!hasLeft) fail('the server has closed the connection');
  });
  socket.setTimeout(LIMIT_MS, () => fail('no answer'));
  ask();
  return {
    leave() {
      hasLeft = true;
      return closed;
    },
  };
  function ask(): void {
    if (hasLeft) {
      socket.destroy();
      return;
    }
    askedAt = performance.now();
    socket.write(request);
  }
  function fail(why: string): void {
    tally.failure ??= why;
    hasLeft = true;
    socket.destroy();
  }
}

/** User and system time of all threads. */
function cpuUsOf(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const threads = readdirSync(`/proc/${pid}/task`);
  const ns = threads.map((id) => readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8'));
  return ns.reduce((sum, text) => sum + Number.parseInt(text, 10) / 1000, 0);
}

// --- the provider ---

interface Answers {
  /** To `generateContent`. */
  readonly whole: Buffer;
  /** To `streamGenerateContent`, written one after the other. */
  readonly pieces: readonly Buffer[];
}

let answer: Answers;

function answerAsGoogle(socket: Socket): void {
  const read = createReader((head) => {
    if (head.includes(':streamGenerateContent')) stream(socket);
    else socket.write(answer.whole);
  });
  socket.on('data', read);
  // A server that ends is no failure of its provider.
  socket.on('error', () => {});
}

interface Streamed {
  readonly socket: Socket;
  readonly pieces: readonly Buffer[];
  written: number;
}

let streamed: Streamed[] = [];

/** The first piece at once, then one in each turn of the event loop, so that each travels alone. */
function stream(socket: Socket): void {
  const { pieces } = answer;
  socket.write(pieces[0] as Buffer);
  if (pieces.length === 1) return;
  if (streamed.length === 0) setImmediate(writeNext);
  streamed.push({ socket, pieces, written: 1 });
}

function writeNext(): void {
  let areDone = false;
  for (const one of streamed) {
    one.socket.write(one.pieces[one.written] as Buffer);
    one.written += 1;
    areDone ||= one.written === one.pieces.length;
  }
  if (areDone) streamed = streamed.filter(({ pieces, written }) => written < pieces.length);
  if (streamed.length > 0) setImmediate(writeNext);
}

const HEADERS = [
  'HTTP/1.1 200 OK',
  'Vary: Origin',
  'Vary: X-Origin',
  'Vary: Referer',
  'Date: Thu, 01 Jan 2026 00:00:00 GMT',
  'Server: scaffolding on HTTPServer2',
  'X-XSS-Protection: 0',
  'X-Frame-Options: SAMEORIGIN',
  'X-Content-Type-Options: nosniff',
  'Server-Timing: gfet4t7; dur=412',
];

function answersOf(chunks: number): Answers {
  const all = Array.from({ length: chunks }, (_, index) => jsonOf(index === chunks - 1));
  const whole = jsonOf(true);
  const sized = [
    'Content-Type: application/json; charset=UTF-8',
    `Content-Length: ${whole.length}`,
  ];
  const chunked = ['Content-Type: text/event-stream', 'Transfer-Encoding: chunked'];
  const pieces = all.map((json) => {
    const event = `data: ${json}\r\n\r\n`;
    return `${event.length.toString(16)}\r\n${event}\r\n`;
  });
  pieces[0] = headOf(chunked) + pieces[0];
  pieces[chunks - 1] += '0\r\n\r\n';
  return {
    whole: Buffer.from(headOf(sized) + whole),
    pieces: pieces.map((piece) => Buffer.from(piece)),
  };
}

const headOf = (more: readonly string[]) => `${[...HEADERS, ...more].join('\r\n')}\r\n\r\n`;

const jsonOf = (isLast: boolean) =>
  JSON.stringify({
    candidates: [
      {
        content: { parts: [{ text: isLast ? LAST_TEXT : CHUNK_TEXT }], role: 'model' },
        ...(isLast ? { finishReason: 'STOP' } : {}),
        index: 0,
      },
    ],
    usageMetadata: {
      promptTokenCount: 3,
      candidatesTokenCount: 12,
      totalTokenCount: 15,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: 3 }],
    },
    modelVersion: 'gemini-flash-latest',
    responseId: 'bXk2aPqMIdCvxN8P5Jqf4Qk',
  });

// --- both ---

const HEAD_END = Buffer.from('\r\n\r\n');
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;
const LAST_CHUNK = '0\r\n\r\n';

/**
 * Finds where messages of HTTP/1.1 end, one at a time on a connection, and hands over the head of each.
 * No parser: a chunked body ends where a read ends with the last chunk, which no text of ours imitates.
 */
function createReader(onMessage: (head: string) => void): (bytes: Buffer) => void {
  let unread = Buffer.alloc(0);
  let head = '';
  let missing = 0;
  let tail = '';
  return (bytes) => {
    const body = head === '' ? readHead(bytes) : bytes;
    if (head === '' || !isLastOf(body)) return;
    const whole = head;
    head = '';
    onMessage(whole);
  };
  /** @returns what is there of the body */
  function readHead(bytes: Buffer): Buffer {
    const all = unread.length === 0 ? bytes : Buffer.concat([unread, bytes]);
    const end = all.indexOf(HEAD_END);
    // A copy, as the buffer is read into again.
    unread = Buffer.from(end === -1 ? all : '');
    if (end === -1) return unread;
    head = all.toString('latin1', 0, end);
    missing = bodyLengthOf(head);
    tail = '';
    return all.subarray(end + HEAD_END.length);
  }
  function isLastOf(body: Buffer): boolean {
    if (missing !== Number.POSITIVE_INFINITY) {
      missing -= body.length;
      return missing <= 0;
    }
    const last = body.toString('latin1', Math.max(0, body.length - LAST_CHUNK.length));
    tail = (tail + last).slice(-LAST_CHUNK.length);
    return tail === LAST_CHUNK;
  }
}

function bodyLengthOf(head: string): number {
  const [, length] = CONTENT_LENGTH.exec(head) ?? [];
  if (length !== undefined) return Number(length);
  return CHUNKED.test(head) ? Number.POSITIVE_INFINITY : 0;
}
