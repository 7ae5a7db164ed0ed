import type { Dispatcher } from 'undici';
import type { ApiKey } from '../shared/api-key.ts';
import type { ChatChunk, ChatTurn } from '../shared/chat.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import type { Redact } from '../shared/redact.ts';

/**
 * The record of a provider: all that is particular to it. `server.ts` lists the records.
 *
 * @typeParam Settings what of the settings it needs
 */
export interface Provider<Settings = never> extends ProviderFacts<Settings> {
  /** Left out by a provider that answers no chats. */
  createChat?(settings: Settings, context: UpstreamContext): StreamChat;
}

/** What every client of a provider is made with. */
export interface UpstreamContext {
  readonly dispatcher: Dispatcher;
  readonly redact: Redact;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * Streams one answer with one key.
 *
 * @param signal Ends the call and frees its connection.
 * @throws UpstreamError with the classified failure, before the first chunk or after any
 */
export type StreamChat = (
  key: ApiKey,
  model: string,
  turn: ChatTurn,
  signal: AbortSignal,
) => AsyncGenerator<ChatChunk, void, undefined>;

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
