import type { Dispatcher } from 'undici';
import type { ApiKey } from '../shared/api-key.ts';
import type { ChatChunk, ChatFinish, ChatTurn } from '../shared/chat.ts';
import type { Failure, Usage } from '../shared/failure.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import type { Redact } from '../shared/redact.ts';
import type { Target } from '../shared/target.ts';

/**
 * The record of a provider: all that is particular to it. `server.ts` lists the records.
 *
 * @typeParam Settings what of the settings it needs
 */
export interface Provider<Settings = never> extends ProviderFacts<Settings> {
  /** Left out by a provider that answers no chats. */
  createChat?(settings: Settings, context: UpstreamContext): ChatClient;
  /** A provider without embeddings leaves it out. */
  createEmbeddings?(settings: Settings, context: UpstreamContext): EmbeddingClient;
  /** Left out by a provider that has no call without a quota. */
  createKeyCheck?(settings: Settings, context: UpstreamContext): CheckKey;
}

/**
 * Checks a key by a call that uses no quota.
 *
 * @param signal ends the check
 * @returns null for a key that works, else the classified failure; a rejection is a bug
 */
export type CheckKey = (key: ApiKey, signal: AbortSignal) => Promise<Failure | null>;

/** What every client of a provider is made with. */
export interface UpstreamContext {
  readonly dispatcher: Dispatcher;
  readonly redact: Redact;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export type ChatClient = Client<ChatTurn, ChatChunk, ChatFinish>;

export type EmbeddingClient = Client<EmbeddingQuestion, never, Embeddings>;

/** A request for the embeddings of texts. */
export interface EmbeddingQuestion {
  readonly texts: readonly string[];
  /** How many numbers for each text; null leaves it to the model. */
  readonly dimensions: number | null;
}

export interface Embeddings {
  /** In the order of the texts. */
  readonly vectors: readonly (readonly number[])[];
  /** Null where the provider does not count. */
  readonly usage: Usage | null;
}

/** Asks a provider for one kind of thing. */
export interface Client<Question, Chunk, End extends AnswerEnd> {
  /** Starts one call with one key. */
  call(question: Question, key: ApiKey, target: Target, handler: CallHandler<Chunk, End>): Call;
}

/** What the end of every answer has. */
export interface AnswerEnd {
  /** Null where it is unknown. */
  readonly usage: Usage | null;
}

/** One call under way. */
export interface Call {
  /** The provider is not read until `resume`; what it has sent already may still come. */
  pause(): void;
  resume(): void;
  /** Ends the call and frees its connection; its handler gets nothing more. Does nothing after the end. */
  abort(): void;
  /** What the provider has counted for an answer that did not come to its end, as far as it is known. */
  usageSoFar?(): Usage | null;
}

/** Part of a distributed trace, where spans are exported. */
export interface Traced {
  /** W3C's header for the provider. It is read at the start of the call. */
  readonly traceparent?: string | undefined;
}

/** Gets the answer of one call: chunks, then either `onEnd` or `onFailure`, once. */
export interface CallHandler<Chunk, End extends AnswerEnd> extends Traced {
  /** Before the first chunk, where the provider says which model answers. */
  onModel(name: string): void;
  onChunk(chunk: Chunk): void;
  /** The answer is complete, unless more of it follows: the last end counts. Optional before `onEnd`. */
  onFinish(end: End): void;
  onEnd(end: End): void;
  /** @param error an UpstreamError with the classified failure; anything else is a bug */
  onFailure(error: unknown): void;
}

/** One call that is asked for by a promise. */
export interface AsyncCall<Chunk> extends Traced {
  readonly key: ApiKey;
  readonly target: Target;
  /** Aborts when the answer is not wanted any more. */
  readonly signal: AbortSignal;
  readonly onChunk: (chunk: Chunk) => void;
}

/**
 * A client for answers that are short: it reads on whatever its reader does.
 *
 * @param ask resolves at the end; rejects with an UpstreamError, with anything else for a bug
 */
export const asyncClient = <Question, Chunk, End extends AnswerEnd>(
  ask: (question: Question, call: AsyncCall<Chunk>) => Promise<End>,
): Client<Question, Chunk, End> => ({
  call(question, key, target, handler) {
    const controller = new AbortController();
    const { signal } = controller;
    const onChunk = (chunk: Chunk) => signal.aborted || handler.onChunk(chunk);
    const { traceparent } = handler;
    ask(question, { key, target, signal, onChunk, traceparent })
      .then((end) => signal.aborted || handler.onEnd(end))
      .catch((error: unknown) => signal.aborted || handler.onFailure(error));
    return { pause() {}, resume() {}, abort: () => controller.abort() };
  },
});

/** A provider's refusal as it came over the wire. */
export interface ProviderAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** Whether the body broke off or was too long to be read whole. */
  readonly isCut?: boolean;
}

/** What every classifier needs besides the answer itself: a `Retry-After` may be a date. */
export type ClassifyContext = Pick<UpstreamContext, 'redact' | 'now'>;
