import type { OutgoingHttpHeaders } from 'node:http';
import type { Request } from 'express';
import { z } from 'zod';
import { type ChatReply, type ChatRequest, textOf } from '../../services/chat.ts';
import type {
  ChatChunk,
  ChatFinish,
  LinkPart,
  MediaPart,
  TextPart,
  UserPart,
} from '../../shared/chat.ts';
import type { ErrorForm, HttpError } from '../errors.ts';
import { STREAM_CACHING, type StreamForm, TEXT_TYPE } from '../reply.ts';

/** The forms of requests, answers and errors for one kind of caller. */
export interface Dialect {
  /** @throws HttpError that names each faulty field */
  read(request: Request): Reading;
  readonly errors: ErrorForm;
}

/** A request for a provider, or an answer that needs no provider. */
export type Reading =
  | { readonly request: ChatRequest; readonly answer: AnswerForm }
  | { readonly answer: ReadyAnswer };

export interface ReadyAnswer {
  readonly kind: 'ready';
  readonly headers: OutgoingHttpHeaders;
  readonly text: string;
}

/** The answer as one JSON body, or as a stream. */
export type AnswerForm =
  | { readonly kind: 'whole'; readonly body: (reply: ChatReply, facts: AnswerFacts) => unknown }
  | {
      readonly kind: 'stream';
      readonly frames: (facts: AnswerFacts) => Frames;
      /** The client's id of the chat, unchecked; set where the client may resume the answer. */
      readonly chatId?: unknown;
    };

export interface AnswerFacts {
  readonly requestId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Set for an answer that can be resumed: with it, a client replaces the part that it has by the whole. */
  readonly messageId?: string;
}

/** What is written for each part of a streamed answer. */
export interface Frames extends StreamForm {
  /** Called once, when the model that answers is known. @returns what is written with the first piece */
  begin(model: string): string;
  piece(chunk: ChatChunk): string;
  end(finish: ChatFinish): string;
  /** Replaces the end; null where the form has no errors, so that the connection is closed instead. */
  fail(error: HttpError): string | null;
  /** Replaces the end where the client has stopped the answer. */
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

export const toEvent = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

export const toNamedEvent = (name: string, data: object): string =>
  `event: ${name}\n${toEvent(data)}`;

/** The text alone. Only a broken connection shows that it is incomplete. */
export const plainText = (): Frames => ({
  headers: { ...EVENT_STREAM, 'content-type': TEXT_TYPE },
  begin: () => '',
  piece: textOf,
  end: () => '',
  fail: () => null,
  keepAlive: null,
});

/** Rarely reached: the size of the body is the effective limit. */
export const MAX_MESSAGES = 10_000;
/** For one message. */
export const MAX_PARTS = 10_000;

/** What a user says. An assistant's text may be empty: it was our answer, and the caller cannot mend it. */
export const userText = z.string().regex(/\S/, 'Must not be empty.');

export function hasText(value: string): boolean {
  return value.trim() !== '';
}

/** A medium is content, and so is a text that is not blank. */
export const hasContent = (part: UserPart): boolean => part.kind !== 'text' || hasText(part.text);

export const toTextPart = (text: string): TextPart => ({ kind: 'text', text });

/** A text as OpenAI, Anthropic and the AI SDK write it. */
export const textPart = z
  .looseObject({ type: z.literal('text'), text: z.string() })
  .transform(({ text }) => toTextPart(text));

const PREFIXES = /^(?:(?:models|google)\/)+/;

/** The name of a model, without `models/` and `google/`, which some callers write before it. */
export const modelName = z
  .string()
  .max(200)
  .transform((name) => name.replace(PREFIXES, ''));

/** Up to the comma. The expression would need too much of the stack for a longer head. */
const MAX_HEAD = 1000;
const DATA_URL = /^data:([\w.+-]+\/[\w.+-]+)((?:;[\w.+-]+=[^;,]*)*);base64,$/i;
/** Standard and URL-safe base64. Google reads both (https://protobuf.dev/programming-guides/json/). */
const BASE64 = /^[\w+/-]+={0,2}$/;
const WHITE_SPACE = /\s+/g;

const NOT_A_DATA_URL =
  'Must be a data URL in valid base64, such as data:image/png;base64,iVBORw0KGgo=.';

/** A data URL in base64 with a media type. */
export const dataUrl = z.string().transform((url, context): MediaPart => {
  const media = readDataUrl(url);
  if (media !== null) return media;
  context.addIssue({ code: 'custom', message: NOT_A_DATA_URL });
  return z.NEVER;
});

/**
 * Many clients send `image/jpg`, which Google does not know: it becomes `image/jpeg`. Some break the base64
 * into lines.
 *
 * @returns null for what is no such URL
 */
export function readDataUrl(url: unknown): MediaPart | null {
  if (typeof url !== 'string') return null;
  const head = url.slice(0, url.slice(0, MAX_HEAD).indexOf(',') + 1);
  const mediaType = DATA_URL.exec(head)?.[1]?.toLowerCase();
  if (mediaType === undefined) return null;
  const written = url.slice(head.length);
  const data = BASE64.test(written) ? written : written.replace(WHITE_SPACE, '');
  const isWhole = data.length % 4 === 0 || !data.endsWith('=');
  return isWhole && data.length % 4 !== 1 && BASE64.test(data)
    ? { kind: 'media', mediaType: toKnownType(mediaType), data }
    : null;
}

const toKnownType = (mediaType: string) => (mediaType === 'image/jpg' ? 'image/jpeg' : mediaType);

export const NOT_MEDIA = `${NOT_A_DATA_URL.slice(0, -1)}, or an http or https address.`;

/** A data URL, or an address that the provider fetches. */
export const mediaUrl = z.string().transform((url, context): MediaPart | LinkPart => {
  const part = readMediaUrl(url);
  if (part !== null) return part;
  context.addIssue({ code: 'custom', message: NOT_MEDIA });
  return z.NEVER;
});

/** @param mediaType of the linked file. Default: the one that the file extension in the address suggests */
export const readMediaUrl = (url: unknown, mediaType?: string): MediaPart | LinkPart | null =>
  readDataUrl(url) ?? (typeof url === 'string' ? readLink(url, mediaType) : null);

/** Enough for signed addresses, which are long. */
const MAX_ADDRESS = 8000;

/** @returns null unless it is an http or https address */
function readLink(url: string, stated?: string): LinkPart | null {
  if (url.length > MAX_ADDRESS || !HTTP.test(url) || !URL.canParse(url)) return null;
  const extension = /\.(\w{2,5})$/.exec(new URL(url).pathname)?.[1]?.toLowerCase() ?? '';
  const mediaType = stated ?? MEDIA_TYPES.get(extension);
  if (mediaType === undefined) return { kind: 'link', url };
  return { kind: 'link', url, mediaType: toKnownType(mediaType) };
}

const HTTP = /^https?:\/\//i;

/** The types that Gemini reads (https://ai.google.dev/gemini-api/docs/file-input-methods), by file extension. */
const MEDIA_TYPES: ReadonlyMap<string, string> = new Map([
  ['png', 'image/png'],
  ['jpg', 'image/jpeg'],
  ['jpeg', 'image/jpeg'],
  ['webp', 'image/webp'],
  ['heic', 'image/heic'],
  ['heif', 'image/heif'],
  ['pdf', 'application/pdf'],
  ['mp3', 'audio/mp3'],
  ['wav', 'audio/wav'],
  ['ogg', 'audio/ogg'],
  ['flac', 'audio/flac'],
  ['mp4', 'video/mp4'],
  ['mov', 'video/mov'],
  ['webm', 'video/webm'],
]);
