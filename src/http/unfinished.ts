import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CLIENT_GONE } from './access-log.ts';

/** The responses of a connection that are not finished yet, of which only the first has it. */
const unfinished = new WeakMap<Duplex, Set<ServerResponse>>();

/** Whether a request that came on this connection still waits for the end of its answer. */
export const isAnswering = (socket: Socket): boolean => (unfinished.get(socket)?.size ?? 0) > 0;

/** Node tells only the response whose turn it is that its client has gone; those behind it hear nothing. */
export function tellOfClose(socket: Socket, response: ServerResponse): void {
  const waiting = unfinished.get(socket) ?? new Set();
  if (!unfinished.has(socket)) {
    unfinished.set(socket, waiting);
    socket.once('close', () => queueMicrotask(() => endAll(waiting)));
  }
  waiting.add(response);
  response.once('close', () => waiting.delete(response));
}

function endAll(waiting: ReadonlySet<ServerResponse>): void {
  for (const response of waiting) {
    // Whatever it was going to say, nobody has heard it.
    response.statusCode = CLIENT_GONE;
    response.destroy();
    response.emit('close');
  }
}
