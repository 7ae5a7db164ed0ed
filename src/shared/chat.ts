import type { Usage } from './failure.ts';

/** One turn of a conversation, the same for every dialect and every provider. */
export interface ChatTurn {
  readonly system: string | null;
  /** Oldest first; the last one is to be answered. */
  readonly messages: readonly ChatMessage[];
  readonly settings?: GenerationSettings;
  readonly tools?: Tools;
}

export type ChatMessage =
  | { readonly role: 'user'; readonly parts: readonly UserPart[] }
  | { readonly role: 'assistant'; readonly parts: readonly AssistantPart[] }
  | { readonly role: 'tool'; readonly results: readonly ToolResult[] };

export interface TextPart {
  readonly kind: 'text';
  readonly text: string;
}

/** An image, a sound or a document, carried in the request or the answer itself. */
export interface Media {
  readonly mediaType: string;
  /** Base64. */
  readonly data: string;
}

export type MediaPart = Media & { readonly kind: 'media' };

export type UserPart = TextPart | MediaPart;
export type AssistantPart = TextPart | (ToolCall & { readonly kind: 'tool-call' });

export interface ToolCall {
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** The provider's own data, which must come back with the call. */
  readonly signature?: string;
}

/** Of several calls at once, the results stand in the order of the calls. */
export interface ToolResult {
  readonly name: string;
  readonly output: Readonly<Record<string, unknown>>;
}

export interface Tools {
  readonly declarations: readonly ToolDeclaration[];
  readonly choice: ToolChoice;
}

export interface ToolDeclaration {
  readonly name: string;
  readonly description?: string;
  /** A JSON schema. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** `one` must be called, by its name; `any` leaves the choice to the model. */
export type ToolChoice =
  | { readonly kind: 'auto' | 'any' | 'none' }
  | { readonly kind: 'one'; readonly name: string };

/** The provider decides what is left out. */
export interface GenerationSettings {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly maxOutputTokens?: number;
  readonly stop?: readonly string[];
  readonly seed?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly thinking?: ThinkingSettings;
  /** The answer is to be JSON, of this schema if given. */
  readonly json?: { readonly schema?: Readonly<Record<string, unknown>> };
}

/** How much the model may think before it answers. */
export interface ThinkingSettings {
  /** In tokens; 0 is none, -1 leaves it to the model. */
  readonly budget?: number;
  /** In the provider's words. */
  readonly level?: string;
  readonly includeThoughts?: boolean;
}

/** A part of the answer. The text may be empty. */
export interface ChatChunk {
  readonly text: string;
  readonly toolCalls?: readonly ToolCall[];
  readonly media?: Media;
}

/** Replaces a part of the answer with a sentence on a line of its own. */
export const notCarried = (what: string): string =>
  `\n[${what} was generated, which this format cannot carry.]\n`;

export interface ChatFinish {
  readonly reason: FinishReason;
  readonly usage: Usage;
}

export const FINISH_REASONS = ['stop', 'length', 'tool-calls', 'content-filter', 'other'] as const;
export type FinishReason = (typeof FINISH_REASONS)[number];
