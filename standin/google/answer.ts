import type { AnswerShape, FunctionCall } from '../standin-key.ts';
import { type GoogleRequest, tokensOf } from './request.ts';

/** One event of a streamed answer, or the whole of a unary one. */
export type AnswerEvent = Readonly<Record<string, unknown>>;

/** A shape whose every number is decided. */
export type WholeShape = AnswerShape & typeof DEFAULT_SHAPE;

/** A fault that spoils the text of an answer, which counts against the quota all the same. */
export type SpoiledAnswer =
  | {
      /** The candidate ends with SAFETY. */
      readonly kind: 'blocked_answer';
      /** Chunks of text sent before, when streaming. Default 1. */
      readonly after?: number;
    }
  | { readonly kind: keyof typeof WITHOUT_TEXT };

export const isSpoiled = (fault: { readonly kind: string }): fault is SpoiledAnswer =>
  fault.kind === 'blocked_answer' || fault.kind in WITHOUT_TEXT;

/** What the events of one answer have in common. */
export interface AnswerFacts {
  readonly request: GoogleRequest;
  readonly modelVersion: string;
  readonly responseId: string;
}

const DEFAULT_SHAPE = { chunks: 3, firstChunkMs: 0, chunkMs: 0 };

/** @returns what each shape leaves open, taken from the one before it, at last the defaults */
export const wholeShape = (...shapes: readonly (AnswerShape | undefined)[]): WholeShape =>
  Object.assign({}, DEFAULT_SHAPE, ...shapes);

/**
 * The answer, the last event with its finish reason and the usage.
 *
 * @param isUnary All of it is one event; else each text and each function call is one.
 */
export function answerEvents(
  facts: AnswerFacts,
  shape: WholeShape,
  isUnary: boolean,
  fault: { readonly kind: string } | null,
): AnswerEvent[] {
  const { request } = facts;
  const fitted = isUnary ? { ...shape, chunks: 1 } : shape;
  if (fault !== null && isSpoiled(fault)) return spoiledEvents(facts, fitted, fault);
  const thoughts = request.includesThoughts ? thoughtParts(fitted) : [];
  const parts = answerParts(fitted, request);
  const all = [...thoughts, ...parts];
  const ofEvents = isUnary ? [all] : all.map((part) => [part]);
  const last = {
    ...candidateOf(ofEvents.at(-1) ?? []),
    ...(request.usesSearch ? groundingOf(fitted) : {}),
    finishReason: 'STOP',
  };
  const { cachedTokens } = fitted;
  return [
    ...ofEvents.slice(0, -1).map((one) => openEvent(facts, one)),
    closingEvent(facts, { candidates: [last] }, parts, { thoughts, cachedTokens }),
  ];
}

function spoiledEvents(facts: AnswerFacts, shape: WholeShape, fault: SpoiledAnswer): AnswerEvent[] {
  if (fault.kind !== 'blocked_answer') return [closingEvent(facts, WITHOUT_TEXT[fault.kind], [])];
  const texts = answerTexts(shape, facts.request.lastUserText).slice(0, fault.after ?? 1);
  const sent = texts.map((text) => ({ text }));
  return [
    ...sent.map((part) => openEvent(facts, [part])),
    closingEvent(facts, { candidates: [BLOCKED] }, sent),
  ];
}

const HARM = { category: 'HARM_CATEGORY_DANGEROUS_CONTENT', probability: 'HIGH', blocked: true };
const BLOCKED = { finishReason: 'SAFETY', index: 0, safetyRatings: [HARM] };

/** Answers without any text, in one event. */
const WITHOUT_TEXT = {
  blocked_prompt: { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } },
  no_candidates: {},
  tokens_spent: {
    candidates: [{ content: { role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }],
  },
};

type AnswerPart =
  | { readonly text: string; readonly thought?: true; readonly thoughtSignature?: string }
  | { readonly inlineData: NonNullable<AnswerShape['image']>; readonly thoughtSignature: string }
  | { readonly functionCall: FunctionCall; readonly thoughtSignature?: string };

