import { answerTexts, type WholeShape, wholeShape } from '../answer-shape.ts';
import { parseJson } from '../json.ts';
import type { CallFault, HeldKey } from '../key-ring.ts';
import type { Reply } from '../reply.ts';
import type { AnswerShape, StandinKey } from '../standin-key.ts';
import { type AnswerEvent, answerEvents, blockedEvents, emptyEvent } from './answer.ts';
import { type AnswerPart, answerParts } from './answer-parts.ts';
import type { GoogleCallFacts } from './error.ts';
import { ModelQuota } from './quota.ts';
import { quotaError } from './quota-error.ts';
import type { GoogleRequest } from './request.ts';
import type { RequestReader } from './request-reader.ts';
import { isBroken } from './spoiled-answer.ts';
import { answerReply, type Wire } from './wire.ts';

/** A call that nothing has refused so far. */
export interface Generation {
  readonly holder: HeldKey;
  readonly call: GoogleCallFacts;
  readonly wire: Wire;
  readonly text: string;
  readonly fault: CallFault | null;
}

/** Checks the body, then the quota of (project, model), and answers. */
export function createGenerate(
  read: RequestReader,
  defaultAnswer: AnswerShape = {},
): (of: Generation) => Reply {
  const quotas = new Map<string, ModelQuota>();
  let answers = 0;
  return (generation) => {
    const { holder, call, wire, fault } = generation;
    const request = read(parseJson(generation.text), holder);
    if ('status' in request) return request;
    const quota = quotaOf(quotas, holder.project, call);
    const limits = limitsOf(holder.shape, call.model);
    const violations = quota.spend(limits, request.inputTokens, call.now);
    if (violations.length > 0) return quotaError(violations, call);
    answers += 1;
    const shape = wholeShape(defaultAnswer, holder.shape.answer);
    const events = eventsOf(generation, request, shape, `standin-${answers}`);
    return answerReply(events, wire, shape, isBroken(fault) ? fault : null);
  };
}

function quotaOf(quotas: Map<string, ModelQuota>, project: string, call: GoogleCallFacts) {
  const id = `${project} ${call.model}`;
  const quota = quotas.get(id) ?? new ModelQuota(call.windows);
  quotas.set(id, quota);
  return quota;
}

const limitsOf = ({ limits = {}, modelLimits = {} }: StandinKey, model: string) =>
  modelLimits[model] ?? limits;

function eventsOf(
  { call, wire, fault }: Generation,
  request: GoogleRequest,
  shape: WholeShape,
  responseId: string,
): AnswerEvent[] {
  const facts = { request, model: call.model, responseId };
  const fitted = wire === 'unary' ? { ...shape, chunks: 1 } : shape;
  switch (fault?.kind) {
    case 'blocked_answer':
      return blockedEvents(facts, answerTexts(fitted, request.lastUserText), fault);
    case 'blocked_prompt':
    case 'no_candidates':
    case 'tokens_spent':
      return [emptyEvent(facts, fault.kind)];
    default:
      return answerEvents(facts, ofEvents(answerParts(fitted, request), wire));
  }
}

const ofEvents = (parts: readonly AnswerPart[], wire: Wire) =>
  wire === 'unary' ? [parts] : parts.map((part) => [part]);
