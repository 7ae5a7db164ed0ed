import type { ChildProcess, SendHandle } from 'node:child_process';
import type { Clock } from '../shared/clock.ts';

/** How Node's cluster module speaks of a connection that it hands over, and of what came of it. */
interface ClusterMessage {
  readonly cmd?: string;
  readonly act?: string;
  readonly seq?: number;
  readonly ack?: number;
}

/** A connection on its way, as far as it can be given up. */
interface Connection {
  close(): void;
}

/** How soon it is looked again whether all is read that a worker said before its end. */
const LOOK_AGAIN_MS = 10;

export interface Rescue {
  readonly clock: Clock;
  /** Whether a connection can go to another worker. */
  isAnotherListening(): boolean;
}

/**
 * Node forgets a connection that it was just handing to a worker when that worker ends: nobody would
 * ever answer or close it, and its caller would wait in vain. Here it counts as not accepted, so that
 * it goes to another worker; where there is none, it is closed.
 */
export function rescueConnections(
  child: ChildProcess,
  { clock, isAnotherListening }: Rescue,
): void {
  const underway = new Map<number, Connection>();
  const send = child.send.bind(child);
  child.send = (message: ClusterMessage, handle?: unknown, ...rest: unknown[]) => {
    const { act, seq } = message;
    if (act === 'newconn' && seq !== undefined) underway.set(seq, handle as Connection);
    return Reflect.apply(send, child, [message, handle as SendHandle, ...rest]);
  };
  child.on('internalMessage', ({ ack }: ClusterMessage) => {
    if (ack !== undefined) underway.delete(ack);
  });
  child.once('exit', sayDisconnected);
  // The cluster module has heard it before us, and hands nothing more to this worker.
  child.on('disconnect', () => {
    for (const [ack, connection] of underway) {
      underway.delete(ack);
      if (!isAnotherListening()) connection.close();
      else child.emit('internalMessage', { cmd: 'NODE_CLUSTER', ack, accepted: false });
    }
  });

  /** Node itself leaves it out while a connection is on its way. */
  function sayDisconnected(): void {
    if (child.connected) clock.after(LOOK_AGAIN_MS, sayDisconnected);
    else if (underway.size > 0) child.emit('disconnect');
  }
}
