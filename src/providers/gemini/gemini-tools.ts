import { createHash } from 'node:crypto';
import type {
  ChatChunk,
  ChatFinish,
  ChatTurn,
  ToolChoice,
  ToolDeclaration,
} from '../../shared/chat.ts';
import type { CallHandler } from '../provider.ts';
import { toParameters } from './gemini-schema.ts';

/** The tools of a turn in Gemini's form (https://ai.google.dev/api/caching#Tool). */
export function toGeminiTools({ declarations, search }: NonNullable<ChatTurn['tools']>): object[] {
  return [
    ...(declarations.length === 0
      ? []
      : [{ functionDeclarations: declarations.map(toFunctionDeclaration) }]),
    ...(search === true ? [{ googleSearch: {} }] : []),
  ];
}

/** @returns undefined where there is no function to choose */
export function toToolConfig({ declarations, choice }: NonNullable<ChatTurn['tools']>) {
  if (declarations.length === 0) return undefined;
  return { functionCallingConfig: toFunctionCallingConfig(choice) };
}

const toFunctionDeclaration = ({ name, description, parameters }: ToolDeclaration) => ({
  name: toGeminiName(name),
  description,
  parametersJsonSchema: parameters && toParameters(parameters),
});

const toFunctionCallingConfig = (choice: ToolChoice) =>
  choice.kind === 'one'
    ? { mode: 'ANY', allowedFunctionNames: [toGeminiName(choice.name)] }
    : { mode: choice.kind.toUpperCase() };

/** https://ai.google.dev/api/caching#FunctionDeclaration */
const VALID_NAME = /^[A-Za-z_][\w.:-]{0,63}$/;
const KEPT_LETTERS = 50;
const HASH_LETTERS = 12;

/** @returns the name itself where Gemini accepts it, else a valid name that depends only on this name */
export function toGeminiName(name: string): string {
  if (VALID_NAME.test(name)) return name;
  const kept = name.replace(/[^\w.:-]/g, '_').slice(0, KEPT_LETTERS);
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_LETTERS);
  return `_${kept}_${hash}`;
}

/** Restores the caller's names in the calls of an answer. */
export function withCallersNames(
  { tools }: ChatTurn,
  handler: CallHandler<ChatChunk, ChatFinish>,
): CallHandler<ChatChunk, ChatFinish> {
  const renamed = (tools?.declarations ?? []).filter(({ name }) => !VALID_NAME.test(name));
  if (renamed.length === 0) return handler;
  const names = new Map(renamed.map(({ name }) => [toGeminiName(name), name]));
  return {
    onModel: (name) => handler.onModel(name),
    onChunk({ toolCalls, ...chunk }) {
      if (toolCalls === undefined) handler.onChunk(chunk);
      else {
        const named = toolCalls.map((call) => ({
          ...call,
          name: names.get(call.name) ?? call.name,
        }));
        handler.onChunk({ ...chunk, toolCalls: named });
      }
    },
    onFinish: (end) => handler.onFinish(end),
    onEnd: (end) => handler.onEnd(end),
    onFailure: (error) => handler.onFailure(error),
  };
}
