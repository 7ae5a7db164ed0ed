import { parseJson } from '../../src/shared/json.ts';
import type { CallFault } from '../fault.ts';
import type { KnownKey } from '../provider.ts';
import type { Reply } from '../reply.ts';
import type { Answers } from '../standin-key.ts';
import { answerEvents, wholeShape } from './answer.ts';
import type { Quotas } from './quota.ts';
import { EXHAUSTED, type GoogleCallFacts, quotaError } from './refusals.ts';
import type { RequestReader } from './request.ts';
import { answerReply, type Wire } from './wire.ts';

/** A call that nothing has refused so far. */
export interface GoogleCall extends GoogleCallFacts {
  readonly holder: KnownKey;
  readonly query: string;
  readonly text: string;
  readonly fault: CallFault | null;
}

/** Checks the body, then the quota of (project, model), and answers. */
export function createGenerate(
  read: RequestReader,
  defaultAnswer: Answers | undefined,
  quotas: Quotas,
): (call: GoogleCall, wire: Wire) => Reply {
  let answers = 0;
  return (call, wire) => {
    const { holder, model, fault } = call;
    const { limits = {}, modelLimits = {}, refusesSearch = false, answer } = holder.shape;
    const request = read(parseJson(call.text), holder);
    if ('status' in request) return request;
    if (request.usesSearch && refusesSearch) return EXHAUSTED;
    const ours = modelLimits[model] ?? limits;
    const exceeded = quotas.of(holder.project, model).spend(ours, request.inputTokens, call.now);
    if (exceeded !== null) return quotaError(exceeded, call);
    answers += 1;
    const usual = typeof defaultAnswer === 'function' ? defaultAnswer(request) : defaultAnswer;
    const shape = wholeShape(usual, answer);
    const { modelVersion = model } = shape;
    const facts = { request, modelVersion, responseId: `standin-${answers}` };
    return answerReply(answerEvents(facts, shape, wire === 'unary', fault), wire, shape, fault);
  };
}
