import { StringDecoder } from 'node:string_decoder';
import { createParser } from 'eventsource-parser';
import {
  type ChatChunk,
  type ChatFinish,
  type FinishReason,
  notCarried,
  type Source,
  type ToolCall,
} from '../../shared/chat.ts';
import { type Failure, UpstreamError, type Usage } from '../../shared/failure.ts';
import { asObjects, asText, isJsonObject, type JsonObject } from '../../shared/json.ts';
import { withoutFirstWord } from '../../shared/redact.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { ProviderAnswer } from '../provider.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { Exchange } from './transport.ts';

/** In characters. One event may carry images of some megabytes. */
const MAX_EVENT = 32 * 2 ** 20;

/**
 * One streamed answer of Gemini's: bytes become text, text becomes events, events become chunks. It accepts all
 * that the standard allows, since gateways send it (https://html.spec.whatwg.org/multipage/server-sent-events.html),
 * and a JSON list or object in place of the events.
 */
export class GeminiAnswer extends Exchange<ChatChunk, ChatFinish> {
  protected readonly isInflated = true;
  /** Gateways also send thoughts without a request for them. Those are dropped. */
  readonly #includesThoughts: boolean;
  readonly #parser = createParser({
    onEvent: ({ data }) => {
      this.#endsEvent = true;
      if (!this.isOver && data !== '' && data !== '[DONE]') this.#onJson(data);
    },
    onError: ({ type }) => {
      if (type === 'max-buffer-size-exceeded') this.#fail(TOO_LONG);
    },
    maxBufferSize: MAX_EVENT,
  });
  #decoder: StringDecoder | null = null;
  /** Null until the first letter has come. */
  #form: 'events' | 'json' | null = null;
  #json = '';
  #piece = '';
  /** The text from the piece on in which the last event ended. */
  #tail = '';
  #endsEvent = true;
  #knowsModel = false;
  #hasBegun = false;
  /** Whether anything but thoughts has arrived. */
  #hasContent = false;
  #hasCalls = false;
  /** The addresses of the sources so far. Gateways repeat them in every chunk. */
  #sources: Set<string> | null = null;
  /** Those that came before the answer has begun: sources alone are none. */
  #uncited: readonly Source[] | null = null;
  /** Why the provider ended an answer without anything in it. */
  #emptyReason = '';
  /** The last one: some gateways write a finish reason on every chunk. */
  #finish: ChatFinish | null = null;
  /** The last usage so far. */
  #metadata: JsonObject | null = null;
  /** Whether the only finish reason was on the last chunk: a later failure does not matter then. */
  #isComplete = false;

  constructor(includesThoughts: boolean, ...exchange: ExchangeParts) {
    super(...exchange);
    this.#includesThoughts = includesThoughts;
  }

  protected received(bytes: Buffer): void {
    const decoded = this.#decode(bytes);
    // A byte order mark is white space too.
    const text = this.#form === null ? decoded.trimStart() : decoded;
    if (text === '') return;
    this.#form ??= JSON_BEGINS.test(text) ? 'json' : 'events';
    if (this.#form === 'json') this.#keepJson(text);
    else {
      const tail = (this.#endsEvent ? this.#piece : this.#tail) + text;
      this.#tail = tail.length > MAX_TAIL ? lastOf(tail) : tail;
      this.#piece = text;
      this.#endsEvent = false;
      this.#parser.feed(text);
    }
  }

  #keepJson(text: string): void {
    this.#json += text;
    if (this.#json.length > MAX_EVENT) this.#fail(TOO_LONG);
  }

  protected ended(): void {
    // The last event needs no blank line behind it.
    if (this.#form === 'json') this.#onJson(this.#json);
    else this.#parser.feed('\n\n');
    if (this.isOver) return;
    if (this.#finish === null) this.#fail(this.#unfinished());
    else if (this.#hasContent) this.handler.onEnd(this.#finish);
    else this.#fail(this.#unusable(this.#finish));
  }

  protected refused(answer: ProviderAnswer): void {
    this.handler.onFailure(new UpstreamError(classifyGeminiAnswer(answer, this.context)));
  }

  /** The last text of the provider may explain more than the error of the network. */
  protected broken(error: Error): void {
    const failure = this.#classify(lastEvent(this.#tail));
    const isKnown = failure.kind !== 'upstream_down';
    this.#fail(isKnown ? failure : classifyNetworkError(error, this.context.redact));
  }

  usageSoFar(): Usage | null {
    return this.#metadata === null ? null : toUsage(this.#metadata);
  }

  /** A character may be cut between two pieces, but most pieces end with a line. */
  #decode(bytes: Buffer): string {
    if (this.#decoder === null) {
      const isCut = (bytes[bytes.length - 1] ?? 0) >= FIRST_BYTE_OF_MANY;
      if (!isCut) return bytes.toString();
      this.#decoder = new StringDecoder('utf8');
    }
    return this.#decoder.write(bytes);
  }

  #onJson(json: string): void {
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch {
      this.#fail(this.#classify(lastOf(json)));
      return;
    }
    if (!Array.isArray(value)) this.#onChunk(value);
    else for (const chunk of value) this.#onChunk(chunk);
  }

  #onChunk(chunk: unknown): void {
    if (this.isOver) return;
    if (typeof chunk !== 'object' || chunk === null) {
      this.#fail(this.#classify(''));
      return;
    }
    const raw: RawChunk = chunk;
    this.#readFacts(raw);
    const blockReason = raw.promptFeedback?.blockReason;
    const candidate = raw.candidates?.[0] ?? null;
    if ((raw.error ?? null) !== null) this.#fail(this.#classify(JSON.stringify(raw)));
    else if (isSaid(blockReason)) this.#block(blockReason, toUsage(raw.usageMetadata));
    else if (candidate !== null) this.#onCandidate(candidate, raw);
    else if (this.#hasBegun) this.handler.onChunk(NOTHING);
  }

  #readFacts({ usageMetadata, modelVersion }: RawChunk): void {
    this.#metadata = usageMetadata ?? this.#metadata;
    if (!this.#knowsModel) this.#readModel(modelVersion);
  }

  /** A withdrawn model may be redirected to another one, and an alias always is. */
  #readModel(version: unknown): void {
    if (typeof version !== 'string') return;
    const name = version.replace(PREFIX, '');
    if (!MODEL_NAME.test(name)) return;
    this.#knowsModel = true;
    this.handler.onModel(this.context.redact(name));
  }

  /** A silent chunk between others shows that the provider is alive. */
  #onCandidate(candidate: RawCandidate, raw: RawChunk): void {
    const isSilent = !this.#onParts(candidate.content?.parts);
    if (candidate.groundingMetadata) this.#collect(candidate.groundingMetadata);
    if (this.#uncited !== null && this.#hasBegun) this.#cite(this.#uncited);
    const { finishReason } = candidate;
    if (isSaid(finishReason)) this.#onLast(isSilent, finishReason, toUsage(raw.usageMetadata));
    else if (isSilent && this.#hasBegun) this.handler.onChunk(NOTHING);
  }

  /** @returns whether any of the parts has content */
  #onParts(parts: unknown): boolean {
    let hasContent = false;
    for (const part of Array.isArray(parts) ? parts : []) {
      const chunk = readPart(part ?? {});
      if (chunk === null || (chunk.reasoning !== undefined && !this.#includesThoughts)) continue;
      hasContent = true;
      this.#emit(chunk);
    }
    return hasContent;
  }

  #emit(chunk: ChatChunk): void {
    this.#isComplete = false;
    this.#hasBegun = true;
    this.#hasContent ||= !isThoughtAlone(chunk);
    this.#hasCalls ||= chunk.toolCalls !== undefined;
    this.handler.onChunk(chunk);
  }

  #cite(sources: readonly Source[]): void {
    this.#uncited = null;
    this.handler.onChunk({ text: '', sources });
  }

  #collect({ groundingChunks }: JsonObject): void {
    this.#sources ??= new Set();
    const known = this.#sources;
    const sources = asObjects(groundingChunks)
      .flatMap(toSource)
      .filter(({ url }) => known.size < MAX_SOURCES && !known.has(url) && known.add(url));
    if (sources.length > 0) this.#uncited = [...(this.#uncited ?? []), ...sources];
  }

  #onLast(isSilent: boolean, finishReason: string, usage: Usage): void {
    const reason = FINISH.get(finishReason) ?? 'other';
    if (isSilent && reason === 'content-filter') {
      this.#block(finishReason, usage);
      return;
    }
    if (!this.#hasContent && UNUSABLE.has(finishReason)) {
      // More may follow: some gateways write a finish reason on every chunk.
      this.#emptyReason = finishReason;
    } else {
      if (isSilent) this.#emit(NOTHING);
      this.#hasContent = true;
    }
    this.#complete(reason, usage);
  }

  /** Before any text it is a failure; after some text, or thoughts alone, it only ends the answer. */
  #block(reason: string, usage: Usage): void {
    if (!this.#hasBegun)
      this.#fail({ kind: 'content_blocked', message: reason, usage, status: 200 });
    else {
      this.#hasContent = true;
      this.#complete('content-filter', usage);
    }
  }

  /** Gemini gives one reason for an answer that is complete and for one that waits for its tools. */
  #complete(reason: FinishReason, usage: Usage): void {
    this.#isComplete = this.#finish === null;
    this.#finish = { reason: this.#hasCalls && reason === 'stop' ? 'tool-calls' : reason, usage };
    this.handler.onFinish(this.#finish);
  }

  /** The stream ended, but the answer did not: nothing came at all, or no finish reason. */
  #unfinished(): Failure {
    const failure = this.#classify(lastEvent(this.#tail));
    const message = this.#hasBegun ? 'the answer broke off' : 'an answer without candidates';
    return failure.kind === 'upstream_down' ? { ...failure, message } : failure;
  }

  #unusable({ usage }: ChatFinish): Failure {
    const message = `an answer without content: ${this.#emptyReason}`;
    return { kind: 'unusable_answer', message, usage, status: 200 };
  }

  /** @param body what came within a 200 in place of a chunk */
  #classify(body: string): Failure {
    return classifyGeminiAnswer({ status: 200, headers: {}, body }, this.context);
  }

  #fail(failure: Failure): void {
    if (this.isOver) return;
    this.abort();
    if (this.#hasContent && this.#isComplete && this.#finish !== null)
      this.handler.onEnd(this.#finish);
    else this.handler.onFailure(new UpstreamError(failure));
  }
}

