import { type AnswerPart, charactersOf } from './answer-parts.ts';
import type { BlockedAnswer, EmptyAnswerKind } from './fault.ts';
import { type GoogleRequest, tokensOf } from './request.ts';

/** One event of a streamed answer, or the whole of a unary one. */
export type AnswerEvent = Readonly<Record<string, unknown>>;

/** What the events of one answer have in common. */
export interface AnswerFacts {
  readonly request: GoogleRequest;
  readonly model: string;
  readonly responseId: string;
}

/**
 * A good answer, the last event with its finish reason and the usage.
 *
 * @param ofEvents The parts of each event.
 */
export function answerEvents(
  facts: AnswerFacts,
  ofEvents: readonly (readonly AnswerPart[])[],
): AnswerEvent[] {
  const candidate = { ...candidateOf(ofEvents.at(-1) ?? []), finishReason: 'STOP' };
  return [
    ...ofEvents.slice(0, -1).map((parts) => openEvent(facts, parts)),
    closingEvent(facts, { candidates: [candidate] }, lengthOf(ofEvents.flat())),
  ];
}

/** An answer that stops with SAFETY after some of its texts. */
export function blockedEvents(
  facts: AnswerFacts,
  texts: readonly string[],
  { after = 1 }: BlockedAnswer,
): AnswerEvent[] {
  const sent = texts.slice(0, after).map((text) => ({ text }));
  return [
    ...sent.map((part) => openEvent(facts, [part])),
    closingEvent(facts, { candidates: [BLOCKED] }, lengthOf(sent)),
  ];
}

/** An answer without a text, in its only event. */
export const emptyEvent = (facts: AnswerFacts, kind: EmptyAnswerKind): AnswerEvent =>
  closingEvent(facts, EMPTY[kind], 0);

const HARM = { category: 'HARM_CATEGORY_DANGEROUS_CONTENT', probability: 'HIGH', blocked: true };
const BLOCKED = { finishReason: 'SAFETY', index: 0, safetyRatings: [HARM] };

const EMPTY = {
  blocked_prompt: { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } },
  no_candidates: {},
  tokens_spent: {
    candidates: [{ content: { role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }],
  },
} satisfies Record<EmptyAnswerKind, AnswerEvent>;

const openEvent = (facts: AnswerFacts, parts: readonly AnswerPart[]): AnswerEvent => ({
  candidates: [candidateOf(parts)],
  ...identity(facts),
});

const closingEvent = (facts: AnswerFacts, event: AnswerEvent, written: number): AnswerEvent => ({
  ...event,
  usageMetadata: usage(facts.request.inputTokens, tokensOf(written)),
  ...identity(facts),
});

const lengthOf = (parts: readonly AnswerPart[]) =>
  parts.reduce((sum, part) => sum + charactersOf(part), 0);

const candidateOf = (parts: readonly AnswerPart[]) => ({
  content: { parts, role: 'model' },
  index: 0,
});

const identity = ({ model, responseId }: AnswerFacts) => ({ modelVersion: model, responseId });

/** Without text Google leaves the candidates' count out. */
const usage = (promptTokenCount: number, candidatesTokenCount: number) => ({
  promptTokenCount,
  ...(candidatesTokenCount > 0 ? { candidatesTokenCount } : {}),
  totalTokenCount: promptTokenCount + candidatesTokenCount,
});
