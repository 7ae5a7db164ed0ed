import { answerTexts, type WholeShape } from '../answer-shape.ts';
import type { FunctionCall } from '../standin-key.ts';
import type { GoogleRequest } from './request.ts';

export type AnswerPart =
  | { readonly text: string }
  | { readonly functionCall: FunctionCall; readonly thoughtSignature?: string };

/** The texts of a good answer, then its function calls: where it calls, only texts that were chosen. */
export function answerParts(shape: WholeShape, request: GoogleRequest): AnswerPart[] {
  const calls = request.takesFunctionCalls ? (shape.functionCalls ?? []) : [];
  const isSilent = calls.length > 0 && shape.text === undefined;
  const texts = isSilent ? [] : answerTexts(shape, request.lastUserText);
  return [...texts.map((text) => ({ text })), ...calls.map(callPart)];
}

/** How long a part is, for the count of tokens. */
export const charactersOf = (part: AnswerPart): number =>
  'text' in part ? part.text.length : JSON.stringify(part.functionCall).length;

/** Of parallel calls Gemini 3 signs only the first. */
const callPart = (functionCall: FunctionCall, index: number): AnswerPart =>
  index === 0 ? { functionCall, thoughtSignature: SIGNATURE } : { functionCall };

const SIGNATURE = Buffer.from('a thought of the stand-in').toString('base64');
