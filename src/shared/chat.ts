import type { Usage } from './failure.ts';

/** One turn of a conversation as every dialect and every upstream understands it. */
export interface ChatTurn {
  readonly system: string | null;
  /** Oldest first; the last one is what is to be answered. */
  readonly messages: readonly ChatMessage[];
}

export interface ChatMessage {
  readonly role: 'user' | 'assistant';
  readonly text: string;
}

/** A piece of the answer. The one that carries a finish reason is the last. */
export interface ChatChunk {
  readonly text: string;
  readonly finish: ChatFinish | null;
}

export interface ChatFinish {
  readonly reason: FinishReason;
  readonly usage: Usage;
}

export type FinishReason = 'stop' | 'length' | 'content-filter' | 'other';
