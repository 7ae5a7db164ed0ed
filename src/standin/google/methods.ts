import { isObject, parseJson } from '../json.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { AnswerShape } from '../standin-key.ts';
import type { GoogleCallFacts } from './error.ts';
import { createGenerate, type Generation } from './generate.ts';
import { getModel, listModels, unknownModel } from './models.ts';
import { notFoundPage } from './other-refusals.ts';
import { readGoogleRequest } from './request.ts';

/** A call of a known key that no fault has refused. */
export interface GoogleCall extends Omit<Generation, 'wire'> {
  readonly query: string;
}

/** Answers whatever lives at a model: reading, counting, generating. */
export function createMethods(
  models: ReadonlySet<string>,
  defaultAnswer: AnswerShape | undefined,
): (call: GoogleCall) => Reply {
  const generate = createGenerate(defaultAnswer);
  const methods: Readonly<Record<string, (call: GoogleCall) => Reply>> = {
    listModels: () => listModels(models),
    getModel: ({ call }) => getModel(call.model),
    countTokens: ({ text }) => countTokens(text),
    generateContent: (call) => generate({ ...call, wire: 'unary' }),
    streamGenerateContent: (call) => generate({ ...call, wire: wireOf(call.query) }),
  };
  return (call) => {
    const perform = methods[call.call.method];
    if (perform === undefined) return notFoundPage();
    return isMissing(models, call.call) ? unknownModel(call.call) : perform(call);
  };
}

const ALT_SSE = /(?:^|&)alt=sse(?:&|$)/;
const wireOf = (query: string) => (ALT_SSE.test(query) ? 'sse' : 'array');

const isMissing = (models: ReadonlySet<string>, { model }: GoogleCallFacts) =>
  model !== '' && !models.has(model);

/** Takes the contents alone, or a whole request in `generateContentRequest`. */
function countTokens(text: string): Reply {
  const body = parseJson(text);
  const inner = isObject(body) ? (body.generateContentRequest ?? body) : body;
  const request = readGoogleRequest(inner);
  return 'status' in request ? request : jsonReply(200, { totalTokens: request.inputTokens });
}
