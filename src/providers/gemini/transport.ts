import {
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  unzipSync,
} from 'node:zlib';
import type { Dispatcher } from 'undici';
import buildConnector from 'undici/lib/core/connect.js';
import Client from 'undici/lib/dispatcher/client.js';
import BaseDispatcher from 'undici/lib/dispatcher/dispatcher.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import { withoutLastWord } from '../../shared/redact.ts';
import type { AnswerEnd, Call, CallHandler, ClassifyContext, ProviderAnswer } from '../provider.ts';

/**
 * Google sends no hint how long it keeps an idle connection. undici's own 4 seconds would cost a person who
 * writes once a minute a new connection for each answer.
 */
const KEEP_ALIVE_MS = 240_000;
const MAX_KEEP_ALIVE_MS = 600_000;

const OPTIONS = {
  bodyTimeout: 0,
  headersTimeout: 0,
  keepAliveTimeout: KEEP_ALIVE_MS,
  keepAliveMaxTimeout: MAX_KEEP_ALIVE_MS,
};

/** The connections to the providers. The failover sets the time limits. */
export const createDispatcher = (): Dispatcher => new Pools();

/** A pool for each provider. undici's Agent closes a pool that has no connection left, with the requests in it. */
class Pools extends BaseDispatcher {
  readonly #pools = new Map<string, Dispatcher>();
  readonly #options = { ...OPTIONS, connect: createConnect(), factory: createClient };

  override dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    const origin = String(request.origin);
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      pool = new Pool(origin, this.#options);
      this.#pools.set(origin, pool);
    }
    return pool.dispatch(request, handler);
  }

  override async destroy(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }
}

/**
 * undici opens a new connection for a request that was aborted, and leaves it open, unused and without a limit in
 * time (https://github.com/nodejs/undici/issues/5845). So the client of an aborted request ends with it.
 */
function createClient(origin: URL, options: object): Dispatcher {
  const client = new Client(origin, options);
  client.on('disconnect', (url, targets, error) => {
    if (error.message !== 'aborted') return;
    void client.destroy();
    // At this event the pool forgets its client.
    client.emit('connectionError', url, targets, error);
  });
  return client;
}

function createConnect(): buildConnector.connector {
  const connect = buildConnector({});
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error !== null) {
        callback(error, null);
        return;
      }
      // undici adds this to some errors only.
      socket.once('error', (cause: SocketError) => {
        cause.socket ??= { bytesRead: socket.bytesRead };
      });
      callback(null, socket);
    });
}

interface SocketError extends NodeJS.ErrnoException {
  /** Of all requests on the connection. */
  socket?: { readonly bytesRead: number };
}

/** Enough of a refusal to understand it, in bytes; the rest is read and dropped. */
const MAX_REFUSAL_BYTES = 65_536;

export type AnswerHead = Pick<ProviderAnswer, 'status' | 'headers'>;

/**
 * One HTTP exchange with a provider over undici's `dispatch`, for one handler. Of any answer but a 2xx it keeps
 * what the classification needs.
 */
