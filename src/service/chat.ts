import type { ApiKey } from '../shared/api-key.ts';
import type { ChatChunk, ChatFinish, ChatMessage, ChatTurn } from '../shared/chat.ts';
import { UpstreamError, type Usage } from '../shared/failure.ts';
import type { Failover } from './failover.ts';
import type { Answer, Caller } from './failover-request.ts';
import { ServiceError } from './service-error.ts';

export interface ChatOptions {
  readonly failover: Failover;
  readonly stream: StreamAnswer;
  /** The first is the default; the others answer when asked for by name, or when those before are spent. */
  readonly models: readonly [string, ...string[]];
  readonly systemPrompt: string | null;
}

/** How the chat reaches a provider: one answer, with one key. */
export type StreamAnswer = (
  key: ApiKey,
  model: string,
  turn: ChatTurn,
  signal: AbortSignal,
) => AsyncGenerator<ChatChunk, void, undefined>;

export interface ChatRequest {
  readonly messages: readonly ChatMessage[];
  /** One of the models that are served; null leaves the choice to us. */
  readonly model: string | null;
}

export interface ChatReply extends ChatFinish {
  readonly text: string;
  /** The model that answered. */
  readonly model: string;
}

export interface Chat {
  /**
   * The whole answer at once. A key that fails halfway is no harm: nothing has been given away yet.
   *
   * @throws ServiceError
   */
  reply(request: ChatRequest, caller: Caller): Promise<ChatReply>;
}

/** What a person reads instead of an answer that the provider blocked. */
const BLOCKED_REPLY = "I can't help with that. Could you ask in a different way?";

const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0 };

export function createChat({ failover, stream, models, systemPrompt }: ChatOptions): Chat {
  const candidates = (model: string | null): readonly [string, ...string[]] => {
    if (model === null) return models;
    if (models.includes(model)) return [model];
    throw unknownModel(models);
  };
  return {
    async reply({ messages, model }, caller) {
      const turn: ChatTurn = { system: systemPrompt, messages };
      try {
        return await failover({
          service: 'google',
          models: candidates(model),
          caller,
          open: (lease, signal) => stream(lease.key, lease.model, turn, signal),
          isLast: (chunk: ChatChunk) => chunk.finish !== null,
          commit: collect,
        });
      } catch (error) {
        throw forCaller(error);
      }
    },
  };
}

async function collect({ model, chunks }: Answer<ChatChunk>): Promise<ChatReply> {
  let text = '';
  let finish: ChatFinish = { reason: 'other', usage: NO_USAGE };
  try {
    for await (const chunk of chunks) {
      text += chunk.text;
      finish = chunk.finish ?? finish;
    }
  } catch (error) {
    finish = finishOfBlocked(error);
  }
  // Half a sentence of what was blocked is no answer.
  return { text: finish.reason === 'content-filter' ? BLOCKED_REPLY : text, model, ...finish };
}

/** Content that was blocked before a word came is an answer too; whatever else was thrown goes on. */
function finishOfBlocked(error: unknown): ChatFinish {
  const failure = error instanceof UpstreamError ? error.failure : null;
  if (failure?.kind !== 'content_blocked') throw error;
  return { reason: 'content-filter', usage: failure.usage ?? NO_USAGE };
}

/** The one failure that is the caller's own to hear about: what was wrong with its request. */
function forCaller(error: unknown): unknown {
  if (!(error instanceof UpstreamError)) return error;
  const message = `The provider refused this request: ${error.failure.message}`;
  return new ServiceError('invalid_request', message, { cause: error });
}

function unknownModel(models: readonly string[]): ServiceError {
  const message = `This model is not served. Ask for one of: ${models.join(', ')}.`;
  return new ServiceError('model_unavailable', message, { details: [{ path: 'model', message }] });
}
