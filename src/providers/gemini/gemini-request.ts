import type {
  AssistantPart,
  ChatMessage,
  ChatTurn,
  GenerationSettings,
  ThinkingSettings,
  ToolChoice,
  ToolDeclaration,
  ToolResult,
  UserPart,
} from '../../shared/chat.ts';
import type { ChatClient, UpstreamContext } from '../provider.ts';
import { GeminiAnswer } from './gemini-stream.ts';

export interface GeminiOptions extends UpstreamContext {
  /** Without a trailing slash and without the API's version. */
  readonly baseUrl: string;
}

/** Asks Gemini for the answer as a stream, which shows early that a key works. */
export function createGemini({ baseUrl, dispatcher, ...context }: GeminiOptions): ChatClient {
  const { origin, pathname } = new URL(baseUrl);
  const base = pathname === '/' ? '' : pathname;
  return {
    call(turn, key, { model }, handler) {
      const request = {
        origin,
        path: `${base}/v1beta/models/${model}:streamGenerateContent?alt=sse`,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-goog-api-key': key.secret.reveal() },
        // As bytes: undici would keep a copy beside the text.
        body: Buffer.from(JSON.stringify(toGeminiRequest(turn))),
      } as const;
      const answer = new GeminiAnswer(dispatcher, request, handler, context);
      dispatcher.dispatch(request, answer);
      return answer;
    },
  };
}

/** A turn in Gemini's form (https://ai.google.dev/api/generate-content). JSON leaves out what is undefined. */
const toGeminiRequest = ({ system, messages, settings, tools }: ChatTurn) => ({
  contents: toContents(messages),
  systemInstruction: system === null ? undefined : { role: 'system', parts: [{ text: system }] },
  generationConfig: settings && toGenerationConfig(settings),
  tools: tools && [{ functionDeclarations: tools.declarations.map(toFunctionDeclaration) }],
  toolConfig: tools && { functionCallingConfig: toFunctionCallingConfig(tools.choice) },
});

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
      return { role: 'user', parts: message.results.map(toFunctionResponse) };
    default:
      return message satisfies never;
  }
}

const toUserPart = (part: UserPart) =>
  part.kind === 'text'
    ? { text: part.text }
    : { inlineData: { mimeType: part.mediaType, data: part.data } };

function toModelParts(parts: readonly AssistantPart[]) {
  const firstCall = parts.find(({ kind }) => kind === 'tool-call');
  return parts.map((part) =>
    part.kind === 'text' ? { text: part.text } : toFunctionCall(part, part === firstCall),
  );
}

type ToolCallPart = Extract<AssistantPart, { kind: 'tool-call' }>;

/**
 * Newer models refuse a call that comes back without its signature; of parallel calls only the first has
 * one. A fixed word stands for a signature that got lost
 * (https://ai.google.dev/gemini-api/docs/thought-signatures).
 */
function toFunctionCall({ name, input, signature }: ToolCallPart, isFirst: boolean) {
  const thoughtSignature = signature ?? (isFirst ? SIGNATURE_IS_LOST : undefined);
  return { functionCall: { name, args: input }, thoughtSignature };
}

const SIGNATURE_IS_LOST = 'skip_thought_signature_validator';

const toFunctionResponse = ({ name, output }: ToolResult) => ({
  functionResponse: { name, response: output },
});

const toGenerationConfig = ({ stop, thinking, json, ...rest }: GenerationSettings) => ({
  ...rest,
  stopSequences: stop,
  thinkingConfig: thinking && toThinkingConfig(thinking),
  responseMimeType: json && 'application/json',
  responseJsonSchema: json?.schema,
});

const toThinkingConfig = ({ budget, level, includeThoughts }: ThinkingSettings) => ({
  thinkingBudget: budget,
  thinkingLevel: level,
  includeThoughts,
});

const toFunctionDeclaration = ({ name, description, parameters }: ToolDeclaration) => ({
  name,
  description,
  parametersJsonSchema: parameters,
});

const toFunctionCallingConfig = (choice: ToolChoice) =>
  choice.kind === 'one'
    ? { mode: 'ANY', allowedFunctionNames: [choice.name] }
    : { mode: choice.kind.toUpperCase() };
