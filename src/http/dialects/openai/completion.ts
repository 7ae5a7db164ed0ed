import { randomUUID } from 'node:crypto';
import type { ChatReply } from '../../../services/chat-reply.ts';
import type { FinishReason, ToolCall } from '../../../shared/chat.ts';
import type { Usage } from '../../../shared/failure.ts';
import {
  type AnswerFacts,
  COMMENT,
  EVENT_STREAM,
  type Frames,
  type StreamFacts,
} from '../dialect.ts';
import { toOpenaiError } from './errors.ts';

export interface CompletionForm {
  /** Whether one more chunk tells the tokens, and all others say that they do not. */
  readonly includesUsage: boolean;
  readonly isOneCallAtATime: boolean;
}

/** The whole answer as one chat completion. */
export function toCompletion(reply: ChatReply, facts: AnswerFacts, form: CompletionForm) {
  const calls = reply.toolCalls.slice(0, mostCalls(form)).map(toToolCall);
  const message = {
    role: 'assistant',
    content: reply.text === '' && calls.length > 0 ? null : reply.text,
    refusal: null,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
  return {
    ...identity('chat.completion', reply.model, facts),
    choices: [{ index: 0, message, logprobs: null, finish_reason: FINISH[reply.reason] }],
    usage: toUsage(reply.usage),
  };
}

/** The same in pieces. */
export function toCompletionChunks(facts: StreamFacts, form: CompletionForm): Frames {
  const { includesUsage } = form;
  const common = {
    ...identity('chat.completion.chunk', facts.model, facts),
    ...(includesUsage ? { usage: null } : {}),
  };
  const toChunk = (delta: object, finishReason: string | null = null) =>
    toEvent({ ...common, choices: [{ index: 0, delta, finish_reason: finishReason }] });
  let calls = 0;
  return {
    headers: EVENT_STREAM,
    begin: toChunk({ role: 'assistant', content: '' }),
    piece({ text, toolCalls = [] }) {
      const said = text === '' ? '' : toChunk({ content: text });
      const called = toolCalls.slice(0, mostCalls(form) - calls).map((call) => {
        const delta = { tool_calls: [{ index: calls, ...toToolCall(call) }] };
        calls += 1;
        return toChunk(delta);
      });
      return said + called.join('');
    },
    end({ reason, usage }) {
      const counted = { ...common, choices: [], usage: toUsage(usage) };
      return toChunk({}, FINISH[reason]) + (includesUsage ? toEvent(counted) : '') + DONE;
    },
    // Without the last word, so that nobody takes it for a whole answer.
    fail: (error) => toEvent(toOpenaiError(error)),
    keepAlive: COMMENT,
  };
}

const mostCalls = ({ isOneCallAtATime }: CompletionForm) =>
  isOneCallAtATime ? 1 : Number.POSITIVE_INFINITY;

const DONE = 'data: [DONE]\n\n';

const toEvent = (data: object) => `data: ${JSON.stringify(data)}\n\n`;

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
  other: 'stop',
};

/**
 * The signature travels where Google's own OpenAI-compatible routes put it. The id has less than 40
 * characters: other providers refuse longer ones when a client moves its conversation to them.
 */
const toToolCall = ({ name, input, signature }: ToolCall) => ({
  id: `call_${randomUUID().replaceAll('-', '')}`,
  type: 'function',
  function: { name, arguments: JSON.stringify(input) },
  ...(signature === undefined
    ? {}
    : { extra_content: { google: { thought_signature: signature } } }),
});

const toUsage = ({ inputTokens, outputTokens, totalTokens }: Usage) => ({
  prompt_tokens: inputTokens,
  completion_tokens: outputTokens,
  total_tokens: totalTokens,
});
