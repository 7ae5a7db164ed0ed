import type { Answer, AnsweredBy } from '../failover/failover-request.ts';
import type { ChatChunk, ChatFinish, ToolCall } from '../shared/chat.ts';
import { modelOf } from '../shared/target.ts';
import { BLOCKED_REPLY, finishOfBlocked, NO_USAGE } from './blocked-reply.ts';

export interface ChatReply extends ChatFinish, Omit<AnsweredBy, 'target'> {
  readonly model: string;
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
}

/** Takes the whole answer, so that another key may still step in until its very end. */
export async function collectReply({
  chunks,
  target,
  ...answered
}: Answer<ChatChunk>): Promise<ChatReply> {
  const answeredBy = { ...answered, model: modelOf(target) };
  let text = '';
  const toolCalls: ToolCall[] = [];
  let finish: ChatFinish = { reason: 'other', usage: NO_USAGE };
  try {
    for await (const chunk of chunks) {
      text += chunk.text;
      if (chunk.toolCalls !== undefined) toolCalls.push(...chunk.toolCalls);
      finish = chunk.finish ?? finish;
    }
  } catch (error) {
    finish = finishOfBlocked(error);
  }
  // Half a sentence of what was blocked is no answer.
  return finish.reason === 'content-filter'
    ? { text: BLOCKED_REPLY, toolCalls: [], ...answeredBy, ...finish }
    : { text, toolCalls, ...answeredBy, ...finish };
}
