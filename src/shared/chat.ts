import type { Usage } from './failure.ts';

/** One turn of a conversation, the same for every dialect and every provider. */
export interface ChatTurn {
  readonly system: string | null;
  /** Oldest first; the last one is to be answered. */
  readonly messages: readonly ChatMessage[];
  readonly settings?: GenerationSettings;
  readonly tools?: Tools;
  /** The name of a beginning of the conversation that the provider stores, such as `cachedContents/abc`. */
  readonly cachedContent?: string;
}

export type ChatMessage =
  | { readonly role: 'user'; readonly parts: readonly UserPart[] }
  | { readonly role: 'assistant'; readonly parts: readonly AssistantPart[] }
  | { readonly role: 'tool'; readonly results: readonly ToolResult[] };

export interface TextPart extends Signed {
  readonly kind: 'text';
  readonly text: string;
}

/** A signature goes back to the provider unchanged, so that the model remembers its thoughts. */
interface Signed {
  readonly signature?: string;
}

/** A thought of the model in an earlier answer. */
export interface ReasoningPart extends Signed {
  readonly kind: 'reasoning';
  readonly text: string;
}

/** An image, a sound or a document, carried in the request or the answer itself. */
export interface Media {
  readonly mediaType: string;
  /** Base64. */
  readonly data: string;
}

export type MediaPart = Media & Signed & { readonly kind: 'media' };

/** A file that the provider fetches. */
export interface LinkPart {
  readonly kind: 'link';
  /** An http or https address. */
  readonly url: string;
  /** Without it the provider finds out the type. */
  readonly mediaType?: string;
}

export type UserPart = TextPart | MediaPart | LinkPart;
export type AssistantPart =
  | TextPart
  | ReasoningPart
  | MediaPart
  | (ToolCall & { readonly kind: 'tool-call' });

export interface ToolCall extends Signed {
  /** Any text. A provider that does not accept it gets another name. */
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
}

/** Of several calls at once, the results stand in the order of the calls. */
export interface ToolResult {
  readonly name: string;
  readonly output: Readonly<Record<string, unknown>>;
  /** Images and other media that belong to the output. */
  readonly media?: readonly (MediaPart | LinkPart)[];
}

export interface Tools {
  /** May be empty where the search is offered. */
  readonly declarations: readonly ToolDeclaration[];
  readonly choice: ToolChoice;
  /** Whether the provider's own web search is offered. Default: false. */
  readonly search?: boolean;
}

export interface ToolDeclaration {
  readonly name: string;
  readonly description?: string;
  /** A JSON schema. Its root may leave out `type: object`, which is added for the provider. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** A function that the server declares and a page runs. */
export interface ChatTool extends ToolDeclaration {
  /** Whether a person has to agree before each call. */
  readonly needsApproval: boolean;
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
  /** What the answer may consist of. Default: the model decides. */
  readonly modalities?: readonly ('text' | 'image')[];
  /** The answer is to be JSON, of this schema if given. */
  readonly json?: { readonly schema?: Readonly<Record<string, unknown>> };
}

export const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high'] as const;
export type Effort = (typeof EFFORTS)[number];

/** How much the model may think before it answers. */
export interface ThinkingSettings {
  /** Becomes the budget or level that the model accepts. Ignored beside either, and for a model that does not think. */
  readonly effort?: Effort;
  /** In tokens; 0 is none, -1 leaves it to the model. */
  readonly budget?: number;
  /** One of the provider's own names. */
  readonly level?: string;
  readonly includeThoughts?: boolean;
}

/** A part of the answer. The text may be empty. */
export interface ChatChunk {
  readonly text: string;
  /** A thought, which is no part of the answer. Only where `includeThoughts` is set. */
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCall[];
  readonly media?: Media;
  readonly sources?: readonly Source[];
  /** The signature of the text, thought or medium. It may come alone, after its text. */
  readonly signature?: string;
}

/** A web page that the answer is based on. */
export interface Source {
  readonly url: string;
  readonly title?: string;
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
