import { randomUUID } from 'node:crypto';
import {
  createServer,
  IncomingMessage,
  type Server,
  ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Express } from 'express';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import { CLIENT_GONE } from './access.ts';
import { errorBody, HttpError } from './errors.ts';

declare module 'http' {
  interface OutgoingMessage {
    _storeHeader(firstLine: string, headers: unknown): void;
  }
}

/** Longer than proxies keep an idle connection, so that none sends into a connection that we just closed. */
const KEEP_ALIVE_MS = 120_000;
const HEADERS_MS = 125_000;
/** For a whole request to arrive, its body included. */
const REQUEST_MS = 130_000;
/** How many new connections may wait: Node's 511 resets some when thousands come at once. */
const BACKLOG = 8192;

/**
 * The open connections of a server, each with its unfinished responses: the first is being sent, the
 * others wait behind it. Node lists neither idle connections nor those that have sent nothing yet.
 */
class Connections extends Map<Socket, ServerResponse[]> {
  /** Whether the last answer of a connection says that it is the last. */
  isDraining = false;
}

const connectionsOf = new WeakMap<Server, Connections>();

/** An HTTP server for the app, not yet listening. */
export function createHttpServer(app: Express, log: Logger): Server {
  const connections = new Connections();
  const server: Server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      requireHostHeader: false,
      ...prototypesOf(app, connections),
    },
    answer,
  );
  connectionsOf.set(server, connections);
  server.on('connection', (socket) => {
    connections.set(socket, []);
    socket.on('close', endAll);
  });
  server.on('clientError', (error, socket) => {
    const answering = connections.get(socket as Socket)?.[0];
    answerUnreadable(error, socket, answering, log);
  });
  // An unknown expectation is no reason to refuse.
  server.on('checkExpectation', answer);
  // The route that reads the body sends `100 Continue`.
  server.on('checkContinue', answer);
  return server;

  // The listeners hold no request and no response, which would then live as long as the connection.
  function answer(request: IncomingMessage, response: ServerResponse): void {
    connections.get(request.socket)?.push(response);
    response.on('close', forget);
    app(request, response);
  }

  function forget(this: ServerResponse): void {
    const unfinished = connections.get(this.req.socket) ?? [];
    unfinished.splice(unfinished.indexOf(this), 1);
  }

  /** Node emits `close` only for the response whose turn it is, not for those behind it. */
  function endAll(this: Socket): void {
    const unfinished = connections.get(this) ?? [];
    connections.delete(this);
    if (unfinished.length === 0) return;
    queueMicrotask(() => {
      for (const response of unfinished) {
        if (response.closed) continue;
        response.statusCode = CLIENT_GONE;
        response.destroy();
        response.emit('close');
      }
    });
  }
}

/**
 * @returns the port, once connections are accepted
 * @throws ListenError
 */
