import type { ServerResponse } from 'node:http';
import type { ChatChunk, ChatFinish } from '../shared/chat.ts';
import type { Clock } from '../shared/clock.ts';
import type { Frames } from './dialects/dialect.ts';
import { failInStream } from './error-form.ts';
import { sent, write } from './paced-write.ts';

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
): Promise<void> {
  failInStream(response, frames.fail);
  const keepAlive = startKeepAlive(response, frames.keepAlive, clock);
  let ahead = frames.begin;
  let finish: ChatFinish | null = null;
  try {
    for await (const chunk of chunks) {
      if (!response.headersSent) response.writeHead(200, frames.headers);
      await write(response, ahead + frames.piece(chunk), clock);
      ahead = '';
      finish = chunk.finish ?? finish;
    }
    response.end(finish === null ? '' : frames.end(finish));
    await sent(response, clock);
  } finally {
    keepAlive.stop();
  }
}

function startKeepAlive(response: ServerResponse, comment: string | null, clock: Clock) {
  if (comment === null) return { stop() {} };
  let timer = clock.after(KEEP_ALIVE_MS, say);
  function say(): void {
    if (isOpen(response)) response.write(comment);
    timer = clock.after(KEEP_ALIVE_MS, say);
  }
  return { stop: () => timer.cancel() };
}

const isOpen = ({ headersSent, writableEnded, writableNeedDrain }: ServerResponse) =>
  headersSent && !writableEnded && !writableNeedDrain;
