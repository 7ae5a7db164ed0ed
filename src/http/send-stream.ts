import type { ServerResponse } from 'node:http';
import type { ChatChunk } from '../shared/chat.ts';
import type { Clock } from '../shared/clock.ts';
import type { Frames } from './dialects/dialect.ts';
import { failInStream } from './error-form.ts';

export interface StreamLimits {
  /** How long a client may leave what is written unread, in milliseconds, before it is cut off. */
  readonly stallMs: number;
}

/** Less than the shortest patience of the proxies that we know of. */
const KEEP_ALIVE_MS = 15_000;

/**
 * Writes an answer as it comes. Nothing more is asked of the provider while the client does not read,
 * and nothing at all once it has gone: leaving the loop ends the call upstream.
 */
export async function sendStream(
  response: ServerResponse,
  frames: Frames,
  chunks: AsyncIterable<ChatChunk>,
  clock: Clock,
  { stallMs }: StreamLimits,
): Promise<void> {
  failInStream(response, frames.fail);
  const keepAlive = startKeepAlive(response, frames.keepAlive, clock);
  let ahead = frames.begin;
  try {
    for await (const chunk of chunks) {
      if (response.destroyed) break;
      if (!response.headersSent) response.writeHead(200, frames.headers);
      const text = ahead + frames.piece(chunk);
      ahead = '';
      // The loop goes on after that, to where the provider's connection can be used again.
      if (chunk.finish !== null) response.end(text + frames.end(chunk.finish));
      else await write(response, text, clock, stallMs);
    }
    await until('finish', response, clock, stallMs);
  } finally {
    keepAlive.stop();
  }
}

function startKeepAlive(response: ServerResponse, comment: string | null, clock: Clock) {
  if (comment === null) return { stop() {} };
  let timer = clock.after(KEEP_ALIVE_MS, say);
  function say(): void {
    if (response.headersSent && !response.writableNeedDrain) response.write(comment);
    timer = clock.after(KEEP_ALIVE_MS, say);
  }
  return { stop: () => timer.cancel() };
}

/** Until there is room for more, or the client has gone. */
async function write(response: ServerResponse, text: string, clock: Clock, stallMs: number) {
  if (text !== '' && !response.write(text)) await until('drain', response, clock, stallMs);
}

/** Waits for a client that may be slow; one that does not read at all is cut off. */
async function until(
  event: 'drain' | 'finish',
  response: ServerResponse,
  clock: Clock,
  stallMs: number,
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
