import type { Request } from 'express';
import type { ChatRequest } from '../../services/chat.ts';
import type { ChatReply } from '../../services/chat-reply.ts';
import type { ChatChunk, ChatFinish } from '../../shared/chat.ts';
import { STREAM_CACHING } from '../caching.ts';
import type { ErrorForm } from '../error-form.ts';
import type { HttpError } from '../http-error.ts';

/** How one kind of caller asks, is answered and is refused. */
export interface Dialect {
  /** @throws HttpError that names each faulty field */
  read(request: Request): ChatCall;
  readonly errors: ErrorForm;
}

export interface ChatCall {
  readonly request: ChatRequest;
  readonly answer: AnswerForm;
}

/** The answer as one JSON body, or in pieces as they come. */
export type AnswerForm =
  | { readonly kind: 'whole'; readonly body: (reply: ChatReply, facts: AnswerFacts) => unknown }
  | { readonly kind: 'stream'; readonly frames: (facts: StreamFacts) => Frames };

export interface AnswerFacts {
  readonly requestId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface StreamFacts extends AnswerFacts {
  /** The model that answers. */
  readonly model: string;
}

/** What goes over the wire for each part of a streamed answer. */
export interface Frames {
  readonly headers: Readonly<Record<string, string>>;
  /** Goes out with the first piece. */
  readonly begin: string;
  piece(chunk: ChatChunk): string;
  end(finish: ChatFinish): string;
  /** Takes the place of the end; null where only a broken connection can tell. */
  fail(error: HttpError): string | null;
  /** Keeps whoever stands in between from taking silence for the end; null where that cannot be said. */
  readonly keepAlive: string | null;
}

/** What every stream of events says of itself; nobody in between may keep or hold it back. */
export const EVENT_STREAM = {
  'content-type': 'text/event-stream',
  'cache-control': STREAM_CACHING,
  'x-accel-buffering': 'no',
} as const;

/** A comment, which every reader of events skips. */
export const COMMENT = ': keep-alive\n\n';
