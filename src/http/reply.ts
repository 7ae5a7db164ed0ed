import type { ServerResponse } from 'node:http';
import type { RequestHandler, Response } from 'express';
import type { AnsweredBy } from '../failover/failover.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import type { ProviderWords } from '../shared/failure.ts';

export const JSON_TYPE = 'application/json; charset=utf-8';
export const TEXT_TYPE = 'text/plain; charset=utf-8';

/** One write, and no ETag. */
export const sendJson = (response: ServerResponse, status: number, body: unknown): void =>
  sendText(response, status, JSON_TYPE, JSON.stringify(body));

export function sendText(
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
): void {
  const length = Buffer.byteLength(text);
  response.writeHead(status, { 'content-type': type, 'content-length': length });
  // Node writes a text together with the headers.
  response.end(text);
}

/** Credentials, their refusals, and what holds only now must not be cached. */
export const forbidCaching: RequestHandler = (_request, response, next) => {
  response.setHeader('cache-control', 'no-store');
  next();
};

/**
 * For every stream. Without `no-transform` a proxy that compresses, such as Next.js behind `rewrites`,
 * would hold the text back until its buffer is full.
 */
export const STREAM_CACHING = 'no-cache, no-transform';

/** Which attempt has answered: more than 1 means failover to another key or model. */
export const ATTEMPTS_HEADER = 'understudy-attempts';
/** The id of the key that has answered, for the admin alone. */
const KEY_HEADER = 'understudy-key';

export function setAnsweredBy(
  { locals }: Response,
  { key, attempts }: Pick<AnsweredBy, 'key' | 'attempts'>,
): void {
  locals.head += `${ATTEMPTS_HEADER}: ${attempts}\r\n`;
  if (locals.admin !== undefined) locals.head += `${KEY_HEADER}: ${key.id}\r\n`;
}

/**
 * How long a client may read nothing before it is cut off. The system reports room only after megabytes
 * were read, so a slow reader needs its time.
 */
const STALL_MS = 120_000;

/** What a stream sends before its first piece and between its pieces. */
export interface StreamForm {
  readonly headers: Readonly<Record<string, string>>;
  /** Sent during silence, so that no proxy closes the connection; null where every byte is content. */
  readonly keepAlive: string | null;
}

/** A model may think for minutes. A client or proxy without a head would take that for a dead server. */
const PATIENCE_MS = 10_000;
/** Shorter than the idle limits of known proxies. */
const KEEP_ALIVE_MS = 15_000;

/** Sends a stream's head when its first piece is late, and keeps the connection alive. */
export class KeepAlive {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #form: StreamForm;
  readonly #opening: string;
  #timer: Timer;
  #nextAt = 0;

  /** @param opening sent with an early head */
  constructor(
    response: ServerResponse,
    clock: Clock,
    form: StreamForm,
    opening = form.keepAlive ?? '',
  ) {
    this.#response = response;
    this.#clock = clock;
    this.#form = form;
    this.#opening = opening;
    this.#timer = clock.after(PATIENCE_MS, () => this.#ring());
  }

  /** The first piece is there. The timer stays: most streams end before it rings. */
  begin(): void {
    this.#nextAt = this.#clock.now() + KEEP_ALIVE_MS;
  }

  stop(): void {
    this.#timer.cancel();
  }

  #ring(): void {
    const waitMs = this.#nextAt - this.#clock.now();
    if (waitMs <= 0) this.#send();
    if (this.#form.keepAlive === null) return;
    this.#timer = this.#clock.after(waitMs > 0 ? waitMs : KEEP_ALIVE_MS, () => this.#ring());
  }

  #send(): void {
    const { headersSent, writableEnded, writableNeedDrain } = this.#response;
    if (!headersSent) {
      this.#response.writeHead(200, this.#form.headers);
      // An empty text sends the head alone.
      this.#response.write(this.#opening);
    } else if (!writableEnded && !writableNeedDrain) {
      this.#response.write(this.#form.keepAlive ?? '');
    }
  }
}

/** Writes as fast as the client reads, and cuts off a client that reads nothing. */
export class PacedWriter {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  /** Called when there is room again after `write` has returned false. */
  onRoom: () => void = () => {};

  constructor(response: ServerResponse, clock: Clock) {
    this.#response = response;
    this.#clock = clock;
  }

  /** @returns whether there is room for more */
  write(text: string | Uint8Array): boolean {
    if (text.length === 0 || this.#response.write(text)) return true;
    void until('drain', this.#response, this.#clock).then(() => this.onRoom());
    return false;
  }

  /** Node writes a text together with the head. */
  end(text = '', encoding: BufferEncoding = 'utf8'): void {
    this.#response.end(text, encoding);
    // The system has not taken everything yet.
    if (this.#response.writableLength > 0) void until('finish', this.#response, this.#clock);
  }
}

async function until(
  event: 'drain' | 'finish',
  response: ServerResponse,
  clock: Clock,
): Promise<void> {
  if (response.destroyed || response.writableFinished) return;
  let taken = response.socket?.bytesWritten ?? 0;
  let limit = clock.after(STALL_MS, destroyIfStalled);
  await new Promise<void>((resolve) => {
    const finish = () => {
      response.off(event, finish);
      response.off('close', finish);
      resolve();
    };
    response.on(event, finish);
    response.on('close', finish);
  });
  limit.cancel();

  /** A pipelined response without a socket still waits for its turn. */
  function destroyIfStalled(): void {
    const { socket } = response;
    if (socket !== null && socket.bytesWritten === taken) {
      response.destroy();
      return;
    }
    taken = socket?.bytesWritten ?? 0;
    limit = clock.after(STALL_MS, destroyIfStalled);
  }
}

/** What was written before goes out; the missing end is the only sign of the failure. */
export function breakOff(response: ServerResponse): void {
  const { socket } = response;
  // It waits behind another answer on its connection. Node writes what it has held back right after this event.
  if (socket === null) response.once('socket', () => queueMicrotask(() => breakOff(response)));
  // In HTTP/1.0, which nginx speaks by default, an answer ends with its connection: only a reset is no end.
  else if (response.req.httpVersion === '1.0') socket.write('', () => socket.resetAndDestroy());
  else socket.destroySoon();
}

/** How long a large body is read and dropped before its refusal, and once more after it. */
const LINGER_MS = 5000;

/**
 * Answers a request whose body has not come whole, and ends the connection. The answer follows the body if that is
 * soon complete: some proxies, such as Next's rewrites, reset their client's connection when an answer comes during
 * the upload. To close while data arrives would reset the connection too, and the client could lose the answer. So
 * further data is read and dropped for a short time.
 */
export function answerUnread(
  response: ServerResponse,
  { status, type, body }: ProviderWords,
  clock: Clock,
): void {
  const bytes = Buffer.from(body);
  const headers = { 'content-type': type, 'content-length': bytes.length, connection: 'close' };
  const answer = () => {
    if (response.headersSent) return;
    response.writeHead(status, headers);
    response.write(bytes);
  };
  const end = () => {
    answer();
    response.end();
  };
  let limit = clock.after(LINGER_MS, () => {
    answer();
    limit = clock.after(LINGER_MS, end);
  });
  response.once('close', () => limit.cancel());
  response.req.once('end', end);
  response.req.resume();
}