export abstract class Exchange<Chunk, End extends AnswerEnd>
  implements Dispatcher.DispatchHandler, Call
{
  protected readonly handler: CallHandler<Chunk, End>;
  protected readonly context: ClassifyContext;
  protected head: AnswerHead = { status: 0, headers: {} };
  /** Nothing more may be handed on. */
  protected isOver = false;
  readonly #dispatcher: Dispatcher;
  readonly #request: Dispatcher.DispatchOptions;
  #controller: Dispatcher.DispatchController | null = null;
  #isGood = false;
  #inflater: Inflater | null = null;
  #refusal: Buffer[] = [];
  #refusalSize = 0;
  #hasBegun = false;
  #isPaused = false;

  /**
   * The caller dispatches the request with this handler. The exchange repeats it when a kept connection was dead.
   */
  constructor(
    dispatcher: Dispatcher,
    request: Dispatcher.DispatchOptions,
    handler: CallHandler<Chunk, End>,
    context: ClassifyContext,
  ) {
    this.#dispatcher = dispatcher;
    this.#request = request;
    this.handler = handler;
    this.context = context;
  }

  /** Whether a good answer is handed on as it was before it was compressed. */
  protected abstract readonly isInflated: boolean;
  /** Gets a good answer in pieces. */
  protected abstract received(bytes: Buffer): void;
  /** The good answer has come to its end. */
  protected abstract ended(): void;
  protected abstract refused(answer: ProviderAnswer): void;
  /** There is no complete answer. */
  protected abstract broken(error: Error): void;

  pause(): void {
    this.#isPaused = true;
    this.#controller?.pause();
    this.#inflater?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#inflater?.resume();
    if (this.#inflater?.writableNeedDrain !== true) this.#controller?.resume();
  }

  abort(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#controller?.abort(GIVEN_UP);
    this.#inflater?.destroy();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.isOver) controller.abort(GIVEN_UP);
    else if (this.#isPaused) controller.pause();
  }

  /** The first byte of an answer has come. */
  onResponseStarted(): void {
    this.#hasBegun = true;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: ProviderAnswer['headers'],
  ): void {
    // An interim answer, such as 103, is followed by the real one.
    if (status < 200) return;
    this.head = { status, headers };
    // As long as a stream they would be kept as bytes too.
    controller.rawHeaders = null;
    this.#isGood = status < 300;
    const encoding = headers['content-encoding'];
    if (this.#isGood && this.isInflated && encoding !== undefined) this.#inflate(encoding);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isGood) {
      if (this.#refusalSize < MAX_REFUSAL_BYTES) this.#refusal.push(chunk);
      this.#refusalSize += chunk.length;
    } else if (this.#inflater === null) this.#take(chunk);
    else if (!this.#inflater.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.isOver) return;
    if (!this.#isGood) this.#refuse();
    else if (this.#inflater === null) this.#close();
    else this.#inflater.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.isOver) return;
    // Several kept connections may be dead. A new connection is never repeated.
    if (!this.#hasBegun && wasDeadBefore(error)) {
      this.#dispatcher.dispatch(this.#request, this);
      return;
    }
    // A refusal that breaks off is still a refusal.
    if (this.head.status >= 300) this.#refuse();
    else this.#break(error);
  }

  #inflate(encoding: string | string[]): void {
    const inflater = createInflater(encoding);
    if (inflater === null) return;
    this.#inflater = inflater;
    inflater.on('data', (bytes: Buffer) => this.#take(bytes));
    inflater.on('drain', () => this.#isPaused || this.#controller?.resume());
    inflater.on('end', () => this.#close());
    inflater.on('error', (error) => this.#break(error));
  }

  #take(bytes: Buffer): void {
    if (this.isOver) return;
    try {
      this.received(bytes);
    } catch (bug) {
      this.#surface(bug);
    }
  }

  #close(): void {
    if (this.isOver) return;
    try {
      this.ended();
      this.isOver = true;
    } catch (bug) {
      this.#surface(bug);
    }
  }

  #refuse(): void {
    const bytes = inflated(Buffer.concat(this.#refusal), this.head.headers['content-encoding']);
    const text = bytes.subarray(0, MAX_REFUSAL_BYTES).toString();
    const isCut = this.#refusalSize > MAX_REFUSAL_BYTES || bytes.length > MAX_REFUSAL_BYTES;
    try {
      this.refused({ ...this.head, body: isCut ? withoutLastWord(text) : text });
      this.isOver = true;
    } catch (bug) {
      this.#surface(bug);
    }
  }

  #break(error: Error): void {
    if (this.isOver) return;
    try {
      this.broken(error);
      this.isOver = true;
    } catch (bug) {
      this.#surface(bug);
    }
  }

  /** undici would take a bug of ours for a failure of the network, or say nothing of it. */
  #surface(bug: unknown): void {
    this.abort();
    this.handler.onFailure(bug);
  }
}

/** Shared by all exchanges: creating an error costs a stack trace. */
const GIVEN_UP = new Error('the attempt was given up');

type Inflater = ReturnType<typeof createGunzip>;

/** We ask for no encoding, but some gateways compress every answer. Null for an answer that is not compressed. */
function createInflater(encoding: string | string[]): Inflater | null {
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      return null;
  }
}

/** The beginning of a refusal, as it is where it cannot be inflated. */
function inflated(bytes: Buffer, encoding: string | string[] | undefined): Buffer {
  const options = { maxOutputLength: 2 * MAX_REFUSAL_BYTES };
  try {
    if (encoding === 'br') return brotliDecompressSync(bytes, options);
    if (encoding === 'gzip' || encoding === 'deflate') {
      return unzipSync(bytes, { ...options, finishFlush: constants.Z_SYNC_FLUSH });
    }
  } catch {
    // Its status still says what it is.
  }
  return bytes;
}

const CLOSED: ReadonlySet<unknown> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/**
 * Whether the provider had closed a kept connection when the request was sent: earlier answers came over it,
 * and nothing of this one.
 */
const wasDeadBefore = ({ code, socket }: SocketError): boolean =>
  CLOSED.has(code) && socket !== undefined && socket.bytesRead > 0;