export function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: NodeJS.ErrnoException) => reject(new ListenError(port, host, cause));
    server.once('error', refuse);
    server.listen({ port, host, backlog: BACKLOG }, () => {
      server.off('error', refuse);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/** The server cannot have its address. The message is for the person who starts it. */
export class ListenError extends Error {
  override readonly name = 'ListenError';

  constructor(port: number, host: string, cause: NodeJS.ErrnoException) {
    const messages: Readonly<Record<string, string>> = {
      EADDRINUSE: `PORT: ${port} is already in use on ${host}.`,
      EACCES: `PORT: ${port} needs more rights than this process has.`,
    };
    const otherwise = `Cannot listen on ${host}:${port}: ${cause.message}`;
    super(messages[cause.code ?? ''] ?? otherwise, { cause });
  }
}

/**
 * Express sets the prototype of each request and response, which costs more than all its routing. Here
 * they are created with it: the app's prototypes become those of two classes.
 */
function prototypesOf(app: Express, connections: Connections) {
  class AppRequest extends IncomingMessage {}
  class AppResponse<R extends IncomingMessage> extends ServerResponse<R> {
    declare readonly locals: Partial<Express.Locals>;

    /** Node writes each head with it, also one without `writeHead`. Here text is put before the headers. */
    override _storeHeader(statusLine: string, headers: unknown): void {
      if (connections.isDraining && isLast(this, connections)) this.shouldKeepAlive = false;
      super._storeHeader(statusLine + (this.locals.head ?? ''), headers);
    }
  }
  Object.setPrototypeOf(AppRequest.prototype, app.request);
  Object.setPrototypeOf(AppResponse.prototype, app.response);
  Object.assign(app, { request: AppRequest.prototype, response: AppResponse.prototype });
  return { IncomingMessage: AppRequest, ServerResponse: AppResponse };
}

const isLast = (response: ServerResponse, connections: Connections): boolean =>
  connections.get(response.req.socket)?.at(-1) === response;

const SWEEP_MS = 50;

export interface DrainOptions {
  /** After which open connections are cut off. */
  readonly limitMs: number;
  /**
   * How long an idle connection is kept: a client may be sending its next request just now. Such a
   * request is answered, as the last one of its connection. At least one sweep (50 ms) passes.
   */
  readonly idleMs: number;
}

/**
 * Stops accepting connections, and resolves when every request in flight has its answer.
 *
 * @returns whether everything ended before the limit
 */
export function drain(
  server: Server,
  clock: Clock,
  { limitMs, idleMs }: DrainOptions,
): Promise<boolean> {
  return new Promise((resolve) => {
    let isInTime = true;
    const limit = clock.after(limitMs, () => {
      isInTime = false;
      server.closeAllConnections();
    });
    const connections = connectionsOf.get(server) ?? new Connections();
    connections.isDraining = true;
    const closeIdle = idleCloser(connections, Math.max(1, Math.ceil(idleMs / SWEEP_MS)));
    closeIdle();
    let timer = clock.after(SWEEP_MS, sweep);
    function sweep(): void {
      closeIdle();
      timer = clock.after(SWEEP_MS, sweep);
    }
    // Node's own `close` would close idle connections at once.
    server.closeIdleConnections = () => {};
    server.close(() => {
      limit.cancel();
      timer.cancel();
      resolve(isInTime);
    });
  });
}

/** Counts sweeps instead of time: Node reads what has come between two of them, however busy the process was. */
function idleCloser(connections: Connections, maxSweeps: number): () => void {
  const idle = new Map<Socket, { readonly bytesRead: number; readonly sweeps: number }>();
  function visit(socket: Socket, isAnswering: boolean): void {
    const { bytesRead } = socket;
    const before = idle.get(socket);
    const sweeps = before?.bytesRead === bytesRead ? before.sweeps + 1 : 0;
    if (isAnswering) idle.delete(socket);
    else if (sweeps >= maxSweeps) socket.destroy();
    else idle.set(socket, { bytesRead, sweeps });
  }
  return () => {
    for (const [socket, unfinished] of connections) {
      visit(socket, unfinished.length > 0);
    }
  };
}

/** Faults of Node's parser that have a status of their own; every other is a 400. */
const STATUS_BY_FAULT: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * Answers a request that Node's parser could not read, in our error form and with an id, then ends the
 * connection. While an answer is being sent, it only ends the connection.
 */
function answerUnreadable(
  { code = '' }: NodeJS.ErrnoException,
  socket: Duplex,
  answering: ServerResponse | undefined,
  log: Logger,
): void {
  const isBusy = answering?.headersSent === true && !answering.writableFinished;
  if (code === 'ECONNRESET' || !socket.writable || isBusy) {
    socket.destroy();
    return;
  }
  const status = STATUS_BY_FAULT[code] ?? 400;
  const requestId = randomUUID();
  log.info({ requestId, status, why: code }, 'unreadable request');
  // The client's own close is not awaited: it could hold up a shutdown.
  socket.end(rawAnswer(status, requestId), () => socket.destroy());
}

function rawAnswer(status: number, requestId: string): string {
  const code = status === 413 ? 'payload_too_large' : 'invalid_request';
  const message = `The request could not be read: ${STATUS_CODES[status]}.`;
  const body = JSON.stringify(errorBody(new HttpError(code, message), requestId));
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'x-content-type-options: nosniff',
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
