import type { ServerResponse } from 'node:http';
import type { Clock } from '../shared/clock.ts';

export interface WriteLimits {
  readonly clock: Clock;
  /** How long a client may leave what is written unread, in milliseconds, before it is cut off. */
  readonly stallMs: number;
}

/** Returns when there is room for more, or when the client has gone. */
export async function write(
  response: ServerResponse,
  text: string | Uint8Array,
  limits: WriteLimits,
): Promise<void> {
  if (text.length > 0 && !response.write(text)) await until('drain', response, limits);
}

/** Returns when all that was written has left us, or when the client has gone. */
export const sent = (response: ServerResponse, limits: WriteLimits): Promise<void> =>
  until('finish', response, limits);

async function until(
  event: 'drain' | 'finish',
  response: ServerResponse,
  { clock, stallMs }: WriteLimits,
): Promise<void> {
  if (response.destroyed || response.writableFinished) return;
  let read = response.socket?.bytesWritten ?? 0;
  let limit = clock.after(stallMs, giveUpUnlessRead);
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

  /** A slow reader reads, and so may one whose turn another answer on its connection still has. */
  function giveUpUnlessRead(): void {
    const { socket } = response;
    const isStalled = socket !== null && socket.bytesWritten === read;
    if (isStalled) {
      response.destroy();
      return;
    }
    read = socket?.bytesWritten ?? 0;
    limit = clock.after(stallMs, giveUpUnlessRead);
  }
}