/** The texts, then the function calls; with calls, only texts that the shape gives. */
function answerParts(shape: WholeShape, request: GoogleRequest): AnswerPart[] {
  const calls = request.takesFunctionCalls ? (shape.functionCalls ?? []) : [];
  const isSilent = calls.length > 0 && shape.text === undefined;
  const texts = isSilent ? [] : answerTexts(shape, request.lastUserText);
  const images = shape.image === undefined ? [] : [shape.image];
  return [
    ...texts.map((text) => ({ text })),
    ...images.map((inlineData) => ({ inlineData, thoughtSignature: SIGNATURE })),
    ...calls.map(callPart),
  ];
}

function thoughtParts({ thoughts = '' }: WholeShape): AnswerPart[] {
  const middle = Math.ceil(thoughts.length / 2);
  return [thoughts.slice(0, middle), thoughts.slice(middle)]
    .filter((text) => text !== '')
    .map((text) => ({ text, thought: true }));
}

/** https://ai.google.dev/gemini-api/docs/google-search#grounded-response */
const groundingOf = ({ sources = [] }: WholeShape) =>
  sources.length === 0
    ? {}
    : { groundingMetadata: { groundingChunks: sources.map((web) => ({ web })) } };

/** Of parallel calls Gemini 3 signs only the first. */
const callPart = (functionCall: FunctionCall, index: number): AnswerPart =>
  index === 0 ? { functionCall, thoughtSignature: SIGNATURE } : { functionCall };

const SIGNATURE = Buffer.from('a thought of the stand-in').toString('base64');

/** The text cut into its chunks: as many as the shape says, at least one, none empty. */
function answerTexts(shape: WholeShape, said: string): string[] {
  const count = Math.max(shape.chunks, 1);
  const text = (shape.text ?? `You said: ${said}`).padEnd(count, '.');
  if (count === 1) return [text];
  const cuts = Array.from({ length: count + 1 }, (_, index) =>
    betweenCharacters(text, Math.floor((index * text.length) / count)),
  );
  return cuts.slice(1).map((end, index) => text.slice(cuts[index], end));
}

/** Never between the two halves of a surrogate pair. */
const betweenCharacters = (text: string, index: number) => {
  const unit = text.charCodeAt(index);
  return unit >= 0xdc00 && unit <= 0xdfff ? index + 1 : index;
};

const openEvent = (facts: AnswerFacts, parts: readonly AnswerPart[]): AnswerEvent => ({
  candidates: [candidateOf(parts)],
  ...identity(facts),
});

const closingEvent = (
  facts: AnswerFacts,
  event: AnswerEvent,
  written: readonly AnswerPart[],
  { thoughts, cachedTokens }: UsageFacts = { thoughts: [] },
): AnswerEvent => ({
  ...event,
  usageMetadata: {
    ...usage(facts.request.inputTokens, tokensOf(lengthOf(written)), tokensOf(lengthOf(thoughts))),
    ...(cachedTokens === undefined ? {} : { cachedContentTokenCount: cachedTokens }),
  },
  ...identity(facts),
});

const candidateOf = (parts: readonly AnswerPart[]) => ({
  content: { parts, role: 'model' },
  index: 0,
});

const identity = ({ modelVersion, responseId }: AnswerFacts) => ({ modelVersion, responseId });

const lengthOf = (parts: readonly AnswerPart[]) =>
  parts.map((part) => textOf(part).length).reduce((sum, length) => sum + length, 0);

function textOf(part: AnswerPart): string {
  if ('text' in part) return part.text;
  return JSON.stringify('functionCall' in part ? part.functionCall : part.inlineData);
}

interface UsageFacts {
  readonly thoughts: readonly AnswerPart[];
  readonly cachedTokens?: number | undefined;
}

/** Google leaves out a count of zero. */
const usage = (promptTokenCount: number, candidatesTokenCount: number, thoughts: number) => ({
  promptTokenCount,
  ...(candidatesTokenCount > 0 ? { candidatesTokenCount } : {}),
  ...(thoughts > 0 ? { thoughtsTokenCount: thoughts } : {}),
  totalTokenCount: promptTokenCount + candidatesTokenCount + thoughts,
});
