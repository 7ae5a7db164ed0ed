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
  const limit = clock.after(stallMs, () => response.destroy());
  await new Promise<void>((resolve) => {
    const finish = () => {
      limit.cancel();
      response.off(event, finish);
      response.off('close', finish);
      resolve();
    };
    response.on(event, finish);
    response.on('close', finish);
  });
}
