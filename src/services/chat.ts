import type { Failover } from '../failover/failover.ts';
import type { Answer, Caller } from '../failover/failover-request.ts';
import { ServiceError } from '../failover/service-error.ts';
import type { StreamChat } from '../providers/provider.ts';
import type { ProviderName } from '../shared/api-key.ts';
import type { ChatChunk, ChatTurn } from '../shared/chat.ts';
import { UpstreamError } from '../shared/failure.ts';
import { type RequestShape, shapeOf } from '../shared/request-shape.ts';
import { modelOf, type Target } from '../shared/target.ts';
import { type ChatReply, collectReply } from './chat-reply.ts';
import { beginStream, type ChatStream } from './chat-stream.ts';

export interface ChatOptions {
  readonly failover: Failover;
  /** By the name of the provider. */
  readonly clients: ReadonlyMap<ProviderName, StreamChat>;
  /** The first is the default; the others answer when asked for by name, or when those before are spent. */
  readonly targets: readonly Target[];
  /** Stands before whatever the caller brings of its own. */
  readonly systemPrompt: string | null;
}

export interface ChatRequest {
  readonly turn: ChatTurn;
  /** One of the models that are served; null leaves the choice to us. */
  readonly model: string | null;
}

export interface Chat {
  /**
   * The whole answer at once. A key that fails halfway is no harm: nothing has been given away yet.
   *
   * @throws ServiceError
   */
  reply(request: ChatRequest, caller: Caller): Promise<ChatReply>;
  /**
   * The answer as it comes, from its first piece on: until then another key may step in, never after.
   *
   * @throws ServiceError when nothing could answer; afterwards the stream throws it
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

/** Functions of the caller's own are as plain as text: agents send them with every request. */
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
