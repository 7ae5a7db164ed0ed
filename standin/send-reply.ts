import type { ServerResponse } from 'node:http';
import type { Clock } from '../src/shared/clock.ts';
import type { Reply, Step } from './reply.ts';

/** What the sender tells about its progress. */
export interface Sending {
  readonly clock: Clock;
  /** Called as the head goes out: never for an answer that hangs or resets before it. */
  onHead(status: number): void;
  /** Called before the stand-in itself ends the connection. */
  onCut(): void;
}

/** Plays a reply to the client. A client that hangs up cancels what is still to come. */
export function sendReply(reply: Reply, response: ServerResponse, sending: Sending): void {
  const { body, delayMs = 0 } = reply;
  const start = () => {
    if (typeof body === 'string') sendWhole(reply, body, response, sending);
    else playSteps(reply, body, response, sending);
  };
  if (delayMs > 0) waitFor(delayMs, response, sending.clock, start);
  else start();
}

/** The browser SDK calls Anam itself. */
const CORS = { 'access-control-allow-origin': '*' };

function sendWhole(reply: Reply, body: string, response: ServerResponse, sending: Sending): void {
  sending.onHead(reply.status);
  const contentLength = Buffer.byteLength(body);
  response.writeHead(reply.status, { ...CORS, ...reply.headers, 'content-length': contentLength });
  response.end(body);
}

function playSteps(
  reply: Reply,
  steps: readonly Step[],
  response: ServerResponse,
  sending: Sending,
): void {
  const playFrom = (index: number): void => {
    const step = steps[index] ?? END;
    const next = () => playFrom(index + 1);
    if (step.kind !== 'hang' && step.kind !== 'cut') sendHeadOnce(reply, response, sending);
    switch (step.kind) {
      case 'end':
        response.end();
        break;
      case 'write':
        write(step.text, response, next);
        break;
      case 'wait':
        waitFor(step.ms, response, sending.clock, next);
        break;
      case 'cut':
        sending.onCut();
        cutConnection(response);
        break;
      case 'hang':
        break;
    }
  };
  playFrom(0);
}

const END = { kind: 'end' } as const;

function sendHeadOnce(reply: Reply, response: ServerResponse, sending: Sending): void {
  if (response.headersSent) return;
  sending.onHead(reply.status);
  response.writeHead(reply.status, { ...CORS, ...reply.headers });
}

/** Goes on when the client has room for more. */
function write(text: string, response: ServerResponse, then: () => void): void {
  if (response.write(text)) then();
  else response.once('drain', then);
}

function waitFor(ms: number, response: ServerResponse, clock: Clock, then: () => void): void {
  const timer = clock.after(ms, () => {
    response.off('close', cancel);
    then();
  });
  const cancel = () => timer.cancel();
  response.once('close', cancel);
}

function cutConnection(response: ServerResponse): void {
  if (response.headersSent) response.socket?.destroySoon();
  else response.socket?.resetAndDestroy();
}
