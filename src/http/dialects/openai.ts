import { randomUUID } from 'node:crypto';
import { type ChatReply, modelThatAnswered, textOf } from '../../services/chat.ts';
import type { ChatChunk, FinishReason, Source, ToolCall } from '../../shared/chat.ts';
import type { Usage } from '../../shared/failure.ts';
import { linked } from '../body.ts';
import type { ErrorCode, ErrorForm, HttpError } from '../errors.ts';
import { JSON_TYPE } from '../reply.ts';
import {
  type AnswerFacts,
  COMMENT,
  type Dialect,
  DONE,
  EVENT_STREAM,
  type Frames,
  toEvent,
} from './dialect.ts';
import { type CompletionRequest, readCompletionRequest } from './openai-request.ts';

/** https://platform.openai.com/docs/guides/error-codes */
export const OPENAI_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  schema: linked('OpenaiError', 'https://platform.openai.com/docs/guides/error-codes'),
  text: (error) => JSON.stringify(toOpenaiError(error)),
  headers: ({ retryAfterSeconds }) =>
    retryAfterSeconds !== null && retryAfterSeconds > MAX_HONOURED_SECONDS
      ? { 'x-should-retry': 'false' }
      : {},
};

export function toOpenaiError(error: HttpError) {
  const { message, status, code, details } = error;
  return {
    error: {
      message,
      type: toType(status),
      param: details[0]?.path || null,
      code: CODES[code] ?? code,
    },
  };
}

/** The official clients ignore a longer `retry-after` and repeat the request at once. */
const MAX_HONOURED_SECONDS = 60;

function toType(status: number): string {
  if (status >= 500) return 'server_error';
  return status === 429 ? 'rate_limit_error' : 'invalid_request_error';
}

/** Where OpenAI has its own code. */
const CODES: Partial<Record<ErrorCode, string>> = {
  unauthorized: 'invalid_api_key',
  model_unavailable: 'model_not_found',
};

/**
 * The dialect of OpenAI's chat completions, which most clients speak
 * (https://platform.openai.com/docs/api-reference/chat). What is not supported is refused by name.
 */
export const openai: Dialect = {
  errors: OPENAI_ERRORS,
  read({ body }) {
    const { request, isStreamed, ...form } = readCompletionRequest(body);
    return {
      request,
      answer: isStreamed
        ? { kind: 'stream', frames: (facts) => toCompletionChunks(facts, form) }
        : { kind: 'whole', body: (reply, facts) => toCompletion(reply, facts, form) },
    };
  },
};

type CompletionForm = Pick<CompletionRequest, 'includesUsage' | 'isOneCallAtATime'>;

/** The whole answer as one chat completion. */
function toCompletion(reply: ChatReply, facts: AnswerFacts, form: CompletionForm) {
  const { chunks } = reply;
  const content = chunks.map(contentOf).join('');
  const message = {
    role: 'assistant',
    content,
    refusal: null,
    ...(chunks.every(isTextAlone) ? {} : besidesText(chunks, content, form)),
  };
  return {
    ...identity('chat.completion', modelThatAnswered(reply.answeredBy), facts),
    choices: [{ index: 0, message, logprobs: null, finish_reason: FINISH[reply.reason] }],
    usage: toUsage(reply.usage),
  };
}

/** The fields of a message that is not text alone. */
function besidesText(chunks: readonly ChatChunk[], content: string, form: CompletionForm) {
  const calls = chunks
    .flatMap((chunk) => chunk.toolCalls ?? [])
    .slice(0, mostCalls(form))
    .map(toToolCall);
  const reasoning = chunks.map((chunk) => chunk.reasoning ?? '').join('');
  const images = chunks.flatMap(imagesIn).map((image, index) => ({ ...image, index }));
  const sources = chunks.flatMap((chunk) => chunk.sources ?? []);
  return {
    ...(content === '' && calls.length > 0 ? { content: null } : {}),
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...(images.length === 0 ? {} : { images }),
    ...(sources.length === 0 ? {} : { annotations: toAnnotations(sources, content.length) }),
  };
}

