import type { Request } from 'express';
import { z } from 'zod';
import { type ChatReply, type ChatRequest, textOf } from '../../services/chat.ts';
import type { ChatChunk, ChatFinish, MediaPart, TextPart } from '../../shared/chat.ts';
import type { Usage } from '../../shared/failure.ts';
import type { ErrorForm, HttpError } from '../errors.ts';
import { STREAM_CACHING, type StreamForm, TEXT_TYPE } from '../reply.ts';

/** How one kind of caller asks, is answered and is refused. */
export interface Dialect {
  /** @throws HttpError that names each faulty field */
  read(request: Request): { readonly request: ChatRequest; readonly answer: AnswerForm };
  readonly errors: ErrorForm;
}

/** The answer as one JSON body, or as a stream. */
export type AnswerForm =
  | { readonly kind: 'whole'; readonly body: (reply: ChatReply, facts: AnswerFacts) => unknown }
  | {
      readonly kind: 'stream';
      readonly frames: (facts: AnswerFacts) => Frames;
      /** What the client calls its chat, as it came; set where it may resume the answer by it. */
      readonly chatId?: unknown;
    };

export interface AnswerFacts {
  readonly requestId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Of an answer that can be resumed: a client that has a part of it replaces the part by the whole. */
  readonly messageId?: string;
}

/** What is written for each part of a streamed answer. */
export interface Frames extends StreamForm {
  /** Called once, when the model that answers is known. @returns what is written with the first piece */
  begin(model: string): string;
  piece(chunk: ChatChunk): string;
  end(finish: ChatFinish): string;
  /** Takes the place of the end; null where the form has no errors and the connection is broken off. */
  fail(error: HttpError): string | null;
  /** Takes the place of the end where the client has stopped the answer. */
  stop?(): string;
}

export const EVENT_STREAM = {
  'content-type': 'text/event-stream',
  'cache-control': STREAM_CACHING,
  'x-accel-buffering': 'no',
} as const;

/** Readers of events skip comments. */
export const COMMENT = ': keep-alive\n\n';
export const DONE = 'data: [DONE]\n\n';

/** Of the usage, what our own forms show. */
export const toTokens = ({ inputTokens, outputTokens, totalTokens }: Usage) => ({
  inputTokens,
  outputTokens,
  totalTokens,
});

export const toEvent = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

/** The text alone. Only a broken connection shows that it is incomplete. */
export const plainText = (): Frames => ({
  headers: { ...EVENT_STREAM, 'content-type': TEXT_TYPE },
  begin: () => '',
  piece: textOf,
  end: () => '',
  fail: () => null,
  keepAlive: null,
});

export const MAX_MESSAGES = 1000;
/** Of one message. */
export const MAX_PARTS = 1000;

/** What a user says. An assistant's text may be empty: it was our answer, and the caller cannot mend it. */
export const userText = z.string().regex(/\S/, 'Must not be empty.');

export function hasText(value: string): boolean {
  return value.trim() !== '';
}

/** As OpenAI and the AI SDK write a text. */
export const textPart = z
  .looseObject({ type: z.literal('text'), text: z.string() })
  .transform(({ text }): TextPart => ({ kind: 'text', text }));

const PREFIXES = /^(?:(?:models|google)\/)+/;

/** The name of a model, without `models/` and `google/`, which some callers write before it. */
export const modelName = z
  .string()
  .max(200)
  .transform((name) => name.replace(PREFIXES, ''));

/** Up to the comma. The expression would need too much of the stack for a longer head. */
const MAX_HEAD = 1000;
const DATA_URL = /^data:([\w.+-]+\/[\w.+-]+)((?:;[\w.+-]+=[^;,]*)*);base64,$/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export const NOT_A_DATA_URL = 'Must be a data URL such as data:image/png;base64,iVBORw0KGgo=.';

/** A data URL in base64 with a media type. */
export const dataUrl = z.string().transform((url, context): MediaPart => {
  const media = readDataUrl(url);
  if (media !== null) return media;
  context.addIssue({ code: 'custom', message: NOT_A_DATA_URL });
  return z.NEVER;
});

/**
 * Many clients send `image/jpg`, which Google does not know: it becomes `image/jpeg`.
 *
 * @returns null for what is no such URL
 */
export function readDataUrl(url: unknown): MediaPart | null {
  if (typeof url !== 'string') return null;
  const head = url.slice(0, url.slice(0, MAX_HEAD).indexOf(',') + 1);
  const mediaType = DATA_URL.exec(head)?.[1]?.toLowerCase();
  if (mediaType === undefined) return null;
  const data = url.slice(head.length);
  const isWhole = data.length % 4 === 0 || !data.endsWith('=');
  return isWhole && data.length % 4 !== 1 && BASE64.test(data)
    ? { kind: 'media', mediaType: mediaType === 'image/jpg' ? 'image/jpeg' : mediaType, data }
    : null;
}
