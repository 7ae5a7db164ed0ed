import type { ApiKey } from '../../shared/api-key.ts';
import type {
  AssistantPart,
  ChatMessage,
  ChatTurn,
  Effort,
  GenerationSettings,
  ThinkingSettings,
  ToolResult,
  UserPart,
} from '../../shared/chat.ts';
import type { ChatClient, Traced, UpstreamContext } from '../provider.ts';
import { SCHEMA_ROOM, type SchemaRoom, withoutReferences } from './gemini-schema.ts';
import { GeminiAnswer } from './gemini-stream.ts';
import { toGeminiName, toGeminiTools, toToolConfig, withCallersNames } from './gemini-tools.ts';

export interface GeminiOptions extends UpstreamContext {
  /** Without a trailing slash and without the API's version. */
  readonly baseUrl: string;
}

/** Asks Gemini for the answer as a stream, which shows early that a key works. */
export function createGemini({ baseUrl, dispatcher, ...context }: GeminiOptions): ChatClient {
  const requestTo = requestsTo(baseUrl);
  return {
    call(turn, key, { model }, handler) {
      const path = `/v1beta/models/${model}:streamGenerateContent?alt=sse`;
      const request = requestTo(path, key, toGeminiRequest(turn, model ?? ''), handler);
      const named = turn.tools ? withCallersNames(turn.tools, handler) : handler;
      const includesThoughts = turn.settings?.thinking?.includeThoughts === true;
      const answer = new GeminiAnswer(includesThoughts, dispatcher, request, named, context);
      dispatcher.dispatch(request, answer);
      return answer;
    },
  };
}

/** @returns makes a request with a JSON body */
export function requestsTo(baseUrl: string) {
  const { origin, pathname } = new URL(baseUrl);
  const base = pathname === '/' ? '' : pathname;
  return (path: string, { secret }: ApiKey, body: object, { traceparent }: Traced) => ({
    origin,
    path: base + path,
    method: 'POST' as const,
    // undici leaves out what is undefined.
    headers: {
      'content-type': 'application/json',
      'x-goog-api-key': secret.reveal(),
      traceparent,
    },
    // As bytes: undici would keep a copy beside the text.
    body: Buffer.from(JSON.stringify(body)),
  });
}

/** A turn in Gemini's form (https://ai.google.dev/api/generate-content). JSON leaves out what is undefined. */
export const toGeminiRequest = (
  { system, messages, settings, tools, cachedContent }: ChatTurn,
  model: string,
) => {
  const room: SchemaRoom = { left: SCHEMA_ROOM };
  return {
    contents: toContents(messages),
    systemInstruction: system === null ? undefined : { role: 'system', parts: [{ text: system }] },
    generationConfig: settings && toGenerationConfig(settings, model, room),
    tools: tools && toGeminiTools(tools, room),
    toolConfig: tools && toToolConfig(tools),
    cachedContent,
  };
};

interface Content {
  readonly role: 'user' | 'model';
  readonly parts: object[];
}

/** Messages of the assistant that follow each other are one turn of the model. */
function toContents(messages: readonly ChatMessage[]): Content[] {
  const contents: Content[] = [];
  for (const message of messages) {
    const content = toContent(message);
    const last = contents.at(-1);
    if (content.role === 'model' && last?.role === 'model') last.parts.push(...content.parts);
    else contents.push(content);
  }
  return contents;
}

function toContent(message: ChatMessage): Content {
  switch (message.role) {
    case 'user':
      return { role: 'user', parts: message.parts.map(toUserPart) };
    case 'assistant':
      return { role: 'model', parts: toModelParts(message.parts) };
    case 'tool':
      return { role: 'user', parts: toResultParts(message.results) };
    default:
      return message satisfies never;
  }
}

/** `thoughtSignature` is a field beside the content of a part. */
function toUserPart(part: UserPart) {
  switch (part.kind) {
    case 'text':
      return { text: part.text, thoughtSignature: part.signature };
    case 'media':
      return {
        inlineData: { mimeType: part.mediaType, data: part.data },
        thoughtSignature: part.signature,
      };
    case 'link':
      return { fileData: { fileUri: part.url, mimeType: part.mediaType } };
    default:
      return part satisfies never;
  }
}

