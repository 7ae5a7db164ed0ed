import { randomUUID } from 'node:crypto';
import type { Request } from 'express';
import { z } from 'zod';
import type { ChatTool, ChatTurn, Media, Source, ToolCall } from '../../shared/chat.ts';
import type { Usage } from '../../shared/failure.ts';
import { invalidField, validate } from '../body.ts';
import { PLAIN_ERRORS } from '../errors.ts';
import { type CalledPart, readConversation, toMetadata, uiMessages } from './ai-sdk-messages.ts';
import {
  type AnswerFacts,
  COMMENT,
  type Dialect,
  DONE,
  EVENT_STREAM,
  type Frames,
  modelName,
  plainText,
  toEvent,
} from './dialect.ts';

/** The fields that the AI SDK's transports send, and `model`. */
export const aiSdkBody = z
  .strictObject({
    id: z.string().nullish(),
    messages: uiMessages,
    trigger: z.string().nullish(),
    messageId: z.string().nullish().meta({
      description: 'The message to continue, or that was changed. Later messages are left out.',
    }),
    model: modelName.nullish().meta({ description: 'One of `GOOGLE_MODELS` or `MODEL_ALIASES`.' }),
    tools: z.null('The server declares the tools (CHAT_TOOLS), never the caller.').optional(),
  })
  .meta({ id: 'AiSdkChatRequest', description: "What the AI SDK's `useChat` sends." });

export interface AiSdkOptions {
  /** The tools that the model may call. The page runs them and sends the outputs. */
  readonly chatTools: readonly ChatTool[];
  /** Whether the stream carries the model's thoughts. */
  readonly chatReasoning: boolean;
}

/**
 * The dialect of the Vercel AI SDK's `useChat` and its transports: UI messages in, a UI message stream
 * out (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol), or with `?protocol=text` the text alone,
 * without tools and thoughts.
 */
export function createAiSdk({ chatTools, chatReasoning }: AiSdkOptions): Dialect {
  const names = new Set(chatTools.map(({ name }) => name));
  const tools: KnownTools = {
    names,
    needApproval: new Set(
      chatTools.flatMap(({ name, needsApproval }) => (needsApproval ? [name] : [])),
    ),
  };
  const declarations = chatTools.map(({ needsApproval: _, ...declaration }) => declaration);
  const offered: Pick<ChatTurn, 'tools' | 'settings'> = {
    ...(chatTools.length === 0 ? {} : { tools: { declarations, choice: { kind: 'auto' } } }),
    ...(chatReasoning ? { settings: { thinking: { includeThoughts: true } } } : {}),
  };
  return {
    errors: PLAIN_ERRORS,
    read(request) {
      const { id: chatId, messageId, model = null, ...body } = validate(aiSdkBody, request.body);
      const messages = upTo(messageId, body.messages);
      const conversation = readConversation(messages, names);
      const { system, approved, denied } = conversation;
      const turn = { system, messages: conversation.messages };
      const { protocol } = request.query;
      if (protocol !== undefined && protocol !== 'text')
        throw invalidField('protocol', NO_PROTOCOL);
      if (protocol === 'text') {
        return { request: { turn, model }, answer: { kind: 'stream', frames: plainText } };
      }
      if (approved.length > 0) return { answer: { kind: 'ready', ...toRun(approved) } };
      return {
        request: { turn: { ...turn, ...offered }, model },
        answer: {
          kind: 'stream',
          chatId,
          frames: (facts) => toUiMessageStream(ofNewMessage(facts, messages), tools, denied),
        },
      };
    },
  };
}

const NO_PROTOCOL = 'Must be text, or left out for a UI message stream.';

/** @returns whether any of the body's messages consists of parts: only the AI SDK sends those. `messages` that is no list counts too. */
export const isAiSdk = ({ body }: Request): boolean =>
  'trigger' in body ||
  !Array.isArray(body.messages) ||
  body.messages.some((one: unknown) => Array.isArray(partsOf(one)));

const partsOf = (one: unknown) =>
  typeof one === 'object' && one !== null && 'parts' in one ? one.parts : undefined;

/** A step after a tool's output continues the assistant's message, so it gets no new id. */
function ofNewMessage(
  { messageId, ...facts }: AnswerFacts,
  messages: readonly { readonly role: string }[],
): AnswerFacts {
  if (messageId === undefined || messages.at(-1)?.role === 'assistant') return facts;
  return { ...facts, messageId };
}

/** The client may continue an earlier message: a person may approve one of its calls later. */
function upTo<Message extends { readonly id?: unknown }>(
  messageId: string | null | undefined,
  messages: readonly Message[],
): readonly Message[] {
  const place = messageId ? messages.findLastIndex(({ id }) => id === messageId) : -1;
  return place < 0 ? messages : messages.slice(0, place + 1);
}

const HEADERS = { ...EVENT_STREAM, 'x-vercel-ai-ui-message-stream': 'v1' };

/**
 * The AI SDK's own server runs an approved tool itself. Here the page runs it: the call becomes available to it now, as
 * a call without approval does at once.
 */
