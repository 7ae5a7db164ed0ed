/**
 * What Understudy is compared with: `reference-server.ts bare|express UPSTREAM`. It passes Gemini's
 * requests on and hands the provider's bytes back. On SIGUSR2 it reports what it holds.
 */
import { createServer, IncomingMessage, ServerResponse } from 'node:http';
import express from 'express';
import { Agent } from 'undici';
import './report-held.ts';

const [, , variant = '', origin = ''] = process.argv;
const agent = new Agent({ keepAliveTimeout: 60_000 });
const headers = { 'content-type': 'application/json', 'x-goog-api-key': 'bench-key' };
const CALLER_GONE = new Error('the caller has gone');

const server = variant === 'express' ? createExpress() : createServer(passThrough);
// Else a server that other work holds up for longer resets connections with a request in them.
server.keepAliveTimeout = 120_000;
server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 8192 });

/** Hangs up when the caller does. */
function passThrough(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'GET') {
    response.end('ready');
    return;
  }
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const [only] = parts;
    const body = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
    agent.dispatch(
      { origin, path: request.url ?? '', method: 'POST', headers, body },
      {
        onRequestStart: (controller) =>
          void response.once('close', () => {
            if (!response.writableFinished) controller.abort(CALLER_GONE);
          }),
        onResponseStart: (_, status, { 'content-type': type }) =>
          void response.writeHead(status, { 'content-type': type }),
        onResponseData: (_, chunk) => void response.write(chunk),
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  });
}

/** Express sets the prototype of each request and response; here they are created with it. */
function createExpress() {
  const app = express();
  app.disable('x-powered-by');
  app.all('/{*path}', passThrough);
  class AppRequest extends IncomingMessage {}
  class AppResponse extends ServerResponse {}
  Object.setPrototypeOf(AppRequest.prototype, app.request);
  Object.setPrototypeOf(AppResponse.prototype, app.response);
  Object.assign(app, { request: AppRequest.prototype, response: AppResponse.prototype });
  return createServer({ IncomingMessage: AppRequest, ServerResponse: AppResponse }, app);
}
