import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../shared/clock.ts';
import { isAnswering } from './unfinished.ts';

/** How often it is looked for connections on which nothing happens any more. */
const SWEEP_MS = 50;

export interface Farewell {
  /** After which what is still open is cut off. */
  readonly limitMs: number;
  /**
   * How long a connection is kept on which nothing happens. A client may be sending its next request
   * at the very moment of closing, and would lose it; one that comes in this time is answered, and
   * told to be the last of its connection. At least one round of looking (50 ms) passes.
   */
  readonly farewellMs: number;
}

/**
 * Stops accepting, lets every request in flight have its answer, then resolves.
 *
 * @returns whether everything ended by itself
 */
export function drain(
  server: Server,
  clock: Clock,
  { limitMs, farewellMs }: Farewell,
): Promise<boolean> {
  return new Promise((resolve) => {
    let endedByItself = true;
    const limit = clock.after(limitMs, () => {
      endedByItself = false;
      server.closeAllConnections();
    });
    const closeQuiet = quietCloser(server, Math.max(1, Math.ceil(farewellMs / SWEEP_MS)));
    let sweep = clock.after(SWEEP_MS, look);
    function look(): void {
      closeQuiet();
      sweep = clock.after(SWEEP_MS, look);
    }
    closeQuiet();
    // Node's own `close` closes at once whatever is idle.
    server.closeIdleConnections = () => {};
    server.close(() => {
      limit.cancel();
      sweep.cancel();
      resolve(endedByItself);
    });
  });
}

interface Quiet {
  readonly bytesRead: number;
  readonly rounds: number;
}

/**
 * Counts rounds and not time: between two rounds Node reads what has come, however long the process
 * was held up. A connection that has not said a word yet is treated like one between two requests.
 */
function quietCloser(server: Server, patience: number): () => void {
  const quiet = new WeakMap<Socket, Quiet>();
  const look = (socket: Socket) => {
    const { bytesRead } = socket;
    const before = quiet.get(socket);
    const rounds = before?.bytesRead === bytesRead ? before.rounds + 1 : 0;
    if (isAnswering(socket)) quiet.delete(socket);
    else if (rounds >= patience) socket.destroy();
    else quiet.set(socket, { bytesRead, rounds });
  };
  return () => {
    for (const socket of connections.get(server) ?? []) look(socket);
  };
}

/** Node lists neither idle connections nor those that have not said a word, which it counts as busy. */
const connections = new WeakMap<Server, Set<Socket>>();

/** For `drain`, from the first connection on. */
export function rememberConnections(server: Server): void {
  const open = new Set<Socket>();
  connections.set(server, open);
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
}