const toRun = (calls: readonly CalledPart[]) => ({
  headers: HEADERS,
  text: [
    toEvent({ type: 'start' }),
    ...calls.map(({ toolCallId, call: { name, input } }) => toAvailable(toolCallId, name, input)),
    toEvent({ type: 'finish', finishReason: 'tool-calls' }),
    DONE,
  ].join(''),
});

const toAvailable = (
  toolCallId: string,
  toolName: string,
  input: ToolCall['input'],
  metadata = {},
) => toEvent({ type: 'tool-input-available', toolCallId, toolName, input, ...metadata });

const withMetadata = (signature: string | undefined) =>
  signature === undefined ? {} : { providerMetadata: toMetadata(signature) };

const toFile = ({ mediaType, data }: Media, signature: string | undefined) =>
  toEvent({
    type: 'file',
    mediaType,
    url: `data:${mediaType};base64,${data}`,
    ...withMetadata(signature),
  });

const toUsage = ({ cachedTokens, thoughtTokens, ...usage }: Usage) => ({
  ...usage,
  cachedInputTokens: cachedTokens,
  reasoningTokens: thoughtTokens,
});

/** By their names. */
interface KnownTools {
  readonly names: ReadonlySet<string>;
  readonly needApproval: ReadonlySet<string>;
}

const NO_TOOLS: KnownTools = { names: new Set(), needApproval: new Set() };

/**
 * Replaces a call of a tool that was not declared. The page cannot run it, and the server would refuse a history with
 * such a call in every later request.
 */
const calledUnknown = ({ name }: ToolCall) =>
  `\n[The model has called "${name.slice(0, MAX_NAME)}", which does not exist.]\n`;
const MAX_NAME = 100;

/** Adds no field of our own to a part: older clients reject a stream with an unknown field. */
export function toUiMessageStream(
  { requestId, messageId }: AnswerFacts,
  { names, needApproval }: KnownTools = NO_TOOLS,
  denied: readonly string[] = [],
): Frames {
  let model = '';
  const blocks = createBlocks();
  let sources = 0;
  const toSource = ({ url, title }: Source) => {
    sources += 1;
    const sourceId = `${requestId}-${sources}`;
    return toEvent({
      type: 'source-url',
      sourceId,
      url,
      ...(title === undefined ? {} : { title }),
    });
  };
  const toAnyCall = (call: ToolCall) =>
    names.has(call.name)
      ? blocks.close() + toCall(call, needApproval.has(call.name))
      : blocks.write('text', calledUnknown(call));
  return {
    headers: HEADERS,
    begin(answering) {
      model = answering;
      return (
        toEvent({ type: 'start', messageId, messageMetadata: { model, requestId } }) +
        denied.map((toolCallId) => toEvent({ type: 'tool-output-denied', toolCallId })).join('') +
        toEvent({ type: 'start-step' })
      );
    },
    piece({ text, reasoning = '', media, signature, toolCalls, sources: found }) {
      let events = blocks.write('reasoning', reasoning) + blocks.write('text', text);
      if (media !== undefined) events += blocks.close() + toFile(media, signature);
      else if (signature !== undefined) events += blocks.sign(signature);
      if (toolCalls !== undefined) events += toolCalls.map(toAnyCall).join('');
      return found === undefined ? events : events + found.map(toSource).join('');
    },
    end({ reason: finishReason, usage }) {
      const messageMetadata = { model, requestId, usage: toUsage(usage) };
      return (
        blocks.close() +
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

/**
 * A client runs a call once it is available, so a call that needs approval is not: the approval is requested as soon as
 * the input is complete.
 */
function toCall({ name: toolName, input, signature }: ToolCall, needsApproval: boolean): string {
  const toolCallId = `call_${randomUUID()}`;
  const metadata = withMetadata(signature);
  // Clients without approvals reject metadata in `tool-input-start`.
  const start = { type: 'tool-input-start', toolCallId, toolName };
  const inputTextDelta = JSON.stringify(input);
  return [
    toEvent(needsApproval ? { ...start, ...metadata } : start),
    toEvent({ type: 'tool-input-delta', toolCallId, inputTextDelta }),
    needsApproval
      ? toEvent({ type: 'tool-approval-request', approvalId: `approval_${toolCallId}`, toolCallId })
      : toAvailable(toolCallId, toolName, input, metadata),
  ].join('');
}

type BlockKind = 'text' | 'reasoning';

/** Writes text and thoughts as blocks. One block is open at a time, and each has its own id. */
function createBlocks() {
  let kind: BlockKind | null = null;
  let id = '';
  let count = 0;
  const open = (next: BlockKind) => {
    const closing = close();
    count += 1;
    kind = next;
    id = `${kind}-${count}`;
    return closing + toEvent({ type: `${kind}-start`, id });
  };
  const close = (metadata = {}) => {
    if (kind === null) return '';
    const closing = toEvent({ type: `${kind}-end`, id, ...metadata });
    kind = null;
    return closing;
  };
  return {
    close,
    write(next: BlockKind, delta: string): string {
      if (delta === '') return '';
      const opening = kind === next ? '' : open(next);
      return opening + toEvent({ type: `${next}-delta`, id, delta });
    },
    /** A signature belongs to the whole block before it, so it ends the block. */
    sign: (signature: string): string =>
      (kind === null ? open('text') : '') + close(withMetadata(signature)),
  };
}
