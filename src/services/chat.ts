import type { AnsweredBy, AnswerReader, Caller, Failover, Run } from '../failover/failover.ts';
import { forCaller, modelNotServed, ServiceError } from '../failover/service-error.ts';
import type { ChatClient } from '../providers/provider.ts';
import type { ProviderName } from '../shared/api-key.ts';
import {
  type AssistantPart,
  type ChatChunk,
  type ChatFinish,
  type ChatTurn,
  type FinishReason,
  notCarried,
  type ToolResult,
  type UserPart,
} from '../shared/chat.ts';
import { NO_USAGE, UpstreamError } from '../shared/failure.ts';
import { FUNCTIONS, type RequestShape, shapeOf } from '../shared/request-shape.ts';
import { servedModels, type Target } from '../shared/target.ts';
import { OwnerSearch, type ResourceOwners, uploadedFile } from './relay.ts';

export interface ChatOptions {
  readonly failover: Failover;
  readonly clients: ReadonlyMap<ProviderName, ChatClient>;
  /** The first is the default; the others answer when named, or when those before have no key left. */
  readonly targets: readonly Target[];
  /** The names of their models, by alias. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Put before the caller's own system prompt. */
  readonly systemPrompt: string | null;
  /** Whether the model may search the web, unless it is offered functions. */
  readonly searches: boolean;
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
   * @returns resolves at the end
   * @throws ServiceError when no key could answer, and when the answer breaks off
   */
  stream(request: ChatRequest, caller: Caller, writer: ChatWriter): Promise<void>;
}

/** The name of the model that answered: the provider may redirect to another one. */
export const modelThatAnswered = ({ responseModel, target }: AnsweredBy): string =>
  responseModel ?? target.label;

/** A chunk as text, for a form that carries text alone. */
export const textOf = ({ text, media }: ChatChunk): string =>
  media === undefined ? text : text + notCarried(nameOf(media.mediaType));

export interface ChatReply extends ChatFinish {
  readonly answeredBy: AnsweredBy;
  /** The whole answer in its order. */
  readonly chunks: readonly ChatChunk[];
}

/** Gets a streamed answer. */
export interface ChatWriter {
  /** Called once, before anything else. After `write` has returned false, `resume` asks for more. */
  begin(answeredBy: AnsweredBy, resume: () => void): void;
  /** @returns false to get no more until it calls `resume` */
  write(chunk: ChatChunk): boolean;
  end(finish: ChatFinish): void;
}

export function createChat(options: ChatOptions): Chat {
  const { failover, clients, targets, aliases } = options;
  const served = servedModels(targets, aliases);
  const owners: ResourceOwners = new Map();
  const ask = (
    { turn: asked, model }: ChatRequest,
    caller: Caller,
    isStreamed: boolean,
    reader: ChatReader,
  ): Run => {
    const [first, ...others] = (model === null ? targets : served.get(model)) ?? [];
    if (first === undefined) throw modelNotServed(model ?? '', served.keys());
    const turn = completed(asked, options);
    const resources = resourcesOf(turn);
    const search = resources.length === 0 ? null : new OwnerSearch(owners, resources);
    reader.search = search;
    return failover(
      {
        operation: 'chat',
        targets: [first, ...others],
        caller,
        shape: () => shapeOfTurn(turn),
        clients,
        question: turn,
        isStreamed,
        mayHedge: search === null,
        ...(search === null
          ? {}
          : {
              only: (key) => search.accepts(key),
              explain: (error, key) => search.explain(key, error),
            }),
      },
      reader,
    );
  };
  return {
    reply: (request, caller) =>
      new Promise((resolve, reject) => {
        const collector = new ReplyCollector(resolve, reject);
        collector.run = ask(request, caller, false, collector);
      }),
    stream: (request, caller, writer) =>
      new Promise((resolve, reject) => {
        const reader = new StreamReader(writer, resolve, reject);
        reader.run = ask(request, caller, true, reader);
      }),
  };
}

function completed(asked: ChatTurn, { systemPrompt, searches }: ChatOptions): ChatTurn {
  const turn = systemPrompt === null ? asked : withSystem(asked, systemPrompt);
  return searches ? withSearch(turn) : turn;
}

const withSystem = (turn: ChatTurn, ours: string): ChatTurn => ({
  ...turn,
  system: turn.system === null ? ours : `${ours}\n\n${turn.system}`,
});

