import type { EnhancedGenerateContentResponse } from '@google/generative-ai';
import type { ChatChunk, FinishReason, ToolCall } from '../../shared/chat.ts';
import type { Usage } from '../../shared/failure.ts';
import { asText, isJsonObject, type JsonObject } from '../../shared/json.ts';

/**
 * A chunk as it may really come. The SDK's types promise too much and lack errors and thoughts; a gateway
 * may write `null` for what is absent.
 */
interface RawChunk {
  readonly error?: unknown;
  readonly candidates?: readonly (RawCandidate | null)[] | null;
  readonly promptFeedback?: { readonly blockReason?: string | null } | null;
  readonly usageMetadata?: JsonObject | null;
}

interface RawCandidate {
  readonly finishReason?: string | null;
  readonly content?: { readonly parts?: unknown } | null;
}

/** What a chunk holds: a piece of the answer, an error, a block, or nothing of these. */
export type ReadChunk =
  | { readonly kind: 'error'; readonly body: string }
  | { readonly kind: 'blocked'; readonly reason: string; readonly usage: Usage }
  | { readonly kind: 'piece'; readonly chunk: ChatChunk }
  /** The model produced an unusable answer; another try may succeed. */
  | { readonly kind: 'garbled'; readonly reason: string; readonly usage: Usage }
  | { readonly kind: 'nothing' };

export function readChunk(value: EnhancedGenerateContentResponse): ReadChunk {
  const raw = value as unknown as RawChunk;
  if ((raw.error ?? null) !== null) return { kind: 'error', body: JSON.stringify(raw) };
  const blockReason = raw.promptFeedback?.blockReason;
  if (isSaid(blockReason)) return { kind: 'blocked', reason: blockReason, usage: usageOf(raw) };
  const candidate = raw.candidates?.[0] ?? null;
  return candidate === null ? { kind: 'nothing' } : readCandidate(candidate, raw);
}

function readCandidate(candidate: RawCandidate, raw: RawChunk): ReadChunk {
  const said = readParts(candidate);
  const isSilent = said.text === '' && said.toolCalls === undefined;
  const { finishReason } = candidate;
  if (!isSaid(finishReason)) {
    return isSilent ? { kind: 'nothing' } : { kind: 'piece', chunk: { ...said, finish: null } };
  }
  const usage = usageOf(raw);
  if (isSilent && GARBLED.has(finishReason)) {
    return { kind: 'garbled', reason: finishReason, usage };
  }
  const reason = toFinishReason(finishReason);
  if (reason === 'content-filter' && isSilent) {
    return { kind: 'blocked', reason: finishReason, usage };
  }
  return { kind: 'piece', chunk: { ...said, finish: { reason, usage } } };
}

/** Protobuf writes an absent reason as `…_UNSPECIFIED`. */
const isSaid = (reason: string | null | undefined): reason is string =>
  typeof reason === 'string' && reason !== '' && !reason.endsWith('_UNSPECIFIED');

/** Without thoughts, which are no part of the answer. */
function readParts({ content }: RawCandidate): Pick<ChatChunk, 'text' | 'toolCalls'> {
  const parts = content?.parts;
  if (!Array.isArray(parts)) return { text: '' };
  let text = '';
  let toolCalls: ToolCall[] | undefined;
  for (const part of parts as readonly (JsonObject | null)[]) {
    if (part?.thought !== true && typeof part?.text === 'string') text += part.text;
    // A call without a name cannot be answered.
    if (isJsonObject(part?.functionCall) && asText(part.functionCall.name) !== '') {
      toolCalls ??= [];
      toolCalls.push(toToolCall(part.functionCall, part.thoughtSignature));
    }
  }
  return toolCalls === undefined ? { text } : { text, toolCalls };
}

function toToolCall({ name, args }: JsonObject, signature: unknown): ToolCall {
  const call = { name: asText(name), input: isJsonObject(args) ? args : {} };
  return typeof signature === 'string' ? { ...call, signature } : call;
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

const GARBLED: ReadonlySet<string> = new Set([
  'MALFORMED_FUNCTION_CALL',
  'UNEXPECTED_TOOL_CALL',
  'MALFORMED_RESPONSE',
]);

function toFinishReason(reason: string): FinishReason {
  if (reason === 'STOP') return 'stop';
  if (reason === 'MAX_TOKENS') return 'length';
  return BLOCKED.has(reason) ? 'content-filter' : 'other';
}

/** Thoughts are billed as output, and counted apart from the candidates. */
function usageOf({ usageMetadata }: RawChunk): Usage {
  const inputTokens = toCount(usageMetadata?.promptTokenCount) ?? 0;
  const outputTokens =
    (toCount(usageMetadata?.candidatesTokenCount) ?? 0) +
    (toCount(usageMetadata?.thoughtsTokenCount) ?? 0);
  const totalTokens = toCount(usageMetadata?.totalTokenCount) ?? inputTokens + outputTokens;
  return { inputTokens, outputTokens, totalTokens };
}

const toCount = (value: unknown) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
