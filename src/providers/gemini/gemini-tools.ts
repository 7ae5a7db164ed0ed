import { createHash } from 'node:crypto';
import type {
  ChatChunk,
  ChatFinish,
  ToolChoice,
  ToolDeclaration,
  Tools,
} from '../../shared/chat.ts';
import { UpstreamError } from '../../shared/failure.ts';
import type { CallHandler } from '../provider.ts';
import { type SchemaRoom, toParameters } from './gemini-schema.ts';

/** The tools of a turn in Gemini's form (https://ai.google.dev/api/caching#Tool). */
export function toGeminiTools({ declarations, search }: Tools, room: SchemaRoom): object[] {
  return [
    ...(declarations.length === 0
      ? []
      : [{ functionDeclarations: declarations.map((one) => toFunctionDeclaration(one, room)) }]),
    ...(search === true ? [{ googleSearch: {} }] : []),
  ];
}

/** @returns undefined where there is no function to choose */
export function toToolConfig({ declarations, choice }: Tools) {
  if (declarations.length === 0) return undefined;
  return { functionCallingConfig: toFunctionCallingConfig(choice) };
}

const toFunctionDeclaration = (
  { name, description, parameters }: ToolDeclaration,
  room: SchemaRoom,
) => ({
  name: toGeminiName(name),
  description,
  parametersJsonSchema: parameters && toParameters(parameters, room),
});

const toFunctionCallingConfig = (choice: ToolChoice) =>
  choice.kind === 'one'
    ? { mode: 'ANY', allowedFunctionNames: [toGeminiName(choice.name)] }
    : { mode: choice.kind.toUpperCase() };

/** https://ai.google.dev/api/caching#FunctionDeclaration */
const VALID_NAME = /^[A-Za-z_][\w.:-]{0,63}$/;
const KEPT_LETTERS = 50;
const HASH_LETTERS = 12;
const GIVEN_NAME = /\b_[\w.:-]+_[\da-f]{12}\b/g;

/** @returns the name itself where Gemini accepts it, else a valid name that depends only on this name */
export function toGeminiName(name: string): string {
  if (VALID_NAME.test(name)) return name;
  const kept = name.replace(/[^\w.:-]/g, '_').slice(0, KEPT_LETTERS);
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_LETTERS);
  return `_${kept}_${hash}`;
}

/** A refusal may quote a function, by the name that Gemini knows. */
function quotingNames(error: unknown, names: ReadonlyMap<string, string>): unknown {
  if (!(error instanceof UpstreamError)) return error;
  const { failure, refusal } = error;
  const message = failure.message.replace(GIVEN_NAME, (given) => names.get(given) ?? given);
  return message === failure.message ? error : new UpstreamError({ ...failure, message }, refusal);
}

/** Restores the caller's names in the calls of an answer and in what a refusal quotes. */
export function withCallersNames(
  { declarations }: Tools,
  handler: CallHandler<ChatChunk, ChatFinish>,
): CallHandler<ChatChunk, ChatFinish> {
  const renamed = declarations.filter(({ name }) => !VALID_NAME.test(name));
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
    onFailure: (error) => handler.onFailure(quotingNames(error, names)),
  };
}