/** The answer as a stream of chunks. */
function toCompletionChunks(facts: AnswerFacts, form: CompletionForm): Frames {
  const { includesUsage } = form;
  let common = {};
  let head = '';
  const toChunk = (delta: object, finishReason = 'null') =>
    `${head}${JSON.stringify(delta)},"finish_reason":${finishReason}}]}\n\n`;
  let calls = 0;
  let images = 0;
  let letters = 0;
  const toText = (text: string) => {
    letters += text.length;
    return text === '' ? '' : toChunk({ content: text });
  };
  const toCalls = (toolCalls: readonly ToolCall[]) =>
    toolCalls.slice(0, mostCalls(form) - calls).map((call) => {
      const delta = { tool_calls: [{ index: calls, ...toToolCall(call) }] };
      calls += 1;
      return toChunk(delta);
    });
  const toImagesAndSources = (chunk: ChatChunk) => {
    const { sources = [] } = chunk;
    const shown = imagesIn(chunk).map((image) => {
      const indexed = { ...image, index: images };
      images += 1;
      return toChunk({ images: [indexed] });
    });
    if (sources.length > 0) shown.push(toChunk({ annotations: toAnnotations(sources, letters) }));
    return shown;
  };
  return {
    headers: EVENT_STREAM,
    begin(model) {
      common = {
        ...identity('chat.completion.chunk', model, facts),
        ...(includesUsage ? { usage: null } : {}),
      };
      // The same for all chunks, so it is written once.
      head = `data: ${JSON.stringify(common).slice(0, -1)},"choices":[{"index":0,"delta":`;
      return toChunk({ role: 'assistant', content: '' });
    },
    piece(chunk) {
      if (isTextAlone(chunk)) return toText(chunk.text);
      const { reasoning, toolCalls = [] } = chunk;
      return [
        reasoning === undefined ? '' : toChunk({ reasoning_content: reasoning }),
        toText(contentOf(chunk)),
        ...toCalls(toolCalls),
        ...toImagesAndSources(chunk),
      ].join('');
    },
    end({ reason, usage }) {
      const counted = { ...common, choices: [], usage: toUsage(usage) };
      return (
        toChunk({}, JSON.stringify(FINISH[reason])) + (includesUsage ? toEvent(counted) : '') + DONE
      );
    },
    // Without `[DONE]`: clients would take it for a complete answer.
    fail: (error) => toEvent(toOpenaiError(error)),
    keepAlive: COMMENT,
  };
}

/** Most chunks are. */
const isTextAlone = ({ reasoning, toolCalls, media, sources }: ChatChunk) =>
  reasoning === undefined &&
  toolCalls === undefined &&
  media === undefined &&
  sources === undefined;

/** The text, with a sentence in place of a medium other than an image. */
export const contentOf = (chunk: ChatChunk): string =>
  isImage(chunk.media) ? chunk.text : textOf(chunk);

export const isImage = (media: ChatChunk['media']) =>
  media?.mediaType.startsWith('image/') === true;

/**
 * Generated images, as OpenRouter and Vercel's gateway return them
 * (https://openrouter.ai/docs/features/multimodal/image-generation). Some models require the signature in the next request.
 */
function imagesIn({ media, signature }: ChatChunk) {
  if (media === undefined || !isImage(media)) return [];
  const url = `data:${media.mediaType};base64,${media.data}`;
  return [{ type: 'image_url', image_url: { url }, ...signed(signature) }];
}

/** Each citation is placed at the end of the text so far, because its words are not known. */
const toAnnotations = (sources: readonly Source[], end: number) =>
  sources.map(({ url, title = url }) => ({
    type: 'url_citation',
    url_citation: { url, title, start_index: end, end_index: end },
  }));

const mostCalls = ({ isOneCallAtATime }: CompletionForm) =>
  isOneCallAtATime ? 1 : Number.POSITIVE_INFINITY;

const identity = (object: string, model: string, { requestId, now }: AnswerFacts) => ({
  id: `chatcmpl-${requestId}`,
  object,
  created: Math.floor(now / 1000),
  model,
});

const FINISH: Record<FinishReason, string> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
  // OpenAI has no such reason; a plain stop would hide that something is missing.
  other: 'content_filter',
};

/**
 * The signature travels where Google's own OpenAI-compatible routes put it. The id has less than 40
 * characters: other providers refuse longer ones when a client continues its conversation there.
 */
const toToolCall = ({ name, input, signature }: ToolCall) => ({
  id: `call_${randomUUID().replaceAll('-', '')}`,
  type: 'function',
  function: { name, arguments: JSON.stringify(input) },
  ...signed(signature),
});

const signed = (signature: string | undefined) =>
  signature === undefined ? {} : { extra_content: { google: { thought_signature: signature } } };

const toUsage = (usage: Usage) => ({
  prompt_tokens: usage.inputTokens,
  completion_tokens: usage.outputTokens,
  total_tokens: usage.totalTokens,
  prompt_tokens_details: { cached_tokens: usage.cachedTokens },
  completion_tokens_details: { reasoning_tokens: usage.thoughtTokens },
});
