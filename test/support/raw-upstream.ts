import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** One request to the upstream. */
export interface RawCall {
  readonly socket: Socket;
  /** Its number on its connection: 1 for the first. */
  readonly turn: number;
  readonly path: string;
  /** The Gemini key that it brings. */
  readonly key: string;
  /** Writes a whole answer; the connection stays open for the next request. */
  reply(bytes: Buffer | string): void;
}

export interface RawUpstream {
  readonly url: string;
  /** Every request that has begun, the oldest first. */
  readonly calls: readonly RawCall[];
  /** Answers a request that has come whole. A test may replace it. */
  answer: (call: RawCall) => void;
  /** Sees a request at its first byte. A test may replace it. */
  begin: (call: RawCall) => void;
  /** How many connections there have been. */
  connections(): number;
  /** How many are open, idle ones too. */
  open(): number;
  /** How many are open that wait for the end of an answer. */
  busy(): number;
  /** The bytes that all connections have taken from it. */
  taken(): number;
}

/** An upstream that writes what the test says to the socket, until the end of the test. */
export async function startRawUpstream(answer: RawUpstream['answer']): Promise<RawUpstream> {
  const sockets: Socket[] = [];
  const busy = new Set<Socket>();
  const calls: RawCall[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    let turn = 0;
    let received = '';
    let call: RawCall | null = null;
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
      if (call === null) {
        turn += 1;
        call = toCall(socket, turn, received);
        calls.push(call);
        busy.add(socket);
        upstream.begin(call);
      }
      if (!isWhole(received)) return;
      received = '';
      const whole = call;
      call = null;
      if (!socket.destroyed && socket.writable) upstream.answer(whole);
    });
  });
  const toCall = (socket: Socket, turn: number, head: string): RawCall => ({
    socket,
    turn,
    path: head.split(' ', 2)[1] ?? '',
    key: /^x-goog-api-key: (.*)\r$/im.exec(head)?.[1] ?? '',
    reply(bytes) {
      socket.write(bytes);
      busy.delete(socket);
    },
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const open = () => sockets.filter(({ destroyed }) => !destroyed);
  const upstream: RawUpstream = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    answer,
    begin() {},
    connections: () => sockets.length,
    open: () => open().length,
    busy: () => open().filter((socket) => busy.has(socket)).length,
    taken: () => sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
  };
  return upstream;
}

function isWhole(request: string): boolean {
  const end = request.indexOf('\r\n\r\n');
  const length = /^content-length: (\d+)\r$/im.exec(request)?.[1] ?? 0;
  return end >= 0 && request.length >= end + 4 + Number(length);
}

export const head = (headers: Readonly<Record<string, string>> = {}, status = '200 OK'): string => {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`;
};

export const CHUNKED = { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' };

/** Each piece as a chunk of its own, which reaches its reader alone. */
export const chunked = (pieces: Iterable<string | Uint8Array>): Buffer =>
  Buffer.concat([...pieces].map(toHttpChunk));

function toHttpChunk(piece: string | Uint8Array): Buffer {
  const bytes = Buffer.from(piece as string);
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, CRLF]);
}

const CRLF = Buffer.from('\r\n');
export const LAST_CHUNK = '0\r\n\r\n';

/** A whole answer in these pieces. */
export const answerOf = (
  pieces: Iterable<string | Uint8Array>,
  headers: Readonly<Record<string, string>> = {},
): Buffer =>
  Buffer.concat([
    Buffer.from(head({ ...CHUNKED, ...headers })),
    chunked(pieces),
    Buffer.from(LAST_CHUNK),
  ]);

/** Writes the same again for as long as the connection takes it. */
export function pour(socket: Socket, bytes: Buffer): void {
  const writeMore = () => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on('drain', writeMore);
  writeMore();
}