/**
 * Functions and the search in one request need a form of the conversation that older models refuse
 * (https://ai.google.dev/gemini-api/docs/tool-combination).
 */
const withSearch = (turn: ChatTurn): ChatTurn =>
  turn.tools === undefined
    ? { ...turn, tools: { declarations: [], choice: { kind: 'auto' }, search: true } }
    : turn;

/** The cached content and the uploaded files that only their own project can use. */
export function resourcesOf({ messages, cachedContent }: ChatTurn): readonly string[] {
  const found = new Set(cachedContent === undefined ? [] : [cachedContent]);
  for (const message of messages) {
    if (message.role === 'tool')
      for (const { media = [] } of message.results) addFiles(media, found);
    else addFiles(message.parts, found);
  }
  return [...found];
}

/** Per request. The owners of further ones are not searched. */
const MAX_RESOURCES = 20;

function addFiles(parts: readonly (UserPart | AssistantPart)[], found: Set<string>): void {
  for (const part of parts) {
    const file = part.kind === 'link' ? uploadedFile(part.url) : null;
    if (file !== null && found.size < MAX_RESOURCES) found.add(file);
  }
}

export function shapeOfTurn(turn: ChatTurn): RequestShape {
  const { system, messages, settings, tools } = turn;
  const schema = settings?.json?.schema;
  const parts = messages.flatMap((message): readonly TurnPart[] =>
    message.role === 'tool'
      ? message.results.flatMap(({ media = [], ...result }) => [result, ...media])
      : message.parts,
  );
  const media = parts
    .filter(isMedia)
    .map(({ mediaType, data }) => ({ mediaType, length: data.length }));
  const texts = parts.map(textIn);
  const declared =
    tools === undefined && schema === undefined ? '' : JSON.stringify([tools, schema]);
  const bytes = [system ?? '', declared, ...texts].reduce(
    (sum, text) => sum + Buffer.byteLength(text),
    0,
  );
  const features = featuresOf(turn, parts);
  return shapeOf(() => features, bytes, media);
}

function featuresOf(
  { settings, tools, cachedContent }: ChatTurn,
  parts: readonly TurnPart[],
): readonly string[] {
  const hasFunctions =
    (tools?.declarations.length ?? 0) > 0 ||
    parts.some((part) => !('kind' in part) || isCall(part));
  const has = {
    [FUNCTIONS]: hasFunctions,
    schema: settings?.json?.schema !== undefined,
    search: tools?.search === true,
    media: parts.some(isLink),
    other: cachedContent !== undefined || settings?.modalities !== undefined,
  };
  return Object.entries(has).flatMap(([feature, isThere]) => (isThere ? [feature] : []));
}

/** The result of a tool has no `kind`. */
type TurnPart = UserPart | AssistantPart | Omit<ToolResult, 'media'>;
const isMedia = (part: TurnPart) => 'kind' in part && part.kind === 'media';
const isLink = (part: TurnPart) => 'kind' in part && part.kind === 'link';
const isCall = (part: TurnPart) => 'kind' in part && part.kind === 'tool-call';

function textIn(part: TurnPart): string {
  if (isMedia(part)) return '';
  return 'kind' in part && (part.kind === 'text' || part.kind === 'reasoning')
    ? part.text
    : JSON.stringify(part);
}

/** The error when every project was asked and none owns the resource. */
function withoutOwner(error: unknown, search: OwnerSearch | null): unknown {
  if (!(error instanceof ServiceError) || error.code !== 'model_unavailable') return error;
  if (search === null) return error;
  search.giveUp();
  return new ServiceError('invalid_request', NO_OWNER, { cause: error });
}

const NO_OWNER = 'No key may use the cached content or the file that this request names.';

interface ChatReader extends AnswerReader<ChatChunk, ChatFinish> {
  /** Set where the request names a resource that only one project can use. */
  search: OwnerSearch | null;
}

/** In characters. What is longer is no answer that a person could want. */
const MAX_REPLY = 24 * 2 ** 20;
/** What a chunk costs besides its text. */
const CHUNK = 16;

/** Collects the whole answer. */
class ReplyCollector implements ChatReader {
  run: Run | null = null;
  search: OwnerSearch | null = null;
  readonly #resolve: (reply: ChatReply) => void;
  readonly #reject: (error: unknown) => void;
  #chunks: ChatChunk[] = [];
  #size = 0;

