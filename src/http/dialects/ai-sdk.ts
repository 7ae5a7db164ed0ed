import type { Request } from 'express';
import { z } from 'zod';
import type { ChatMessage, Media, UserPart } from '../../shared/chat.ts';
import { listOf, validate } from '../body.ts';
import { PLAIN_ERRORS } from '../errors.ts';
import {
  type AnswerFacts,
  COMMENT,
  type Dialect,
  DONE,
  EVENT_STREAM,
  type Frames,
  hasText,
  MAX_MESSAGES,
  MAX_PARTS,
  modelName,
  NOT_A_DATA_URL,
  plainText,
  readDataUrl,
  textPart,
  toEvent,
  toTokens,
} from './dialect.ts';

/** What is sent on, what is skipped, and a file that only the browser could read. */
type Part = UserPart | { readonly kind: 'skipped' | 'unreadable' };

const filePart = z
  .looseObject({ type: z.literal('file') })
  .meta({ description: 'The `url` is a data URL in base64.' })
  .transform(({ url }): Part => readDataUrl(url) ?? { kind: 'unreadable' });

/** All other kinds of parts are skipped. */
const otherThan = (...kinds: string[]) =>
  z
    .looseObject({
      type: z
        .string()
        .refine((type) => !kinds.includes(type))
        .meta({ not: { enum: kinds }, description: 'Any other kind is skipped.' }),
    })
    .transform((): Part => ({ kind: 'skipped' }));

const message = z.discriminatedUnion('role', [
  z.looseObject({
    role: z.literal('user'),
    parts: listOf(z.union([textPart, filePart, otherThan('text', 'file')]), MAX_PARTS),
  }),
  z.looseObject({
    role: z.enum(['system', 'assistant']),
    parts: listOf(z.union([textPart, otherThan('text')]), MAX_PARTS),
  }),
]);

export const aiSdkBody = z
  .looseObject({
    messages: listOf(message, MAX_MESSAGES)
      .refine(({ length }) => length > 0, 'Must not be empty.')
      .meta({ minItems: 1, description: "UI messages, the last of them the user's." }),
    model: modelName.nullish().meta({ description: 'One of `GOOGLE_MODELS`.' }),
  })
  .meta({ id: 'AiSdkChatRequest', description: "What the AI SDK's `useChat` sends." });

/**
 * The dialect of the Vercel AI SDK's `useChat` and its transports: UI messages in, a UI message stream
 * out (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol), or with `?protocol=text` the text alone.
 */
export const aiSdk: Dialect = {
  errors: PLAIN_ERRORS,
  read(request) {
    const { messages, model } = validate(endsWithUser, request.body);
    const isPlain = request.query.protocol === 'text';
    const { id: chatId } = request.body;
    return {
      request: {
        turn: { system: systemOf(messages), messages: messages.flatMap(toMessage) },
        model: model ?? null,
      },
      answer: isPlain
        ? { kind: 'stream', frames: plainText }
        : { kind: 'stream', frames: toUiMessageStream, chatId },
    };
  },
};

/** @returns whether any of the body's messages consists of parts: only the AI SDK sends those */
export const isAiSdk = ({ body }: Request): boolean =>
  'trigger' in body || body.messages.some((one: unknown) => Array.isArray(partsOf(one)));

const partsOf = (one: unknown) =>
  typeof one === 'object' && one !== null && 'parts' in one ? one.parts : undefined;

type UiMessage = z.output<typeof message>;

const endsWithUser = aiSdkBody.superRefine(({ messages }, context) => {
  const index = messages.length - 1;
  const last = messages[index];
  if (last?.role !== 'user' || !last.parts.some((one) => hasContent(one) || isUnreadable(one))) {
    context.addIssue({ code: 'custom', path: ['messages', index], message: NOT_ASKED });
  }
  // Files of earlier messages were refused before: the conversation goes on without them.
  for (const [place, one] of last?.parts.entries() ?? []) {
    if (!isUnreadable(one)) continue;
    const path = ['messages', index, 'parts', place, 'url'];
    context.addIssue({ code: 'custom', path, message: NOT_A_DATA_URL });
  }
});

const NOT_ASKED = "The last one must be the user's, with a text or a file in it.";

const isUnreadable = ({ kind }: Part) => kind === 'unreadable';

const hasContent = (one: Part): one is UserPart =>
  one.kind === 'media' || (one.kind === 'text' && hasText(one.text));

function toMessage({ role, parts }: UiMessage): ChatMessage[] {
  const filled = parts.filter(hasContent);
  if (role === 'system' || filled.length === 0) return [];
  if (role === 'user') return [{ role, parts: filled }];
  return [{ role, parts: filled.filter((one) => one.kind === 'text') }];
}

function systemOf(messages: readonly UiMessage[]): string | null {
  const texts = messages
    .filter(({ role }) => role === 'system')
    .flatMap(({ parts }) => parts)
    .flatMap((one) => (one.kind === 'text' && hasText(one.text) ? [one.text] : []));
  return texts.length === 0 ? null : texts.join('\n\n');
}

/** An answer has one step, and one text at a time. */
const TEXT_ID = 'text';

const toFile = ({ mediaType, data }: Media) =>
  toEvent({ type: 'file', mediaType, url: `data:${mediaType};base64,${data}` });

/** Older clients reject a stream with an extra field: nothing is added to any part. */
export function toUiMessageStream({ requestId, messageId }: AnswerFacts): Frames {
  let model = '';
  let isTextOpen = false;
  const closeText = () => {
    const closing = isTextOpen ? toEvent({ type: 'text-end', id: TEXT_ID }) : '';
    isTextOpen = false;
    return closing;
  };
  return {
    headers: { ...EVENT_STREAM, 'x-vercel-ai-ui-message-stream': 'v1' },
    begin(answering) {
      model = answering;
      return (
        toEvent({ type: 'start', messageId, messageMetadata: { model, requestId } }) +
        toEvent({ type: 'start-step' })
      );
    },
    piece({ text: delta, media }) {
      // Text after the file is a new text part.
      if (media !== undefined) return closeText() + toFile(media);
      if (delta === '') return '';
      const opening = isTextOpen ? '' : toEvent({ type: 'text-start', id: TEXT_ID });
      isTextOpen = true;
      return opening + toEvent({ type: 'text-delta', id: TEXT_ID, delta });
    },
    end({ reason: finishReason, usage }) {
      const messageMetadata = { model, requestId, usage: toTokens(usage) };
      return (
        closeText() +
        toEvent({ type: 'finish-step' }) +
        toEvent({ type: 'finish', finishReason, messageMetadata }) +
        DONE
      );
    },
    fail: ({ message: errorText }) => toEvent({ type: 'error', errorText }) + DONE,
    stop: () => toEvent({ type: 'abort' }) + DONE,
    keepAlive: COMMENT,
  };
}
