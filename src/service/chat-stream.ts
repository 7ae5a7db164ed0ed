import type { ChatChunk } from '../shared/chat.ts';
import { UpstreamError } from '../shared/failure.ts';
import { begun } from './begun.ts';
import { BLOCKED_REPLY, finishOfBlocked } from './blocked-reply.ts';
import { clientGone, upstreamTimeout } from './conclusion.ts';
import type { Answer } from './failover-request.ts';
import { ServiceError } from './service-error.ts';

/** An answer that has begun. Whoever gives up on it has to say so by `return()`, as `for await` does. */
export interface ChatStream {
  /** The model that answers. */
  readonly model: string;
  /** Throws a ServiceError when the answer breaks off. */
  readonly chunks: AsyncIterableIterator<ChatChunk, void>;
}

/** Takes the first piece only: what follows goes out as it comes, and no other key can step in. */
export async function beginStream({ model, chunks }: Answer<ChatChunk>): Promise<ChatStream> {
  try {
    const first = await chunks.next();
    return { model, chunks: begun(first, chunks, breakOff) };
  } catch (error) {
    const chunk: ChatChunk = { text: BLOCKED_REPLY, finish: finishOfBlocked(error) };
    return { model, chunks: begun({ done: false, value: chunk }, chunks, breakOff) };
  }
}

export function breakOff(error: unknown): never {
  if (!(error instanceof UpstreamError)) throw error;
  const { failure } = error;
  if (failure.kind === 'client_gone') throw clientGone();
  if (failure.kind === 'upstream_down' && failure.timedOut) throw upstreamTimeout(error);
  throw new ServiceError('upstream_failed', 'The answer broke off. Please try again.', {
    cause: error,
  });
}
