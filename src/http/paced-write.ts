import type { ServerResponse } from 'node:http';
import type { Clock } from '../shared/clock.ts';

/**
 * So long a client may take nothing of what is written before it is cut off. The system says that there
 * is room again only after megabytes were read, so that one that reads slowly needs its time.
 */
const STALL_MS = 120_000;

/** Returns when there is room for more, or when the client has gone. */
export async function write(
  response: ServerResponse,
  text: string | Uint8Array,
  clock: Clock,
): Promise<void> {
  if (text.length > 0 && !response.write(text)) await until('drain', response, clock);
}

/** Returns when all that was written has left us, or when the client has gone. */
export const sent = (response: ServerResponse, clock: Clock): Promise<void> =>
  until('finish', response, clock);

async function until(
  event: 'drain' | 'finish',
  response: ServerResponse,
  clock: Clock,
): Promise<void> {
  if (response.destroyed || response.writableFinished) return;
  let taken = response.socket?.bytesWritten ?? 0;
  let limit = clock.after(STALL_MS, giveUpUnlessTaken);
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

  /** Nor is one given up whose turn another answer on its connection still has. */
  function giveUpUnlessTaken(): void {
    const { socket } = response;
    const isStalled = socket !== null && socket.bytesWritten === taken;
    if (isStalled) {
      response.destroy();
      return;
    }
    taken = socket?.bytesWritten ?? 0;
    limit = clock.after(STALL_MS, giveUpUnlessTaken);
  }
}
