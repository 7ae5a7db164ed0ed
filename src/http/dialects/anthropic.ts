import { randomUUID } from 'node:crypto';
import { type ChatReply, modelThatAnswered, textOf } from '../../services/chat.ts';
import type { ChatChunk, ChatFinish, FinishReason, Source, ToolCall } from '../../shared/chat.ts';
import type { Usage } from '../../shared/failure.ts';
import { linked } from '../body.ts';
import type { ErrorCode, ErrorForm, HttpError } from '../errors.ts';
import { JSON_TYPE } from '../reply.ts';
import { signatureOfThought } from './anthropic-messages.ts';
import { type MessageRequest, readMessageRequest } from './anthropic-request.ts';
import {
  type AnswerFacts,
  type Dialect,
  EVENT_STREAM,
  type Frames,
  toNamedEvent,
} from './dialect.ts';
import { OPENAI_ERRORS } from './openai.ts';

/** https://platform.claude.com/docs/en/api/errors */
export const ANTHROPIC_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  schema: linked('AnthropicError', 'https://platform.claude.com/docs/en/api/errors'),
  text: (error, requestId) => JSON.stringify(toAnthropicError(error, requestId)),
  // Anthropic's client waits as long as `retry-after` says, even an hour. Claude Code repeats a request after a 401.
  headers: (error) =>
    error.code === 'unauthorized'
      ? { 'x-should-retry': 'false' }
      : (OPENAI_ERRORS.headers?.(error) ?? {}),
};

const toAnthropicError = ({ code, message, details }: HttpError, requestId: string) => ({
  type: 'error',
  error: {
    type: ERROR_TYPES[code],
    message,
    ...(details.some(({ path }) => path === 'thread') ? NO_THREADS : {}),
  },
  request_id: requestId,
});

/** With these details the official client's tool runner goes on without a thread. */
const NO_THREADS = {
  details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] },
};

const ERROR_TYPES: Record<ErrorCode, string> = {
  invalid_request: 'invalid_request_error',
  payload_too_large: 'request_too_large',
  unsupported_media_type: 'invalid_request_error',
  unauthorized: 'authentication_error',
  forbidden: 'permission_error',
  not_found: 'not_found_error',
  model_unavailable: 'not_found_error',
  method_not_allowed: 'invalid_request_error',
  check_failed: 'invalid_request_error',
  conflict: 'invalid_request_error',
  rate_limited: 'rate_limit_error',
  internal_error: 'api_error',
  upstream_failed: 'api_error',
  upstream_timeout: 'timeout_error',
  all_keys_exhausted: 'overloaded_error',
  no_keys_configured: 'api_error',
  overloaded: 'overloaded_error',
  store_unavailable: 'api_error',
};

/**
 * The dialect of Anthropic's messages, which Claude Code speaks
 * (https://platform.claude.com/docs/en/api/messages). What is not supported is refused by name.
 */
export const anthropic: Dialect = {
  errors: ANTHROPIC_ERRORS,
  read({ body }) {
    const { request, isStreamed, ...form } = readMessageRequest(body);
    return {
      request,
      answer: isStreamed
        ? { kind: 'stream', frames: (facts) => toEvents(facts, form) }
        : { kind: 'whole', body: (reply, facts) => toMessage(reply, facts, form) },
    };
  },
};

type MessageForm = Pick<MessageRequest, 'isOneCallAtATime' | 'search'>;

/** The whole answer as one message. */
function toMessage(reply: ChatReply, facts: AnswerFacts, form: MessageForm) {
  const read = blockReader(form);
  const content: Block[] = [];
  for (const block of reply.chunks.flatMap(read.blocksIn)) {
    const last = content.at(-1);
    if (last !== undefined && continues(last, block))
      content[content.length - 1] = joined(last, block);
    else content.push(block);
  }
  return {
    ...opening(modelThatAnswered(reply.answeredBy), facts),
    content: content.map(withSignature),
    stop_reason: STOP[reply.reason],
    usage: toUsage(reply.usage, read.searches()),
  };
}

/** The answer as a stream of events. */
function toEvents(facts: AnswerFacts, form: MessageForm): Frames {
  const read = blockReader(form);
  let index = 0;
  let open: Block | null = null;
  const delta = (change: object) => toTypedEvent('content_block_delta', { index, delta: change });
  function stop(): string {
    if (open === null) return '';
    const { signature } = withSignature(open);
    const signed = signature === undefined ? '' : delta({ type: 'signature_delta', signature });
    const stopped = toTypedEvent('content_block_stop', { index });
    index += 1;
    open = null;
    return signed + stopped;
  }
  function write(block: Block): string {
    const isNew = open === null || !continues(open, block);
    const before = isNew ? stop() : '';
    open = block;
    const started = { index, content_block: { ...block, ...EMPTY[block.type] } };
    const start = isNew ? toTypedEvent('content_block_start', started) : '';
    const change = deltaOf(block);
    return before + start + (change === null ? '' : delta(change));
  }
  return {
    headers: EVENT_STREAM,
    begin: (model) =>
      toTypedEvent('message_start', {
        message: {
          ...opening(model, facts),
          content: [],
          stop_reason: null,
          // The real numbers come in `message_delta`.
          usage: toUsage(NO_USAGE, 0),
        },
      }),
    piece: (chunk) => read.blocksIn(chunk).map(write).join(''),
    end: ({ reason, usage }: ChatFinish) =>
      stop() +
      toTypedEvent('message_delta', {
        delta: { stop_reason: STOP[reason], stop_sequence: null },
        usage: toUsage(usage, read.searches()),
      }) +
      toTypedEvent('message_stop', {}),
    fail: (error) => toTypedEvent('error', toAnthropicError(error, facts.requestId)),
    keepAlive: toTypedEvent('ping', {}),
  };
}

