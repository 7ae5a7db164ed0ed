import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { CLIENT_GONE } from './access-log.ts';

/**
 * The unfinished responses of each connection, in the order of their requests: the first one is being
 * sent, the others wait behind it. The socket's listener below keeps the set alive, and nothing else.
 */
const unfinished = new WeakMap<Duplex, Set<ServerResponse>>();

const NONE: ReadonlySet<ServerResponse> = new Set();

export const unfinishedOn = (socket: Duplex): ReadonlySet<ServerResponse> =>
  unfinished.get(socket) ?? NONE;

export const isAnswering = (socket: Duplex): boolean => unfinishedOn(socket).size > 0;

/** Node tells only the response whose turn it is that its client has gone; those behind it hear nothing. */
export function tellOfClose(socket: Duplex, response: ServerResponse): void {
  const waiting = unfinished.get(socket) ?? rememberSocket(socket);
  waiting.add(response);
  response.once('close', () => waiting.delete(response));
}

/**
 * A separate function: all closures that one call creates share their variables. In `tellOfClose`
 * this listener would hold the connection's first response, with its request and body.
 */
function rememberSocket(socket: Duplex): Set<ServerResponse> {
  const waiting = new Set<ServerResponse>();
  unfinished.set(socket, waiting);
  socket.once('close', () => queueMicrotask(() => endAll(waiting)));
  return waiting;
}

function endAll(waiting: ReadonlySet<ServerResponse>): void {
  for (const response of waiting) {
    // Whatever it was going to say, nobody has heard it.
    response.statusCode = CLIENT_GONE;
    response.destroy();
    response.emit('close');
  }
}
