import { isFilled, isObject, type JsonObject } from '../json.ts';
import { type Content, functionCallOf, functionResponseOf } from './content.ts';

/** @returns what Gemini 3 refuses about a conversation's function calls and their results. */
export function complaintAboutFunctions(contents: readonly Content[]): string | null {
  if (contents.some(isUnsigned)) return UNSIGNED;
  return hasStrayResult(contents) ? STRAY_RESULT : null;
}

/** Whether functions were offered, and the last content is not the result of one. */
export const takesFunctionCalls = (tools: unknown, contents: readonly Content[]): boolean =>
  Array.isArray(tools) && tools.some(declaresFunctions) && !contents.at(-1)?.parts.some(isResult);

const UNSIGNED =
  'Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance.';
const STRAY_RESULT =
  'Please ensure that function response turn comes immediately after a function call turn.';

/** Parallel calls share the signature of the first. */
function isUnsigned({ role, parts }: Content): boolean {
  const first = parts.find((part) => functionCallOf(part) !== null);
  return role === 'model' && first !== undefined && !isFilled(signatureOf(first));
}

const signatureOf = ({ thoughtSignature, thought_signature }: JsonObject) =>
  thoughtSignature ?? thought_signature;

function hasStrayResult(contents: readonly Content[]): boolean {
  const called = new Set<unknown>();
  for (const part of contents.flatMap(({ parts }) => parts)) {
    const name = functionCallOf(part)?.name;
    if (isFilled(name)) called.add(name);
    const result = functionResponseOf(part);
    if (result !== null && !called.has(result.name)) return true;
  }
  return false;
}

const isResult = (part: JsonObject) => functionResponseOf(part) !== null;

function declaresFunctions(tool: unknown): boolean {
  if (!isObject(tool)) return false;
  const { functionDeclarations = tool.function_declarations } = tool;
  return Array.isArray(functionDeclarations) && functionDeclarations.length > 0;
}