type ExchangeParts = ConstructorParameters<typeof Exchange<ChatChunk, ChatFinish>>;

const TOO_LONG: Failure = {
  kind: 'upstream_down',
  timedOut: false,
  status: 200,
  message: 'an answer that is too long',
};
const NOTHING: ChatChunk = { text: '' };

/** Not an answer that a caller could use. */
const isThoughtAlone = ({ text, toolCalls, media }: ChatChunk) =>
  text === '' && toolCalls === undefined && media === undefined;

const PREFIX = /^models\//;
const MODEL_NAME = /^[\w.:@/-]{1,100}$/;

const JSON_BEGINS = /^[[{]/;
/** In UTF-8. */
const FIRST_BYTE_OF_MANY = 0x80;

function lastEvent(text: string): string {
  const last = text.trimEnd().length - 1;
  const lastBreak = Math.max(text.lastIndexOf('\n\n', last), text.lastIndexOf('\r\n\r\n', last));
  return lastBreak < 0 ? text : text.slice(lastBreak);
}

/** The most that is kept of what could not be read, in characters. */
const MAX_TAIL = 65_536;

const lastOf = (text: string) =>
  text.length <= MAX_TAIL ? text : withoutFirstWord(text.slice(-MAX_TAIL));

/**
 * A chunk as it may really come: with errors and thoughts, and from a gateway with `null` for what is absent.
 */
interface RawChunk {
  readonly error?: unknown;
  readonly candidates?: readonly (RawCandidate | null)[] | null;
  readonly promptFeedback?: { readonly blockReason?: string | null } | null;
  readonly usageMetadata?: JsonObject | null;
  readonly modelVersion?: unknown;
}

interface RawCandidate {
  readonly finishReason?: string | null;
  /** https://ai.google.dev/gemini-api/docs/google-search#grounded-response */
  readonly groundingMetadata?: JsonObject | null;
  readonly content?: { readonly parts?: unknown } | null;
}

/** Protobuf writes an absent reason as `…_UNSPECIFIED`. */
const isSaid = (reason: string | null | undefined): reason is string =>
  typeof reason === 'string' && reason !== '' && !reason.endsWith('_UNSPECIFIED');

/** @returns null where it is empty */
function readPart(part: JsonObject): ChatChunk | null {
  const { text: words, functionCall: call, thoughtSignature: signature } = part;
  const isText = typeof words === 'string';
  // A call without a name cannot be answered.
  if (call !== undefined && isJsonObject(call) && asText(call.name) !== '') {
    const text = isText && part.thought !== true ? words : '';
    return { text, toolCalls: [toToolCall(call, signature)] };
  }
  const chunk = isText ? readText(words, part.thought === true) : readOther(part);
  return typeof signature === 'string' ? { ...(chunk ?? NOTHING), signature } : chunk;
}

const readText = (words: string, isThought: boolean): ChatChunk | null => {
  if (words === '') return null;
  return isThought ? { text: '', reasoning: words } : { text: words };
};

function toToolCall({ name, args }: JsonObject, signature: unknown): ToolCall {
  const call = { name: asText(name), input: isJsonObject(args) ? args : {} };
  return typeof signature === 'string' ? { ...call, signature } : call;
}

function readOther(part: JsonObject): ChatChunk | null {
  if (part.thought === true) return null;
  const kind = Object.keys(part).find(
    (name) => !BESIDES.has(name) && (part[name] ?? null) !== null,
  );
  const content = kind === undefined ? null : part[kind];
  const value = isJsonObject(content) ? content : {};
  switch (kind) {
    case undefined:
    case 'functionCall':
      return null;
    case 'inlineData':
      return {
        text: '',
        media: {
          mediaType: asText(value.mimeType) || 'application/octet-stream',
          data: asText(value.data),
        },
      };
    case 'executableCode': {
      const language = asText(value.language).toLowerCase();
      return fenced(asText(value.code), LANGUAGE.test(language) ? language : '');
    }
    case 'codeExecutionResult':
      return fenced(asText(value.output) || asText(value.outcome));
    case 'fileData':
      return { text: `\n${asText(value.fileUri)}\n` };
    default:
      return { text: notCarried(`A part of the kind "${kind.slice(0, MAX_KIND)}"`) };
  }
}

const MAX_SOURCES = 100;

/** A page of the web, a place on the map, or a document of a store. */
function toSource({ web, maps, retrievedContext }: JsonObject): Source[] {
  const found = web ?? maps ?? retrievedContext;
  const { uri, title } = isJsonObject(found) ? found : {};
  if (!HTTP.test(asText(uri))) return [];
  return [{ url: asText(uri), ...(asText(title) === '' ? {} : { title: asText(title) }) }];
}

const HTTP = /^https?:\/\//i;

/** Fields of a part that are not its content. */
const BESIDES: ReadonlySet<string> = new Set([
  'text',
  'thought',
  'thoughtSignature',
  'partMetadata',
  'videoMetadata',
  'mediaResolution',
]);
const MAX_KIND = 40;
const LANGUAGE = /^[a-z]+$/;

/** A code block of Markdown, with a fence that is longer than any in the code. */
function fenced(code: string, language = ''): ChatChunk {
  const inside = Math.max(2, ...(code.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(inside + 1);
  return { text: `\n${fence}${language}\n${code.trimEnd()}\n${fence}\n` };
}

/** All others are `other` (https://ai.google.dev/api/generate-content#FinishReason). */
const FINISH: ReadonlyMap<string, FinishReason> = new Map([
  ['STOP', 'stop'],
  ['MAX_TOKENS', 'length'],
  ['SAFETY', 'content-filter'],
  ['RECITATION', 'content-filter'],
  ['BLOCKLIST', 'content-filter'],
  ['PROHIBITED_CONTENT', 'content-filter'],
  ['SPII', 'content-filter'],
  ['IMAGE_SAFETY', 'content-filter'],
  ['IMAGE_PROHIBITED_CONTENT', 'content-filter'],
  ['IMAGE_RECITATION', 'content-filter'],
]);

/** Reasons that without any content make an answer worth another try: the next one may be a good one. */
const UNUSABLE: ReadonlySet<string> = new Set([
  'STOP',
  'MALFORMED_FUNCTION_CALL',
  'UNEXPECTED_TOOL_CALL',
  'TOO_MANY_TOOL_CALLS',
  'MISSING_THOUGHT_SIGNATURE',
  'MALFORMED_RESPONSE',
]);

/** @param metadata as the provider writes it (https://ai.google.dev/api/generate-content#UsageMetadata) */
export function toUsage(metadata: JsonObject | null | undefined): Usage {
  const count = (name: string) => toCount(metadata?.[name]);
  const inputTokens = count('promptTokenCount') ?? 0;
  const thoughtTokens = count('thoughtsTokenCount') ?? 0;
  const outputTokens = (count('candidatesTokenCount') ?? 0) + thoughtTokens;
  const totalTokens = count('totalTokenCount') ?? inputTokens + outputTokens;
  const cachedTokens = count('cachedContentTokenCount') ?? 0;
  return { inputTokens, outputTokens, totalTokens, cachedTokens, thoughtTokens };
}

/** More than any answer has: sums stay whole numbers. */
const MAX_TOKENS = 1e9;

const toCount = (value: unknown) =>
  typeof value === 'number' && value >= 0 && value <= MAX_TOKENS ? Math.round(value) : undefined;
