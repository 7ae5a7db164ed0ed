import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Express } from 'express';
import type { Logger } from '../shared/logger.ts';
import { rememberConnections } from './drain.ts';
import { tellOfClose, unfinishedOn } from './unfinished.ts';
import { answerUnreadable } from './unreadable.ts';

/** Longer than any proxy in front keeps an idle connection, so that it never sends into one we just closed. */
const KEEP_ALIVE_MS = 120_000;
const HEADERS_MS = 125_000;
/** For a whole request to arrive, its body included. */
const REQUEST_MS = 130_000;
/** How many new connections may wait for us: Node's 511 resets some when thousands come at once. */
const BACKLOG = 8192;

/** An HTTP server for the app, not yet listening. */
export function createHttpServer(app: Express, log: Logger): Server {
  const server: Server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      requireHostHeader: false,
      ...bornAs(app, () => server.listening),
    },
    app,
  );
  rememberConnections(server);
  answerWhatNodeRefuses(server, log);
  return server;
}

/** Every answer is ours, with an id: also to what Node would answer by itself. */
function answerWhatNodeRefuses(server: Server, log: Logger): void {
  server.on('clientError', (error, socket) => {
    const [answering] = unfinishedOn(socket);
    answerUnreadable(error, socket, answering, log);
  });
  // Before the app, which may answer at once.
  server.prependListener('request', ({ socket }, response) => tellOfClose(socket, response));
  const answer = (request: IncomingMessage, response: ServerResponse) =>
    server.emit('request', request, response);
  // An expectation that we do not know is no reason to refuse what we can answer.
  server.on('checkExpectation', answer);
  // `100 Continue` is sent by the route that reads the body, and only if it does.
  server.on('checkContinue', answer);
}

/** @returns the port, once connections are accepted; rejects when the address cannot be had */
export function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, backlog: BACKLOG }, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/** Whether no later request has come on its connection. */
const isNewest = (response: ServerResponse): boolean =>
  [...unfinishedOn(response.req.socket)].at(-1) === response;

/**
 * Express sets the prototype of each request and response that it gets, which costs more than all
 * its routing. Here they are born with it: the app's prototypes become those of two classes.
 *
 * @param isOpen whether the server still accepts; afterwards the last answer of each connection
 *   says that it is, or a client would send its next request into one that we close
 */
function bornAs(app: Express, isOpen: () => boolean) {
  class AppRequest extends IncomingMessage {}
  class AppResponse extends ServerResponse {
    override writeHead(status: number, ...rest: unknown[]): this {
      if (!isOpen() && isNewest(this)) this.shouldKeepAlive = false;
      return Reflect.apply(super.writeHead, this, [status, ...rest]);
    }
  }
  Object.setPrototypeOf(AppRequest.prototype, app.request);
  Object.setPrototypeOf(AppResponse.prototype, app.response);
  Object.assign(app, { request: AppRequest.prototype, response: AppResponse.prototype });
  return { IncomingMessage: AppRequest, ServerResponse: AppResponse };
}