  constructor(resolve: (reply: ChatReply) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onAttempt(): void {
    this.#chunks = [];
    this.#size = 0;
  }

  onChunk(chunk: ChatChunk): boolean {
    const { text, reasoning = '', media } = chunk;
    this.#chunks.push(chunk);
    this.#size += CHUNK + text.length + reasoning.length + (media?.data.length ?? 0);
    if (this.#size > MAX_REPLY) this.run?.stop(tooLong());
    return true;
  }

  onEnd(finish: ChatFinish, answeredBy: AnsweredBy): void {
    this.search?.found(answeredBy.key);
    // A part of blocked content is no answer.
    if (finish.reason === 'content-filter') this.onAttempt();
    const isEmpty = this.#chunks.every(isSilent);
    const { reason, sentence } = closingOf(finish, isEmpty);
    if (sentence !== '') this.onChunk({ text: sentence });
    this.#resolve({ ...finish, reason, chunks: this.#chunks, answeredBy });
  }

  onError(error: unknown, answeredBy: AnsweredBy | null): void {
    const finish = finishOf(error);
    if (finish === null || answeredBy === null) {
      this.#reject(forCaller(withoutOwner(error, this.search)));
      return;
    }
    this.onAttempt();
    this.onEnd(finish, answeredBy);
  }
}

/** Hands the answer on as it comes. */
class StreamReader implements ChatReader {
  run: Run | null = null;
  search: OwnerSearch | null = null;
  readonly #writer: ChatWriter;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  #hasBegun = false;
  #isEmpty = true;

  constructor(writer: ChatWriter, resolve: () => void, reject: (error: unknown) => void) {
    this.#writer = writer;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onAttempt(): void {}

  onChunk(chunk: ChatChunk, answeredBy: AnsweredBy): boolean {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.search?.found(answeredBy.key);
      this.#writer.begin(answeredBy, () => this.run?.resume());
    }
    this.#isEmpty &&= isSilent(chunk);
    return this.#writer.write(chunk);
  }

  onEnd(finish: ChatFinish, answeredBy: AnsweredBy): void {
    const { reason, sentence } = closingOf(finish, this.#isEmpty);
    if (!this.#hasBegun || sentence !== '') this.onChunk({ text: sentence }, answeredBy);
    this.#writer.end({ ...finish, reason });
    this.#resolve();
  }

  onError(error: unknown, answeredBy: AnsweredBy | null): void {
    const finish = finishOf(error);
    if (finish === null || answeredBy === null)
      this.#reject(forCaller(withoutOwner(error, this.search)));
    else this.onEnd(finish, answeredBy);
  }
}

const tooLong = () => new ServiceError('upstream_failed', 'The answer is too long.');

const isSilent = ({ text, toolCalls, media }: ChatChunk) =>
  text === '' && toolCalls === undefined && media === undefined;

function nameOf(mediaType: string): string {
  if (mediaType.startsWith('image/')) return 'An image';
  if (mediaType.startsWith('audio/')) return 'A sound';
  return mediaType.startsWith('video/') ? 'A video' : 'A file';
}

interface Closing {
  readonly reason: FinishReason;
  /** What a person reads in place of the answer; empty where there is one. */
  readonly sentence: string;
}

/** An answer without anything in it is never a plain stop. */
function closingOf({ reason: said }: ChatFinish, isEmpty: boolean): Closing {
  const reason = isEmpty && said === 'stop' ? 'other' : said;
  return { reason, sentence: isEmpty ? (SENTENCES[reason] ?? '') : '' };
}

const SENTENCES: Partial<Record<FinishReason, string>> = {
  'content-filter': "I can't help with that. Could you ask in a different way?",
  other: 'I have no answer to that. Please ask again, or in a different way.',
};

/** The failures before the first chunk that are an answer too; null for every other error. */
function finishOf(error: unknown): ChatFinish | null {
  const failure = error instanceof UpstreamError ? error.failure : null;
  switch (failure?.kind) {
    case 'content_blocked':
      return { reason: 'content-filter', usage: failure.usage ?? NO_USAGE };
    case 'unusable_answer':
      return { reason: 'other', usage: failure.usage };
    default:
      return null;
  }
}
