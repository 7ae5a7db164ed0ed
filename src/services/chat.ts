import type { Answer, AnsweredBy, Caller, Failover } from '../failover/failover.ts';
import { ServiceError } from '../failover/service-error.ts';
import type { StreamChat } from '../providers/provider.ts';
import type { ProviderName } from '../shared/api-key.ts';
import type { ChatChunk, ChatFinish, ChatTurn, ToolCall } from '../shared/chat.ts';
import { UpstreamError, type Usage } from '../shared/failure.ts';
import { type RequestShape, shapeOf } from '../shared/request-shape.ts';
import { modelOf, type Target } from '../shared/target.ts';
import { resumed } from './answer.ts';

export interface ChatOptions {
  readonly failover: Failover;
  readonly clients: ReadonlyMap<ProviderName, StreamChat>;
  /** The first is the default; the others answer when named, or when those before have no key left. */
  readonly targets: readonly Target[];
  /** Put before the caller's own system prompt. */
  readonly systemPrompt: string | null;
}

export interface ChatRequest {
  readonly turn: ChatTurn;
  /** One of the served models; null leaves the choice to the server. */
  readonly model: string | null;
}

export interface Chat {
  /**
   * The whole answer at once. Until its end another key may take over.
   *
   * @throws ServiceError
   */
  reply(request: ChatRequest, caller: Caller): Promise<ChatReply>;
  /**
   * The answer as it comes. Until its first chunk another key may take over, never after.
   *
   * @throws ServiceError when no key could answer; later failures are thrown by the stream
   */
  stream(request: ChatRequest, caller: Caller): Promise<ChatStream>;
}

export function createChat({ failover, clients, targets, systemPrompt }: ChatOptions): Chat {
  const targetsFor = (model: string | null): readonly [Target, ...Target[]] => {
    const wanted = targets.filter((target) => model === null || target.model === model);
    const [first, ...others] = wanted;
    if (first === undefined) throw unknownModel(targets.map(modelOf));
    return [first, ...others];
  };
  const clientOf = ({ provider }: Target): StreamChat => {
    const client = clients.get(provider);
    if (client === undefined) throw new Error(`${provider} answers no chats`);
    return client;
  };
  const answer = async <T>(
    { turn: asked, model }: ChatRequest,
    caller: Caller,
    commit: (answer: Answer<ChatChunk>) => Promise<T>,
  ): Promise<T> => {
    const turn = { ...asked, system: joined(systemPrompt, asked.system) };
    try {
      return await failover({
        operation: 'chat',
        targets: targetsFor(model),
        caller,
        shape: () => shapeOfTurn(turn),
        open: ({ key, target }, signal) => clientOf(target)(key, modelOf(target), turn, signal),
        isLast: (chunk: ChatChunk) => chunk.finish !== null,
        usageOf: ({ finish }) => finish?.usage ?? null,
        commit,
      });
    } catch (error) {
      throw forCaller(error);
    }
  };
  return {
    reply: (request, caller) => answer(request, caller, collectReply),
    stream: (request, caller) => answer(request, caller, beginStream),
  };
}

/** A caller's functions are as plain as text: agents send them with every request. */
function shapeOfTurn(turn: ChatTurn): RequestShape {
  const hasMedia = turn.messages.some(
    (message) => message.role === 'user' && message.parts.some(({ kind }) => kind === 'media'),
  );
  const special = [
    ...(hasMedia ? ['media'] : []),
    ...(turn.settings?.json?.schema === undefined ? [] : ['schema']),
  ];
  return shapeOf(special, Buffer.byteLength(JSON.stringify(turn)));
}

const joined = (ours: string | null, callers: string | null) =>
  ours === null || callers === null ? (ours ?? callers) : `${ours}\n\n${callers}`;

/** A fault of the request is the only failure whose message goes to the caller. */
function forCaller(error: unknown): unknown {
  if (!(error instanceof UpstreamError)) return error;
  const message = `The provider refused this request: ${error.failure.message}`;
  return new ServiceError('invalid_request', message, { cause: error });
}

function unknownModel(models: readonly string[]): ServiceError {
  const message = `This model is not served. Ask for one of: ${models.join(', ')}.`;
  return new ServiceError('model_unavailable', message, { details: [{ path: 'model', message }] });
}

export interface ChatReply extends ChatFinish, ChatAnsweredBy {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
}

interface ChatAnsweredBy extends Omit<AnsweredBy, 'target'> {
  readonly model: string;
}

async function collectReply(answer: Answer<ChatChunk>): Promise<ChatReply> {
  let text = '';
  const toolCalls: ToolCall[] = [];
  let finish: ChatFinish = { reason: 'other', usage: NO_USAGE };
  try {
    for await (const chunk of answer.chunks) {
      text += chunk.text;
      if (chunk.toolCalls !== undefined) toolCalls.push(...chunk.toolCalls);
      finish = chunk.finish ?? finish;
    }
  } catch (error) {
    finish = finishOfBlocked(error);
  }
  // A part of blocked content is no answer.
  return finish.reason === 'content-filter'
    ? { text: BLOCKED_REPLY, toolCalls: [], ...answeredBy(answer), ...finish }
    : { text, toolCalls, ...answeredBy(answer), ...finish };
}

/** An answer whose first chunk has come. A reader that stops early must call `return()`, as `for await` does. */
export interface ChatStream extends ChatAnsweredBy {
  /** Throws a ServiceError when the answer breaks off. */
  readonly chunks: AsyncIterableIterator<ChatChunk, void>;
}

async function beginStream(answer: Answer<ChatChunk>): Promise<ChatStream> {
  const first = await answer.chunks.next().catch((error: unknown) => ({
    done: false as const,
    value: { text: BLOCKED_REPLY, finish: finishOfBlocked(error) },
  }));
  return { ...answeredBy(answer), chunks: resumed(first, answer.chunks) };
}

const answeredBy = ({ target, key, attempts }: Answer<ChatChunk>): ChatAnsweredBy => ({
  model: modelOf(target),
  key,
  attempts,
});

/** What a person reads instead of an answer that the provider blocked. */
const BLOCKED_REPLY = "I can't help with that. Could you ask in a different way?";

const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0 };

/** Content that is blocked before its first chunk is an answer too; every other error is thrown again. */
function finishOfBlocked(error: unknown): ChatFinish {
  const failure = error instanceof UpstreamError ? error.failure : null;
  if (failure?.kind !== 'content_blocked') throw error;
  return { reason: 'content-filter', usage: failure.usage ?? NO_USAGE };
}