const toTypedEvent = (type: string, data: object) => toNamedEvent(type, { type, ...data });

const opening = (model: string, { requestId }: AnswerFacts) => ({
  id: `msg_${requestId}`,
  type: 'message',
  role: 'assistant',
  model,
  stop_sequence: null,
});

/** A content block, whole or as one piece of it. */
type Block =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | {
      readonly type: 'tool_use' | 'server_tool_use';
      readonly id: string;
      readonly name: string;
      readonly input: object;
    }
  | {
      readonly type: 'web_search_tool_result';
      readonly tool_use_id: string;
      readonly content: readonly object[];
    };

/** The fields of a block in `content_block_start`. */
const EMPTY: Record<Block['type'], object> = {
  text: { text: '' },
  thinking: { thinking: '', signature: '' },
  tool_use: { input: {} },
  server_tool_use: { input: {} },
  web_search_tool_result: {},
};

function deltaOf(block: Block): object | null {
  switch (block.type) {
    case 'text':
      return { type: 'text_delta', text: block.text };
    case 'thinking':
      return block.thinking === '' ? null : { type: 'thinking_delta', thinking: block.thinking };
    case 'web_search_tool_result':
      return null;
    case 'tool_use':
    case 'server_tool_use':
      return { type: 'input_json_delta', partial_json: JSON.stringify(block.input) };
    default:
      return block satisfies never;
  }
}

const continues = (open: Block, block: Block): boolean =>
  open.type === 'thinking'
    ? block.type === 'thinking' && open.signature === ''
    : open.type === 'text' && block.type === 'text';

function joined(open: Block, block: Block): Block {
  if (open.type === 'text' && block.type === 'text') {
    return { type: 'text', text: open.text + block.text };
  }
  if (open.type === 'thinking' && block.type === 'thinking') {
    return { ...block, thinking: open.thinking + block.thinking };
  }
  return block;
}

/** Clients drop a thought that is not signed. */
const withSignature = (block: Block): Block & { readonly signature?: string } =>
  block.type === 'thinking'
    ? { ...block, signature: block.signature || signatureOfThought() }
    : block;

/** Reads the chunks of one answer. */
function blockReader({ isOneCallAtATime, search }: MessageForm) {
  const mostCalls = isOneCallAtATime ? 1 : Number.POSITIVE_INFINITY;
  let calls = 0;
  let searches = 0;
  function called(toolCalls: readonly ToolCall[]): Block[] {
    const first = toolCalls.slice(0, mostCalls - calls);
    calls += first.length;
    return first.flatMap(toToolUse);
  }
  function found(sources: readonly Source[]): Block[] {
    if (search === null) return [];
    searches += 1;
    return toSearch(search, sources);
  }
  return {
    searches: () => searches,
    blocksIn(chunk: ChatChunk): Block[] {
      const { reasoning, toolCalls, sources } = chunk;
      const text = textOf(chunk);
      return [
        ...(reasoning === undefined ? [] : [toThought(reasoning)]),
        ...(text === '' ? [] : [{ type: 'text' as const, text }]),
        ...(toolCalls === undefined ? [] : called(toolCalls)),
        ...(sources === undefined ? [] : found(sources)),
      ];
    },
  };
}

const toThought = (thinking: string, signature = ''): Block => ({
  type: 'thinking',
  thinking,
  signature,
});

/** An empty thought before the call carries its signature. */
const toToolUse = ({ name, input, signature }: ToolCall): Block[] => [
  ...(signature === undefined ? [] : [toThought('', signatureOfThought(signature))]),
  { type: 'tool_use', id: `toolu_${newId()}`, name, input },
];

const newId = () => randomUUID().replaceAll('-', '');

/** The result of a search. Google sends it after the text that is based on it. */
function toSearch(name: string, sources: readonly Source[]): Block[] {
  const id = `srvtoolu_${newId()}`;
  const content = sources.map(({ url, title }) => ({
    type: 'web_search_result',
    url,
    title: title ?? url,
    encrypted_content: '',
    page_age: null,
  }));
  return [
    { type: 'server_tool_use', id, name, input: {} },
    { type: 'web_search_tool_result', tool_use_id: id, content },
  ];
}

const STOP: Record<FinishReason, string> = {
  stop: 'end_turn',
  length: 'max_tokens',
  'tool-calls': 'tool_use',
  'content-filter': 'refusal',
  // Anthropic has no such reason; a plain end would hide that something is missing.
  other: 'refusal',
};

type CountedUsage = Pick<Usage, 'inputTokens' | 'outputTokens' | 'cachedTokens' | 'thoughtTokens'>;

const NO_USAGE: CountedUsage = {
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  thoughtTokens: 0,
};

/** Anthropic counts cached tokens beside the input, not within it. */
const toUsage = (usage: CountedUsage, searches: number) => ({
  input_tokens: Math.max(0, usage.inputTokens - usage.cachedTokens),
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: usage.cachedTokens,
  output_tokens: usage.outputTokens,
  output_tokens_details: { thinking_tokens: usage.thoughtTokens },
  ...(searches === 0 ? {} : { server_tool_use: { web_search_requests: searches } }),
});
