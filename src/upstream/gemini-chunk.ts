import type { EnhancedGenerateContentResponse } from '@google/generative-ai';
import type { ChatChunk, FinishReason } from '../shared/chat.ts';
import type { Usage } from '../shared/failure.ts';

/**
 * A chunk as it may really come: the SDK's types promise too much, and know neither errors nor
 * thoughts; a gateway in between may write `null` for whatever is not there.
 */
export interface RawChunk {
  readonly error?: unknown;
  readonly candidates?: readonly (RawCandidate | null)[] | null;
  readonly promptFeedback?: { readonly blockReason?: string | null } | null;
  readonly usageMetadata?: {
    readonly promptTokenCount?: number;
    readonly candidatesTokenCount?: number;
    readonly thoughtsTokenCount?: number;
    readonly totalTokenCount?: number;
  } | null;
}

interface RawCandidate {
  readonly finishReason?: string | null;
  readonly content?: { readonly parts?: readonly (RawPart | null)[] | null } | null;
}

interface RawPart {
  readonly text?: string;
  readonly thought?: boolean;
}

/** What a chunk of the SDK's says: a piece of the answer, an error, a block, or nothing to hand on. */
export type ReadChunk =
  | { readonly kind: 'error'; readonly body: string }
  | { readonly kind: 'blocked'; readonly reason: string; readonly usage: Usage }
  | { readonly kind: 'piece'; readonly chunk: ChatChunk }
  | { readonly kind: 'nothing' };

export function readChunk(value: EnhancedGenerateContentResponse): ReadChunk {
  const raw = value as unknown as RawChunk;
  if (raw.error !== undefined && raw.error !== null)
    return { kind: 'error', body: JSON.stringify(raw) };
  const blockReason = raw.promptFeedback?.blockReason;
  if (typeof blockReason === 'string') {
    return { kind: 'blocked', reason: blockReason, usage: usageOf(raw) };
  }
  const candidate = raw.candidates?.[0];
  return candidate === undefined || candidate === null
    ? { kind: 'nothing' }
    : readCandidate(candidate, raw);
}

function readCandidate(candidate: RawCandidate, raw: RawChunk): ReadChunk {
  const text = textOf(candidate);
  const { finishReason } = candidate;
  if (typeof finishReason !== 'string') {
    return text === '' ? { kind: 'nothing' } : { kind: 'piece', chunk: { text, finish: null } };
  }
  const reason = toFinishReason(finishReason);
  const usage = usageOf(raw);
  if (reason === 'content-filter' && text === '') {
    return { kind: 'blocked', reason: finishReason, usage };
  }
  return { kind: 'piece', chunk: { text, finish: { reason, usage } } };
}

/** Thoughts are the model's own and no part of the answer. */
function textOf({ content }: RawCandidate): string {
  let text = '';
  for (const part of content?.parts ?? []) if (part?.thought !== true) text += part?.text ?? '';
  return text;
}

/** https://ai.google.dev/api/generate-content#FinishReason */
const BLOCKED: ReadonlySet<string> = new Set([
  'SAFETY',
  'RECITATION',
  'BLOCKLIST',
  'PROHIBITED_CONTENT',
  'SPII',
  'IMAGE_SAFETY',
  'IMAGE_PROHIBITED_CONTENT',
]);

function toFinishReason(reason: string): FinishReason {
  if (reason === 'STOP') return 'stop';
  if (reason === 'MAX_TOKENS') return 'length';
  return BLOCKED.has(reason) ? 'content-filter' : 'other';
}

/** Thoughts are paid for as output, and counted apart from the candidates. */
function usageOf({ usageMetadata }: RawChunk): Usage {
  const counts = usageMetadata ?? {};
  const { promptTokenCount = 0, candidatesTokenCount = 0, thoughtsTokenCount = 0 } = counts;
  const outputTokens = candidatesTokenCount + thoughtsTokenCount;
  const { totalTokenCount = promptTokenCount + outputTokens } = counts;
  return { inputTokens: promptTokenCount, outputTokens, totalTokens: totalTokenCount };
}
