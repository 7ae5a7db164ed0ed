import { breakOff } from '../failover/conclusion.ts';
import type { Answer, AnsweredBy } from '../failover/failover-request.ts';
import type { ChatChunk } from '../shared/chat.ts';
import { modelOf } from '../shared/target.ts';
import { begun } from './begun.ts';
import { BLOCKED_REPLY, finishOfBlocked } from './blocked-reply.ts';

/** An answer that has begun. Whoever gives up on it has to say so by `return()`, as `for await` does. */
export interface ChatStream extends Omit<AnsweredBy, 'target'> {
  readonly model: string;
  /** Throws a ServiceError when the answer breaks off. */
  readonly chunks: AsyncIterableIterator<ChatChunk, void>;
}

/** Takes the first piece only: what follows goes out as it comes, and no other key can step in. */
export async function beginStream({
  chunks,
  target,
  ...answered
}: Answer<ChatChunk>): Promise<ChatStream> {
  const answeredBy = { ...answered, model: modelOf(target) };
  try {
    const first = await chunks.next();
    return { ...answeredBy, chunks: begun(first, chunks, breakOff) };
  } catch (error) {
    const chunk: ChatChunk = { text: BLOCKED_REPLY, finish: finishOfBlocked(error) };
    return { ...answeredBy, chunks: begun({ done: false, value: chunk }, chunks, breakOff) };
  }
}