function toModelParts(parts: readonly AssistantPart[]) {
  const firstCall = parts.find(({ kind }) => kind === 'tool-call');
  return parts.map((part) => {
    switch (part.kind) {
      case 'tool-call':
        return toFunctionCall(part, part === firstCall);
      case 'reasoning':
        return { text: part.text, thought: true, thoughtSignature: part.signature };
      default:
        return toUserPart(part);
    }
  });
}

type ToolCallPart = Extract<AssistantPart, { kind: 'tool-call' }>;

/**
 * Newer models refuse a call that comes back without its signature; of parallel calls only the first has
 * one. A fixed word stands for a signature that got lost
 * (https://ai.google.dev/gemini-api/docs/thought-signatures).
 */
function toFunctionCall({ name, input, signature }: ToolCallPart, isFirst: boolean) {
  const thoughtSignature = signature ?? (isFirst ? SIGNATURE_IS_LOST : undefined);
  return { functionCall: { name: toGeminiName(name), args: input }, thoughtSignature };
}

const SIGNATURE_IS_LOST = 'skip_thought_signature_validator';

/** Not every model accepts media within a function's response. All accept them beside it. */
const toResultParts = (results: readonly ToolResult[]) => [
  ...results.map(({ name, output }) => ({
    functionResponse: { name: toGeminiName(name), response: toResponse(output) },
  })),
  ...results.flatMap(({ media = [] }) => media.map(toUserPart)),
];

/**
 * Gemini reads `$ref` as a reference to media of the result (https://github.com/vercel/ai/issues/14369). An output with a
 * key that begins with `$`, such as a JSON schema, is sent as text.
 */
function toResponse(output: ToolResult['output']): ToolResult['output'] {
  if (!hasDollarKey(output)) return output;
  const { result, ...more } = output;
  const isWrapped = result !== undefined && Object.keys(more).length === 0;
  return { result: JSON.stringify(isWrapped ? result : output) };
}

function hasDollarKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  // A list's entries with their numbers would take seconds where there are millions.
  if (Array.isArray(value)) return value.some(hasDollarKey);
  return Object.entries(value).some(([key, part]) => key.startsWith('$') || hasDollarKey(part));
}

const toGenerationConfig = (
  { stop, thinking, modalities, json, ...rest }: GenerationSettings,
  model: string,
  room: SchemaRoom,
) => ({
  ...rest,
  stopSequences: stop,
  thinkingConfig: thinking && toThinkingConfig(thinking, model),
  responseModalities: modalities?.map((modality) => modality.toUpperCase()),
  responseMimeType: json && 'application/json',
  responseJsonSchema: json?.schema && withoutReferences(json.schema, room),
});

function toThinkingConfig(
  { effort, budget, level, includeThoughts }: ThinkingSettings,
  model: string,
) {
  const isStated = budget !== undefined || level !== undefined;
  if (isStated) return { thinkingBudget: budget, thinkingLevel: level, includeThoughts };
  // Such a model refuses any thinking configuration.
  if (CANNOT_THINK.test(model)) return undefined;
  return { ...(effort === undefined ? {} : thinkingFor(effort, model)), includeThoughts };
}

/**
 * Converts an effort for a model, as Google's own OpenAI-compatible routes do
 * (https://ai.google.dev/gemini-api/docs/openai#thinking). Models since Gemini 3 accept levels, earlier ones
 * budgets in tokens. An alias such as `gemini-flash-latest` accepts both.
 */
function thinkingFor(effort: Effort, model: string): object {
  if (TAKES_NO_EFFORT.test(model)) return {};
  const canBeSilent = !model.includes('pro');
  if (!HAS_LEVELS.test(model)) {
    return { thinkingBudget: effort === 'none' && !canBeSilent ? LEAST_BUDGET : BUDGETS[effort] };
  }
  const least = canBeSilent ? 'minimal' : 'low';
  return { thinkingLevel: effort === 'none' || effort === 'minimal' ? least : effort };
}

const CANNOT_THINK = /^gemini-(?:1|2\.0)|^gemini-2.*-image|^gemma|-tts/;
const TAKES_NO_EFFORT = /-image/;
const HAS_LEVELS = /^gemini-(?:[3-9]|\d\d)/;
/** Pro models cannot switch thinking off (https://ai.google.dev/gemini-api/docs/thinking#set-budget). */
const LEAST_BUDGET = 128;
const BUDGETS: Record<Effort, number> = {
  none: 0,
  minimal: 1024,
  low: 1024,
  medium: 8192,
  high: 24_576,
};
