import type { ChatFinish } from '../shared/chat.ts';
import { UpstreamError, type Usage } from '../shared/failure.ts';

/** What a person reads instead of an answer that the provider blocked. */
export const BLOCKED_REPLY = "I can't help with that. Could you ask in a different way?";

export const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0 };

/** Content that was blocked before a word came is an answer too; whatever else was thrown goes on. */
export function finishOfBlocked(error: unknown): ChatFinish {
  const failure = error instanceof UpstreamError ? error.failure : null;
  if (failure?.kind !== 'content_blocked') throw error;
  return { reason: 'content-filter', usage: failure.usage ?? NO_USAGE };
}
